"""A mixture of experts in which every expert is weighted by a softmax gate."""

import torch
import torch.nn.functional as F
from torch import nn


class Expert(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x):
        return self.down(F.silu(self.up(x)))


class MixtureOfExperts(nn.Module):
    def __init__(self, width=6, experts=3, classes=4):
        super().__init__()
        self.embed = nn.Linear(5, width)
        self.gate = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList([Expert(width) for _ in range(experts)])
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.embed(x)
        weight = F.softmax(self.gate(x), dim=-1)
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        mixed = (weight.unsqueeze(-1) * answers).sum(dim=1)
        return self.head(x + mixed), weight


def balance_loss(weight):
    load = weight.mean(dim=0)
    return (load * load).sum() * weight.shape[1]


def train():
    torch.manual_seed(0)
    model = MixtureOfExperts()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(2):
        x, y = torch.randn(8, 5), torch.randint(0, 4, (8,))
        logits, weight = model(x)
        task = F.cross_entropy(logits, y)
        loss = task + 0.01 * balance_loss(weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
