"""Neural collaborative filtering: a product of factors beside a small network."""

import torch
import torch.nn.functional as F
from torch import nn


class Recommender(nn.Module):
    def __init__(self, users=10, items=12, width=4):
        super().__init__()
        self.user = nn.Embedding(users, width)
        self.item = nn.Embedding(items, width)
        self.user_bias = nn.Embedding(users, 1)
        self.item_bias = nn.Embedding(items, 1)
        self.deep = nn.Sequential(nn.Linear(2 * width, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, user, item):
        u, i = self.user(user), self.item(item)
        product = (u * i).sum(-1, keepdim=True)
        deep = self.deep(torch.cat([u, i], dim=-1))
        bias = self.user_bias(user) + self.item_bias(item)
        return (product + deep + bias).squeeze(-1)


def gradlint_inputs():
    return torch.randint(0, 10, (4,)), torch.randint(0, 12, (4,))


def train():
    torch.manual_seed(0)
    users, items = torch.randint(0, 10, (16,)), torch.randint(0, 12, (16,))
    ratings = torch.rand(16) * 5
    data = torch.utils.data.TensorDataset(users, items, ratings)
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    model = Recommender()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for user, item, rating in loader:
        predicted = model(user, item)
        loss = F.mse_loss(predicted, rating)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
