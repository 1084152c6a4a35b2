"""A deep equilibrium layer: the fixed point is found without gradient, one step is taken with it."""

import torch
import torch.nn.functional as F
from torch import nn


class Equilibrium(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.state = nn.Linear(width, width, bias=False)
        self.inject = nn.Linear(width, width)
        nn.init.normal_(self.state.weight, std=0.1)

    def step(self, z, x):
        return torch.tanh(self.state(z) + self.inject(x))

    def forward(self, x, iterations=5):
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(iterations):
                z = self.step(z, x)
        return self.step(z, x)


class DEQ(nn.Module):
    def __init__(self, inputs=4, width=6):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.core = Equilibrium(width)
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        x = self.embed(x)
        z = self.core(x)
        return self.head(z)


def gradlint_inputs():
    return (torch.randn(3, 4),)


def train():
    torch.manual_seed(0)
    model = DEQ()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        loss = F.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 2, (8,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
