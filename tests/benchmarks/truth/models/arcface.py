"""An additive angular margin head on a small backbone; two modules, one optimizer."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Backbone(nn.Module):
    def __init__(self, inputs=10, width=6):
        super().__init__()
        self.hidden = nn.Linear(inputs, 16)
        self.embed = nn.Linear(16, width)

    def forward(self, x):
        x = F.prelu(self.hidden(x), torch.tensor([0.25]))
        return self.embed(x)


class ArcMargin(nn.Module):
    def __init__(self, width=6, classes=4, scale=8.0, margin=0.3):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width))
        self.scale = scale
        self.cos_m, self.sin_m = math.cos(margin), math.sin(margin)

    def forward(self, features, labels):
        cosine = F.linear(F.normalize(features), F.normalize(self.weight))
        sine = torch.sqrt((1.0 - cosine.pow(2)).clamp(min=1e-6))
        shifted = cosine * self.cos_m - sine * self.sin_m
        hot = F.one_hot(labels, cosine.shape[1]).float()
        return self.scale * (hot * shifted + (1.0 - hot) * cosine)


def train():
    torch.manual_seed(0)
    backbone, margin = Backbone(), ArcMargin()
    optimizer = torch.optim.SGD([*backbone.parameters(), *margin.parameters()], lr=0.05)
    for _ in range(2):
        x, labels = torch.randn(8, 10), torch.randint(0, 4, (8,))
        features = backbone(x)
        logits = margin(features, labels)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
