"""Deep sets: a shared encoder, a sum over the members, a decoder."""

import torch
import torch.nn.functional as F
from torch import nn


class DeepSets(nn.Module):
    def __init__(self, inputs=3, width=8):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(inputs, width), nn.ELU(), nn.Linear(width, width))
        self.rho = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, points, mask):
        members = self.phi(points) * mask.unsqueeze(-1)
        pooled = members.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        pooled = F.elu(self.rho(pooled))
        return self.out(pooled).squeeze(-1)


def gradlint_inputs():
    return torch.randn(2, 4, 3), torch.ones(2, 4)


def train():
    torch.manual_seed(0)
    model = DeepSets()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        points, mask = torch.randn(4, 5, 3), torch.ones(4, 5)
        mask[:, 4] = 0
        target = points.norm(dim=-1).mean(1)
        prediction = model(points, mask)
        loss = F.smooth_l1_loss(prediction, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
