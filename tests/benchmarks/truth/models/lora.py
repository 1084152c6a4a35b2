"""Low-rank adaptation of a frozen base network; B starts at zero."""

import torch
import torch.nn.functional as F
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank=2, alpha=4.0):
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.randn(rank, base.in_features) * 0.1)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x):
        frozen = self.base(x)
        update = F.linear(F.linear(x, self.down), self.up)
        return frozen + self.scale * update


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 10), nn.Linear(10, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = F.gelu(self.fc1(x))
        x = F.gelu(self.fc2(x))
        return self.head(x)


def adapted():
    model = Base()
    model.requires_grad_(False)
    model.fc1, model.fc2 = LoRALinear(model.fc1), LoRALinear(model.fc2)
    model.head.requires_grad_(True)
    return model


def train():
    torch.manual_seed(0)
    model = adapted()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(2):
        logits = model(torch.randn(8, 6))
        loss = F.cross_entropy(logits, torch.randint(0, 3, (8,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
