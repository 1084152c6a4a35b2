"""A U-Net with two levels and skip connections for segmentation."""

import torch
import torch.nn.functional as F
from torch import nn


def double_conv(inner, outer):
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU(), nn.Conv2d(outer, outer, 3, padding=1), nn.ReLU()
    )


class UNet(nn.Module):
    def __init__(self, channels=1, base=6):
        super().__init__()
        self.down1 = double_conv(channels, base)
        self.down2 = double_conv(base, 2 * base)
        self.bottom = double_conv(2 * base, 2 * base)
        self.up = nn.ConvTranspose2d(2 * base, base, 2, stride=2)
        self.merge = double_conv(2 * base, base)
        self.out = nn.Conv2d(base, 1, 1)

    def forward(self, x):
        skip = self.down1(x)
        y = self.down2(F.max_pool2d(skip, 2))
        y = self.bottom(y)
        y = self.up(y)
        y = self.merge(torch.cat([skip, y], dim=1))
        return self.out(y)


def dice_loss(logits, target):
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum((1, 2, 3))
    total = probability.sum((1, 2, 3)) + target.sum((1, 2, 3))
    return 1 - ((2 * overlap + 1) / (total + 1)).mean()


def train(steps=2):
    torch.manual_seed(0)
    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        image = torch.randn(2, 1, 8, 8)
        mask = (image > 0).float()
        logits = model(image)
        loss = F.binary_cross_entropy_with_logits(logits, mask) + dice_loss(logits, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
