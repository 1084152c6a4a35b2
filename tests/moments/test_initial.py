"""Known initialisers against what torch draws, and the defaults of its own layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gradlint.analysis.moments.initial import Role, initial, measured, told
from gradlint.graph import Initialisation, Moments, Parameter

SHAPE = (240, 160)
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("uniform_", {"a": -0.3, "b": 0.1}),
    ("normal_", {"mean": 0.2, "std": 0.5}),
    ("trunc_normal_", {"std": 0.02}),
    ("trunc_normal_", {"mean": 0.5, "std": 1.0, "a": -1.0, "b": 1.0}),
    ("constant_", {"val": 0.25}),
    ("ones_", {}),
    ("zeros_", {}),
    ("xavier_uniform_", {"gain": 1.5}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {"a": 5**0.5}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", {"nonlinearity": "tanh"}),
    ("orthogonal_", {"gain": 2.0}),
    ("sparse_", {"sparsity": 0.9, "std": 0.1}),
    ("eye_", {}),
]


@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_initialisers_are_known(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    drawn = getattr(nn.init, name)(torch.empty(SHAPE), **arguments)
    start = told([Initialisation("empty"), Initialisation(name, arguments)], SHAPE)
    assert start is not None
    assert start.mean == pytest.approx(float(drawn.mean()), abs=0.02)
    assert start.variance + start.mean**2 == pytest.approx(float(drawn.square().mean()), rel=0.05, abs=1e-9)


def test_convolutions_count_their_kernels() -> None:
    torch.manual_seed(0)
    drawn = nn.init.kaiming_uniform_(torch.empty(64, 32, 3, 3), a=1.0)
    start = told([Initialisation("kaiming_uniform_", {"a": 1.0})], (64, 32, 3, 3))
    assert start is not None
    assert start.variance == pytest.approx(float(drawn.var()), rel=0.05)


def test_the_last_initialiser_counts_and_an_unknown_one_says_nothing() -> None:
    zeros, mystery = Initialisation("zeros_"), Initialisation("fancy_")
    assert told([Initialisation("normal_"), zeros], SHAPE) is not None
    assert told([zeros, mystery], SHAPE) is None


def test_writes_that_start_from_what_was_there_are_followed() -> None:
    torch.manual_seed(0)
    drawn = torch.empty(SHAPE).uniform_(-0.9, 0.9).erfinv_().mul_(0.05).add_(0.3).clamp_(-2.0, 2.0)
    uniform = ("uniform_", {"0": -0.9, "1": 0.9})
    calls: list[tuple[str, dict[str, Any]]] = [
        uniform, ("erfinv_", {}), ("mul_", {"0": 0.05}), ("add_", {"0": 0.3}), ("clamp_", {}),
    ]  # fmt: skip
    start = told([Initialisation(name, arguments) for name, arguments in calls], SHAPE)
    assert start is not None
    assert start.mean == pytest.approx(float(drawn.mean()), rel=0.01)
    assert start.variance == pytest.approx(float(drawn.var()), rel=0.05)


LAYERS: list[tuple[nn.Module, str]] = [
    (nn.Linear(120, 80), "linear"),
    (nn.Conv2d(16, 32, 3), "conv2d"),
    (nn.Embedding(200, 32), "embedding"),
    (nn.LSTM(64, 64), "lstm"),
    (nn.GRU(64, 64), "gru"),
    (nn.BatchNorm2d(64), "batch_norm"),
    (nn.LayerNorm(64), "layer_norm"),
]


@pytest.mark.parametrize(("layer", "op"), LAYERS, ids=[op for _, op in LAYERS])
def test_defaults_of_layers(layer: nn.Module, op: str) -> None:
    fan = next((p.shape[1:].numel() for p in layer.parameters() if p.dim() > 1), None)
    for name, value in layer.named_parameters():
        found = initial(Parameter(name, tuple(value.shape), value.numel()), Role(op, 1, fan))
        assert found is not None
        assert found.square == pytest.approx(float(value.detach().square().mean()), rel=0.35, abs=1e-6)


def test_constant_weights_are_alike_everywhere() -> None:
    assert measured(Moments(1.0, 1.0, (1.0,)), (16,)).cross == (1.0,)
