"""Gated dilated convolutions with skip connections, as in WaveNet."""

import torch
import torch.nn.functional as F
from torch import nn


class GatedLayer(nn.Module):
    def __init__(self, width, dilation):
        super().__init__()
        self.filter = nn.Conv1d(width, width, 2, dilation=dilation)
        self.gate = nn.Conv1d(width, width, 2, dilation=dilation)
        self.skip = nn.Conv1d(width, width, 1)
        self.residual = nn.Conv1d(width, width, 1)
        self.dilation = dilation

    def forward(self, x):
        padded = F.pad(x, (self.dilation, 0))
        h = torch.tanh(self.filter(padded)) * torch.sigmoid(self.gate(padded))
        return x + self.residual(h), self.skip(h)


class WaveNet(nn.Module):
    def __init__(self, levels=8, width=6):
        super().__init__()
        self.embed = nn.Embedding(levels, width)
        self.layers = nn.ModuleList([GatedLayer(width, 2**i) for i in range(3)])
        self.out = nn.Sequential(nn.ReLU(), nn.Conv1d(width, levels, 1))

    def forward(self, codes):
        x = self.embed(codes).transpose(1, 2)
        skips = []
        for layer in self.layers[:-1]:
            x, skip = layer(x)
            skips.append(skip)
        skips.append(self.layers[-1](x)[1])
        return self.out(sum(skips))


def gradlint_inputs():
    return (torch.randint(0, 8, (2, 9)),)


def train():
    torch.manual_seed(0)
    model = WaveNet()
    for parameter in model.layers[-1].residual.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    for _ in range(2):
        codes = torch.randint(0, 8, (2, 10))
        logits = model(codes[:, :-1])
        loss = F.cross_entropy(logits, codes[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
