"""Weights that are too large or too small, and designs that only look so, recorded and read from source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import gradlint

CODES = "GL304,GL305,GL402,GL403"

WILD = """
import torch
from torch import nn


class RawTanh(nn.Module):
    def __init__(self, n=256):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(64, n))
        self.w2 = nn.Parameter(torch.randn(n, n))
        self.w3 = nn.Parameter(torch.randn(n, n))
        self.w4 = nn.Parameter(torch.randn(n, 10))

    def forward(self, x):
        x = torch.tanh(x @ self.w1)
        x = torch.tanh(x @ self.w2)
        x = torch.tanh(x @ self.w3)
        return x @ self.w4


class RawRelu(nn.Module):
    def __init__(self, n=256):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(64, n))
        self.w2 = nn.Parameter(torch.randn(n, n))
        self.w3 = nn.Parameter(torch.randn(n, n))
        self.w4 = nn.Parameter(torch.randn(n, 10))

    def forward(self, x):
        x = torch.relu(x @ self.w1)
        x = torch.relu(x @ self.w2)
        x = torch.relu(x @ self.w3)
        return x @ self.w4


class Milli(nn.Module):
    def __init__(self, n=256):
        super().__init__()
        self.w1 = nn.Parameter(0.001 * torch.randn(64, n))
        self.w2 = nn.Parameter(0.001 * torch.randn(n, n))
        self.w3 = nn.Parameter(torch.randn(n, n) * 1e-3)
        self.w4 = nn.Parameter(torch.randn(n, 10) / 1000)

    def forward(self, x):
        x = torch.relu(x @ self.w1)
        x = torch.relu(x @ self.w2)
        x = torch.relu(x @ self.w3)
        return x @ self.w4


class Positive(nn.Module):
    def __init__(self, n=256):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()
        )
        self.head = nn.Linear(64, 10)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.uniform_(p)

    def forward(self, x):
        return self.head(self.net(x).mean((2, 3)))


class Gain(nn.Module):
    def __init__(self, n=256):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(32, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh())
        self.head = nn.Linear(n, 10)
        self.apply(self._init)

    def _init(self, m):
        if isinstance(m, nn.Linear):
            nn.init.xavier_normal_(m.weight, gain=10.0)

    def forward(self, x):
        return self.head(self.net(x))


class TinyTanh(nn.Module):
    def __init__(self, n=128):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(32, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh())
        self.head = nn.Linear(n, 10)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                m.weight.data.uniform_(-1e-3, 1e-3)

    def forward(self, x):
        return self.head(self.net(x))


class ConvTiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 16, 3, padding=1)
        self.c2 = nn.Conv2d(16, 32, 3, padding=1)
        self.c3 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc = nn.Linear(64, 10)
        for c in (self.c1, self.c2, self.c3):
            nn.init.trunc_normal_(c.weight, std=1e-3)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.c1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.c2(x)), 2)
        x = torch.relu(self.c3(x))
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))
"""

FOUND = {
    "RawTanh": "GL304",
    "RawRelu": "GL304",
    "Milli": "GL305",
    "Positive": "GL304",
    "Gain": "GL304",
    "TinyTanh": "GL305",
    "ConvTiny": "GL305",
}
DESIGNED = """
import math
import torch
import torch.nn as nn
import torch.nn.functional as F


class SirenLayer(nn.Module):
    def __init__(self, i, o, omega=30.0, first=False):
        super().__init__()
        self.omega = omega
        self.linear = nn.Linear(i, o)
        with torch.no_grad():
            if first:
                self.linear.weight.uniform_(-1 / i, 1 / i)
            else:
                self.linear.weight.uniform_(-math.sqrt(6 / i) / omega, math.sqrt(6 / i) / omega)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


class Siren(nn.Module):
    def __init__(self, w=128, d=5):
        super().__init__()
        self.net = nn.Sequential(SirenLayer(2, w, first=True), *[SirenLayer(w, w) for _ in range(d)], nn.Linear(w, 3))

    def forward(self, x):
        return self.net(x)


class EqualLinear(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(o, i))
        self.scale = 1 / math.sqrt(i)

    def forward(self, x):
        return F.linear(x, self.weight * self.scale)


class Mapping(nn.Module):
    def __init__(self, w=256):
        super().__init__()
        self.net = nn.ModuleList(EqualLinear(w, w) for _ in range(6))

    def forward(self, z):
        for layer in self.net:
            z = F.leaky_relu(layer(z), 0.2) * math.sqrt(2)
        return z


class Fixup(nn.Module):
    def __init__(self, w=32):
        super().__init__()
        self.stem = nn.Conv2d(3, w, 3, padding=1)
        self.a = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for _ in range(6))
        self.b = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for _ in range(6))
        self.head = nn.Linear(w, 10)
        for a, b in zip(self.a, self.b):
            nn.init.normal_(a.weight, std=math.sqrt(2 / (w * 9)) * 6 ** -0.5)
            nn.init.zeros_(b.weight)

    def forward(self, x):
        x = self.stem(x)
        for a, b in zip(self.a, self.b):
            x = x + b(F.relu(a(x)))
        return self.head(x.mean((2, 3)))


class DDPG(nn.Module):
    def __init__(self, s=17, a=6):
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(s, 400), nn.Linear(400, 300), nn.Linear(300, a)
        for layer in (self.l1, self.l2):
            bound = 1 / math.sqrt(layer.weight.size(0))
            layer.weight.data.uniform_(-bound, bound)
        self.l3.weight.data.uniform_(-3e-3, 3e-3)

    def forward(self, x):
        return torch.tanh(self.l3(F.relu(self.l2(F.relu(self.l1(x))))))


class DCGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(128, 256, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(256, 1, 4))
        for m in self.net:
            if isinstance(m, nn.Conv2d):
                m.weight.data.normal_(0.0, 0.02)

    def forward(self, x):
        return torch.sigmoid(self.net(x)).flatten()


class Word2Vec(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(1000, 64)
        self.out = nn.Linear(64, 1000)
        nn.init.uniform_(self.emb.weight, -0.005, 0.005)
        nn.init.zeros_(self.out.bias)

    def forward(self, i):
        return self.out(self.emb(i))
"""


def found(folder: Path, text: str, depth: str) -> dict[str, str]:
    """The codes by model."""
    (folder / "nets.py").write_text(text)
    flags = ["--isolated", "--no-cache", "--output-format", "json", "--select", CODES, depth]
    report = gradlint(folder, "check", *flags, "nets.py").report
    return {finding["model"]: finding["code"] for finding in report["findings"]}


@pytest.mark.parametrize("depth", ["--trace", "--source"])
def test_wild_scales_are_found(tmp_path: Path, depth: str) -> None:
    assert found(tmp_path, WILD, depth) == FOUND


@pytest.mark.parametrize("depth", ["--trace", "--source"])
def test_designs_with_scales_of_their_own_are_left_alone(tmp_path: Path, depth: str) -> None:
    assert found(tmp_path, DESIGNED, depth) == {}
