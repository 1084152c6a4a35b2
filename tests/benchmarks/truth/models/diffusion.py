"""A denoising diffusion model with a sinusoidal time embedding."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def time_embedding(t, width):
    frequency = torch.exp(torch.arange(width // 2) * (-math.log(1000.0) / (width // 2)))
    angle = t.float().unsqueeze(1) * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Denoiser(nn.Module):
    def __init__(self, channels=2, width=8):
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.inward = nn.Conv1d(channels, width, 3, padding=1)
        self.norm = nn.GroupNorm(2, width)
        self.middle = nn.Conv1d(width, width, 3, padding=1)
        self.outward = nn.Conv1d(width, channels, 3, padding=1)

    def forward(self, x, t):
        embedding = self.time(time_embedding(t, self.width))
        h = self.inward(x)
        h = h + embedding.unsqueeze(-1)
        h = h + self.middle(F.silu(self.norm(h)))
        return self.outward(F.silu(h))


class Schedule:
    def __init__(self, steps=20):
        beta = torch.linspace(1e-3, 0.1, steps)
        self.kept = torch.cumprod(1 - beta, dim=0)

    def noisy(self, x, noise, t):
        kept = self.kept[t].view(-1, 1, 1)
        return kept.sqrt() * x + (1 - kept).sqrt() * noise


def train():
    torch.manual_seed(0)
    model, schedule = Denoiser(), Schedule()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    for _ in range(2):
        x = torch.randn(4, 2, 10)
        t = torch.randint(0, 20, (4,))
        noise = torch.randn_like(x)
        predicted = model(schedule.noisy(x, noise, t), t)
        loss = F.mse_loss(predicted, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def sample(model, steps=3):
    x = torch.randn(1, 2, 10)
    for step in reversed(range(steps)):
        x = x - 0.1 * model(x, torch.tensor([step]))
    return x


if __name__ == "__main__":
    train()
