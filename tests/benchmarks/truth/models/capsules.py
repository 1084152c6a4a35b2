"""Capsules with dynamic routing: the routing weights are found on detached predictions."""

import torch
import torch.nn.functional as F
from torch import nn


def squash(v):
    size = v.pow(2).sum(-1, keepdim=True)
    return size / (1 + size) * v / torch.sqrt(size + 1e-8)


class CapsuleLayer(nn.Module):
    def __init__(self, inner=4, outer=3, width=5, depth=4):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, outer, width, depth) * 0.2)

    def forward(self, u, iterations=3):
        votes = torch.einsum("bid,ijde->bije", u, self.weight)
        fixed = votes.detach()
        logits = torch.zeros(votes.shape[:3])
        for _ in range(iterations - 1):
            share = F.softmax(logits, dim=2).unsqueeze(-1)
            v = squash((share * fixed).sum(dim=1))
            logits = logits + (fixed * v.unsqueeze(1)).sum(-1)
        share = F.softmax(logits, dim=2).unsqueeze(-1)
        return squash((share * votes).sum(dim=1))


class CapsNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.primary = nn.Linear(6, 20)
        self.digits = CapsuleLayer()

    def forward(self, x):
        u = squash(self.primary(x).view(-1, 4, 5))
        v = self.digits(u)
        return v.norm(dim=-1)


def margin_loss(length, label):
    hot = F.one_hot(label, length.shape[1]).float()
    present = hot * F.relu(0.9 - length).pow(2)
    absent = 0.5 * (1 - hot) * F.relu(length - 0.1).pow(2)
    return (present + absent).sum(-1).mean()


if __name__ == "__main__":
    torch.manual_seed(0)
    model = CapsNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        length = model(torch.randn(6, 6))
        loss = margin_loss(length, torch.randint(0, 3, (6,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
