"""A radiance field: positional encoding, density and colour, volume rendering along rays."""

import torch
import torch.nn.functional as F
from torch import nn


def encode(x, bands=2):
    parts = [x]
    for band in range(bands):
        parts += [torch.sin(2.0**band * x), torch.cos(2.0**band * x)]
    return torch.cat(parts, dim=-1)


class Field(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(15, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.density = nn.Linear(width, 1)
        self.colour = nn.Linear(width, 3)

    def forward(self, points):
        h = self.trunk(encode(points))
        density = F.softplus(self.density(h)).squeeze(-1)
        return density, torch.sigmoid(self.colour(h))


def render(field, origin, direction, samples=6):
    t = torch.linspace(0.1, 1.0, samples)
    points = origin.unsqueeze(1) + direction.unsqueeze(1) * t.view(1, -1, 1)
    density, colour = field(points)
    alpha = 1 - torch.exp(-density * 0.15)
    passed = torch.cumprod(1 - alpha + 1e-10, dim=1)
    weight = alpha * torch.roll(passed, 1, dims=1)
    return (weight.unsqueeze(-1) * colour).sum(dim=1)


def train():
    torch.manual_seed(0)
    field = Field()
    optimizer = torch.optim.Adam(field.parameters(), lr=5e-4)
    for _ in range(2):
        origin, direction = torch.zeros(5, 3), F.normalize(torch.randn(5, 3), dim=-1)
        pixel = render(field, origin, direction)
        loss = F.mse_loss(pixel, torch.rand(5, 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
