"""Word vectors by skip-gram with negative sampling."""

import torch
import torch.nn.functional as F
from torch import nn


class SkipGram(nn.Module):
    def __init__(self, vocabulary=20, width=6):
        super().__init__()
        self.centre = nn.Embedding(vocabulary, width)
        self.context = nn.Embedding(vocabulary, width)

    def forward(self, centre, positive, negative):
        v = self.centre(centre)
        near = (v * self.context(positive)).sum(-1)
        far = torch.bmm(self.context(negative), v.unsqueeze(-1)).squeeze(-1)
        return near, far


def loss_of(near, far):
    attract = F.logsigmoid(near)
    repel = F.logsigmoid(-far).sum(dim=-1)
    return -(attract + repel).mean()


def train():
    torch.manual_seed(0)
    model = SkipGram()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
    for _ in range(2):
        centre, positive = torch.randint(0, 20, (8,)), torch.randint(0, 20, (8,))
        negative = torch.randint(0, 20, (8, 4))
        near, far = model(centre, positive, negative)
        loss = loss_of(near, far)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
