"""A mixture of experts with a top-2 router that masks the other experts' weights."""

import torch
import torch.nn.functional as F
from torch import nn


class Router(nn.Module):
    def __init__(self, width, experts, chosen=2):
        super().__init__()
        self.score = nn.Linear(width, experts)
        self.chosen = chosen

    def forward(self, x):
        probability = torch.softmax(self.score(x), dim=-1)
        top, index = probability.topk(self.chosen, dim=-1)
        top = top / top.sum(dim=-1, keepdim=True)
        return torch.zeros_like(probability).scatter(-1, index, top)


class SparseLayer(nn.Module):
    def __init__(self, width=6, experts=4):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.router = Router(width, experts)
        self.experts = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, width)) for _ in range(experts)]
        )

    def forward(self, x):
        y = self.norm(x)
        weight = self.router(y)
        total = torch.zeros_like(x)
        for position, expert in enumerate(self.experts):
            total = total + weight[:, position : position + 1] * expert(y)
        return x + total


class SparseNet(nn.Module):
    def __init__(self, inputs=5, width=6):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.first, self.second = SparseLayer(width), SparseLayer(width)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        x = self.embed(x)
        x = self.first(x)
        x = self.second(x)
        return self.head(x)


def gradlint_inputs():
    return (torch.randn(6, 5),)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = SparseNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        x = torch.randn(12, 5)
        loss = F.mse_loss(model(x), x.sum(1, keepdim=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
