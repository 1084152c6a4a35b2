"""A metric-learning embedding trained with triplets."""

import torch
import torch.nn.functional as F
from torch import nn


class EmbeddingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 6, 3)
        self.norm = nn.GroupNorm(2, 6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        h = self.conv(x)
        h = F.relu(self.norm(h))
        h = h.mean(-1)
        return F.normalize(self.fc(h), dim=-1)


def triplet_loss(anchor, positive, negative, margin=0.5):
    near = (anchor - positive).pow(2).sum(-1)
    far = (anchor - negative).pow(2).sum(-1)
    return F.softplus(near - far + margin).mean()


def gradlint_inputs():
    return (torch.randn(3, 2, 10),)


def train(steps=2):
    torch.manual_seed(0)
    model = EmbeddingNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        batch = torch.randn(3, 4, 2, 10)
        anchor, positive, negative = (model(part) for part in batch)
        loss = triplet_loss(anchor, positive, negative)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
