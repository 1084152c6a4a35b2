"""SimSiam: two views, a predictor, stop-gradient on the target branch."""

import torch
import torch.nn.functional as F
from torch import nn


class SimSiam(nn.Module):
    def __init__(self, inputs=10, width=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, width))
        self.predictor = nn.Sequential(nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, width))

    def forward(self, first, second):
        z1, z2 = self.encoder(first), self.encoder(second)
        p1 = self.predictor(z1)
        p2 = self.predictor(z2)
        return p1, p2, z1.detach(), z2.detach()


def negative_cosine(p, z):
    return -F.cosine_similarity(p, z, dim=-1).mean()


def gradlint_inputs():
    return torch.randn(4, 10), torch.randn(4, 10)


def train():
    torch.manual_seed(0)
    model = SimSiam()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(2):
        x = torch.randn(8, 10)
        p1, p2, z1, z2 = model(x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x))
        loss = 0.5 * negative_cosine(p1, z2) + 0.5 * negative_cosine(p2, z1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
