"""A generator whose convolutions are modulated by a mapped style vector, with demodulation."""

import torch
import torch.nn.functional as F
from torch import nn


class ModulatedConv(nn.Module):
    def __init__(self, inner, outer, style):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outer, inner, 3, 3) * 0.2)
        self.affine = nn.Linear(style, inner)

    def forward(self, x, style):
        batch, inner, height, width = x.shape
        scale = 1 + self.affine(style).view(batch, 1, inner, 1, 1)
        weight = self.weight.unsqueeze(0) * scale
        weight = weight * torch.rsqrt(weight.pow(2).sum((2, 3, 4), keepdim=True) + 1e-6)
        x = x.reshape(1, batch * inner, height, width)
        out = F.conv2d(x, weight.flatten(0, 1), padding=1, groups=batch)
        return out.view(batch, -1, height, width)


class StyleGenerator(nn.Module):
    def __init__(self, noise=4, width=6):
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(noise, width), nn.LeakyReLU(0.2), nn.Linear(width, width))
        self.constant = nn.Parameter(torch.randn(1, width, 4, 4))
        self.conv1 = ModulatedConv(width, width, width)
        self.conv2 = ModulatedConv(width, width, width)
        self.to_rgb = nn.Conv2d(width, 3, 1)

    def forward(self, z):
        style = self.mapping(z)
        x = self.constant.expand(z.shape[0], -1, -1, -1)
        x = F.leaky_relu(self.conv1(x, style), 0.2)
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.leaky_relu(self.conv2(x, style), 0.2)
        return self.to_rgb(x)


def gradlint_inputs():
    return (torch.randn(2, 4),)


def train():
    torch.manual_seed(0)
    generator = StyleGenerator()
    optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.99))
    for _ in range(2):
        image = generator(torch.randn(3, 4))
        loss = F.l1_loss(image, torch.rand(3, 3, 8, 8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
