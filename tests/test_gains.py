"""The gains of layers along a run against what torch makes of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from gradlint.analysis.gains import gains, sizes
from gradlint.analysis.structure import runs
from gradlint.frontends.recorder.live import record
from gradlint.graph import ModelGraph
from gradlint.linting import run_settings, settings_tree
from gradlint.report.graph.asked import graphs_of

FACTOR = 2.0
"""What a prediction of a plain chain may be off by."""


class Scaled(nn.Module):
    """A chain with a factor in front of each activation."""

    def __init__(self, factor: float, depth: int = 5, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.sin(self.factor * layer(x))
        return x


def chain(activation: type[nn.Module], deviation: float | None = None, depth: int = 6, width: int = 128) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), activation()]
        if deviation is not None:
            nn.init.normal_(layers[-2].weight, std=deviation)  # type: ignore[arg-type]
    return nn.Sequential(*layers, nn.Linear(width, 10))


MODELS = {
    "relu": lambda: chain(nn.ReLU),
    "relu, large": lambda: chain(nn.ReLU, 0.5),
    "relu, small": lambda: chain(nn.ReLU, 0.01),
    "tanh": lambda: chain(nn.Tanh),
    "tanh, large": lambda: chain(nn.Tanh, 0.3),
    "sigmoid": lambda: chain(nn.Sigmoid),
    "gelu": lambda: chain(nn.GELU),
    "leaky": lambda: chain(nn.LeakyReLU),
    "sine": lambda: Scaled(30.0),
    "sine, small": lambda: Scaled(0.5),
}


def recorded(name: str) -> ModelGraph:
    torch.manual_seed(0)
    return next(record(MODELS[name](), torch.randn(64, 128)).graphs())


@pytest.mark.parametrize("name", MODELS)
def test_the_ratio_of_a_chain_is_that_of_torch(name: str) -> None:
    graph = recorded(name)
    (run,) = runs(graph)
    predicted = sizes(gains(graph, run))
    measured = [weight.measured_rms or 0.0 for weight in run.weights]
    layers = len(measured) - 1
    off = math.log(predicted[0] / predicted[-1]) - math.log(measured[0] / measured[-1])
    assert abs(off) / layers < math.log(FACTOR) / 2


FILE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(7))
        nn.init.normal_(self.layers[0].weight, std=0.3)
        nn.init.uniform_(self.layers[1].weight, -0.02, 0.02)
        nn.init.xavier_uniform_(self.layers[2].weight, gain=3.0)
        nn.init.kaiming_normal_(self.layers[3].weight, nonlinearity="relu")
        nn.init.orthogonal_(self.layers[4].weight, 0.5)
        self.layers[5].weight.data.normal_(0.0, 0.01)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


def gradlint_inputs():
    return torch.randn(16, 128)
"""


def test_initialisers_in_source_tell_what_the_weights_show(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(FILE)
    found = []
    for depth in ("trace", "source"):
        settings = run_settings([str(file)], settings_tree({"depth": depth, "isolated": True}))
        (graph,) = graphs_of(str(file), settings)
        found.append([gain for run in runs(graph) for gain in gains(graph, run)])
    measured, read = found
    assert [gain.by_hand for gain in read] == [gain.by_hand for gain in measured]
    assert [gain.forward for gain in read] == [pytest.approx(gain.forward, rel=0.1) for gain in measured]
