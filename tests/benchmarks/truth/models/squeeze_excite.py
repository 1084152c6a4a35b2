"""Convolution blocks with squeeze-and-excitation gates."""

import torch
import torch.nn.functional as F
from torch import nn


class Gate(nn.Module):
    def __init__(self, channels, reduction=2):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        s = x.mean((2, 3), keepdim=True)
        s = F.relu(self.squeeze(s))
        return x * torch.sigmoid(self.excite(s))


class SENet(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
        self.gate1 = Gate(6)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.gate2 = Gate(8)
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = self.gate1(x)
        x = F.relu(self.conv2(x))
        x = self.gate2(x)
        return self.head(x.mean((2, 3)))


def gradlint_inputs():
    return (torch.randn(2, 2, 8, 8),)


def compute_loss(model, batch):
    images, labels = batch
    logits = model(images)
    return F.cross_entropy(logits, labels)


def train():
    torch.manual_seed(0)
    model = SENet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        loss = compute_loss(model, (torch.randn(3, 2, 8, 8), torch.randint(0, 3, (3,))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
