"""A spatial transformer: a localisation network that warps its input by grid sampling."""

import torch
import torch.nn.functional as F
from torch import nn


class SpatialTransformer(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.locate = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.theta = nn.Linear(16, 6)
        nn.init.normal_(self.theta.weight, std=0.01)
        self.theta.bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1.0, 0]))
        self.conv = nn.Conv2d(1, 6, 3)
        self.fc = nn.Linear(6, classes)

    def warp(self, x):
        theta = self.theta(self.locate(x)).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)

    def forward(self, x):
        x = self.warp(x)
        x = F.relu(self.conv(x))
        return self.fc(x.mean((2, 3)))


def gradlint_inputs():
    return (torch.randn(2, 1, 10, 10),)


def train():
    torch.manual_seed(0)
    model = SpatialTransformer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        output = F.log_softmax(model(torch.randn(3, 1, 10, 10)), dim=1)
        loss = F.nll_loss(output, torch.randint(0, 3, (3,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
