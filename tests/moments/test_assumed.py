"""Graphs of files that are only read: shapes are assumed, and gradients still come out at their size."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
import torch
from torch import Tensor

from gradlint.analysis.moments import predict
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.graph import ModelGraph
from gradlint.source import Source

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
DEEP = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(48, 48) for _ in range(8)])
        self.out = nn.Linear(48, 5)
    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.out(x)
"""
IMAGES = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.second = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.hidden, self.out = nn.Linear(32 * 8 * 8, 64), nn.Linear(64, 10)
        nn.init.kaiming_normal_(self.hidden.weight)
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.norm(self.second(x))), 2)
        return self.out(F.relu(self.hidden(x.view(x.size(0), -1))))
"""
TOKENS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.out = nn.Linear(32, 20)
    def forward(self, ids):
        return self.out(self.encoder(self.embed(ids)).mean(1))
"""
INPUTS = {"deep": (8, 48), "images": (8, 3, 32, 32), "tokens": (8, 16)}
TEXTS = {"deep": DEEP, "images": IMAGES, "tokens": TOKENS}
SEEDS = 4


def graph_of(text: str) -> ModelGraph:
    (found,) = read_file(Source("file.py", HEAD + text), Project(".")).graphs
    return found


def fed(name: str) -> Tensor:
    shape = INPUTS[name]
    return torch.randint(0, 100, shape) if name == "tokens" else torch.randn(shape)


def measured(name: str) -> dict[str, float]:
    space: dict[str, Any] = {}
    exec(HEAD + TEXTS[name], space)
    squares: dict[str, float] = {}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = space["Net"]().train()
        made = model(fed(name))
        (made * torch.randn_like(made)).sum().backward()
        for parameter, value in model.named_parameters():
            if value.dim() > 1:
                squares[parameter] = squares.get(parameter, 0.0) + float(value.grad.square().mean()) / SEEDS
    return {parameter: math.sqrt(square) for parameter, square in squares.items()}


@pytest.mark.parametrize("name", TEXTS)
def test_gradients_of_a_file_that_is_only_read(name: str) -> None:
    found, truth = predict(graph_of(TEXTS[name])).gradients, measured(name)
    errors = {one: abs(math.log10(found[one] / size)) for one, size in truth.items()}
    assert 10 ** statistics.median(errors.values()) < 1.4, errors
    assert 10 ** max(errors.values()) < 2.5, errors


UNFIT = DEEP.replace("return self.out(x)", "return self.out(x.reshape(-1, 7))")


def test_shapes_that_fit_nothing_are_no_prediction() -> None:
    found = predict(graph_of(UNFIT))
    assert not found.gradients
