"""A physics-informed network for the heat equation."""

import torch
from torch import nn


class PINN(nn.Module):
    def __init__(self, width=10):
        super().__init__()
        self.first = nn.Linear(2, width)
        self.second = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x, t):
        h = torch.cat([x, t], dim=1)
        h = torch.tanh(self.first(h))
        h = torch.tanh(self.second(h))
        return self.out(h)


def derivative(y, x):
    return torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]


def residual(model, x, t):
    u = model(x, t)
    u_t = derivative(u, t)
    u_xx = derivative(derivative(u, x), x)
    return u_t - 0.1 * u_xx


def train():
    torch.manual_seed(0)
    model = PINN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        x = torch.rand(8, 1, requires_grad=True)
        t = torch.rand(8, 1, requires_grad=True)
        start = model(x, torch.zeros_like(t))
        physics = residual(model, x, t).pow(2).mean()
        boundary = (start - torch.sin(3.14159 * x)).pow(2).mean()
        loss = physics + boundary
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
