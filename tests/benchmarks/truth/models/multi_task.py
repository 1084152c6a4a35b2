"""Two tasks on one trunk, weighted by learned uncertainties."""

import torch
import torch.nn.functional as F
from torch import nn


class MultiTask(nn.Module):
    def __init__(self, inputs=7, width=10):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs, width), nn.ReLU())
        self.shared = nn.Linear(width, width)
        self.depth = nn.Linear(width, 1)
        self.label = nn.Linear(width, 3)

    def forward(self, x):
        h = self.trunk(x)
        h = F.relu(self.shared(h))
        return {"depth": self.depth(h), "label": self.label(h)}


class UncertaintyLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(2))

    def forward(self, outputs, depth, label):
        regression = F.l1_loss(outputs["depth"], depth)
        classification = F.cross_entropy(outputs["label"], label)
        parts = torch.stack([regression, classification])
        return (parts * torch.exp(-self.log_variance) + self.log_variance).sum()


def gradlint_inputs():
    return (torch.randn(2, 7),)


def train():
    torch.manual_seed(0)
    model, criterion = MultiTask(), UncertaintyLoss()
    parameters = list(model.parameters()) + list(criterion.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for _ in range(2):
        outputs = model(torch.randn(8, 7))
        loss = criterion(outputs, torch.randn(8, 1), torch.randint(0, 3, (8,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
