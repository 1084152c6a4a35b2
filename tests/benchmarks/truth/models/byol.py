"""BYOL: an online network learns to predict a slowly moving target network."""

import copy

import torch
import torch.nn.functional as F
from torch import nn


class Online(nn.Module):
    def __init__(self, inputs=8, width=6):
        super().__init__()
        self.trunk = nn.Linear(inputs, 12)
        self.projector = nn.Linear(12, width)
        self.predictor = nn.Linear(width, width)

    def project(self, x):
        h = F.relu(self.trunk(x))
        return self.projector(h)

    def forward(self, x):
        z = self.project(x)
        return self.predictor(torch.tanh(z))


@torch.no_grad()
def update(target, online, momentum=0.99):
    for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
        slow.mul_(momentum).add_(fast, alpha=1 - momentum)


def train():
    torch.manual_seed(0)
    online = Online()
    target = copy.deepcopy(online)
    for parameter in target.parameters():
        parameter.requires_grad = False
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-3)
    for _ in range(2):
        view, other = torch.randn(8, 8), torch.randn(8, 8)
        prediction = online(view)
        with torch.no_grad():
            goal = target.project(other)
        loss = 2 - 2 * F.cosine_similarity(prediction, goal, dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update(target, online)


if __name__ == "__main__":
    train()
