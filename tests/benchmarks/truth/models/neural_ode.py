"""A neural ordinary differential equation, solved with fixed Runge-Kutta steps."""

import torch
import torch.nn.functional as F
from torch import nn


class Field(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inward = nn.Linear(width + 1, 12)
        self.outward = nn.Linear(12, width)

    def forward(self, t, y):
        time = torch.full_like(y[:, :1], t)
        h = torch.tanh(self.inward(torch.cat([y, time], dim=1)))
        return self.outward(h)


def midpoint(field, y, steps=3):
    size = 1.0 / steps
    for step in range(steps):
        t = step * size
        half = y + 0.5 * size * field(t, y)
        y = y + size * field(t + 0.5 * size, half)
    return y


class NeuralODE(nn.Module):
    def __init__(self, inputs=3, width=4):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.field = Field(width)
        self.readout = nn.Linear(width, 2)

    def forward(self, x):
        y = self.embed(x)
        y = midpoint(self.field, y)
        return self.readout(y)


def train(steps=2):
    torch.manual_seed(0)
    model = NeuralODE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        x, target = torch.randn(6, 3), torch.randn(6, 2)
        loss = F.mse_loss(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
