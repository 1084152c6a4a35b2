"""A normalising flow of affine coupling layers."""

import math

import torch
from torch import nn


class Coupling(nn.Module):
    def __init__(self, width, flip):
        super().__init__()
        self.flip = flip
        half = width // 2
        self.net = nn.Sequential(nn.Linear(half, 8), nn.Tanh(), nn.Linear(8, 2 * half))

    def forward(self, x):
        left, right = x.chunk(2, dim=1)
        if self.flip:
            left, right = right, left
        scale, shift = self.net(left).chunk(2, dim=1)
        scale = torch.tanh(scale)
        right = right * torch.exp(scale) + shift
        out = torch.cat([right, left], dim=1) if self.flip else torch.cat([left, right], dim=1)
        return out, scale.sum(dim=1)


class Flow(nn.Module):
    def __init__(self, width=4, layers=3):
        super().__init__()
        self.layers = nn.ModuleList([Coupling(width, flip=bool(i % 2)) for i in range(layers)])

    def forward(self, x):
        volume = torch.zeros(x.shape[0])
        for layer in self.layers:
            x, change = layer(x)
            volume = volume + change
        return x, volume

    def log_prob(self, x):
        z, volume = self(x)
        prior = -0.5 * (z.pow(2) + math.log(2 * math.pi)).sum(dim=1)
        return prior + volume


def gradlint_inputs():
    return (torch.randn(3, 4),)


def train():
    torch.manual_seed(0)
    flow = Flow()
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    for _ in range(2):
        loss = -flow.log_prob(torch.randn(8, 4)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
