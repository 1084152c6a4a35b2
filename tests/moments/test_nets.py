"""Whole nets: predicted gradients against backward passes over fresh weights."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradlint.analysis.moments import Prediction, predict
from gradlint.frontends.recorder.live import record
from gradlint.graph import ModelGraph

SEEDS = 4
Build = Callable[[], nn.Module]


def graph_of(model: nn.Module, x: Tensor) -> ModelGraph:
    (graph,) = record(model, (x,), training=True).graphs()
    return graph


def gradients(build: Build, x: Callable[[], Tensor]) -> dict[str, float]:
    """Root mean squares over fresh weights."""
    squares: dict[str, float] = {}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = build().train()
        made = model(x())
        (made * torch.randn_like(made)).sum().backward()
        for name, value in model.named_parameters():
            grown = float(value.grad.square().mean()) / SEEDS if value.grad is not None else 0.0
            squares[name] = squares.get(name, 0.0) + grown
    return {name: math.sqrt(one) for name, one in squares.items()}


def compare(build: Build, shape: tuple[int, ...], typical: float = 1.35, worst: float = 2.5) -> Prediction:
    torch.manual_seed(0)
    model = build()
    guess = predict(graph_of(model, torch.randn(shape)))
    truth = gradients(build, lambda: torch.randn(shape))
    errors = {
        name: abs(math.log10(guess.gradients[name] / truth[name]))
        for name, value in model.named_parameters()
        if value.dim() > 1
    }
    assert 10 ** statistics.median(errors.values()) < typical, errors
    assert 10 ** max(errors.values()) < worst, errors
    assert not guess.unknown
    return guess


def mlp(act: Build, norm: Callable[[int], nn.Module] | None, depth: int = 8, width: int = 48) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), *([norm(width)] if norm else []), act()]
    return nn.Sequential(*layers, nn.Linear(width, 8))


@pytest.mark.parametrize("act", [nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm1d, nn.LayerNorm], ids=["none", "batch", "layer"])
def test_plain_nets(act: Build, norm: Callable[[int], nn.Module] | None) -> None:
    compare(lambda: mlp(act, norm), (32, 48), typical=1.5)


def test_a_deep_sigmoid_stack_vanishes() -> None:
    found = predict(graph_of(mlp(nn.Sigmoid, None, depth=12), torch.randn(32, 48))).gradients
    assert found["0.weight"] < 1e-6 * found["24.weight"]


def test_convolutions_norms_and_pools() -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 32, 1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 8),
        )  # fmt: skip

    compare(build, (8, 3, 16, 16))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.GELU()) for _ in range(6))
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        made: Tensor = self.head(x)
        return made


def test_residual_branches() -> None:
    compare(Residual, (16, 32))


class ClassToken(nn.Module):
    """A token of its own size before the others, and only its result read."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 32) * 1e-3)
        self.embed = nn.Linear(32, 32)
        self.norm = nn.LayerNorm(32)
        self.qkv = nn.Linear(32, 96)
        self.out = nn.Linear(32, 32)
        self.head = nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), self.embed(x)], 1)
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + self.out(nn.functional.scaled_dot_product_attention(q, k, v))
        made: Tensor = self.head(x[:, 0])
        return made


def test_parts_of_different_size() -> None:
    found = compare(ClassToken, (8, 15, 32))
    assert found.gradients["token"] > 0.0


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(kind: type[nn.Module]) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = kind(24, 32, batch_first=True)
            self.head = nn.Linear(32, 8)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.head(self.layer(x)[0])
            return made

    compare(Last, (8, 12, 24), typical=1.5)


def test_an_encoder_layer() -> None:
    compare(lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), (8, 10, 32))


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.second(torch.relu(self.first(x)).detach())
        return made


def test_nothing_passes_a_cut() -> None:
    found = predict(graph_of(Detached(), torch.randn(4, 8))).gradients
    assert "first.weight" not in found
    assert found["second.weight"] > 0.0


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = torch.special.i0e(self.layer(x))
        return made


def test_ops_without_a_rule_are_told_and_nothing_is_said_of_gradients_through_them() -> None:
    found = predict(graph_of(Odd(), torch.randn(4, 8)))
    assert found.unknown == {"special_i0e"}
    assert not found.gradients


def test_one_graph_is_predicted_once() -> None:
    graph = graph_of(Odd(), torch.randn(4, 8))
    assert predict(graph) is predict(graph)


SHARE_LAYERS: list[Any] = [nn.ReLU, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.GELU]


@pytest.mark.parametrize("act", SHARE_LAYERS)
@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_dead_and_saturated_shares(act: Build, spread: float) -> None:
    torch.manual_seed(0)
    model = mlp(act, nn.LayerNorm, depth=3, width=64)
    for part in model.modules():
        if isinstance(part, nn.LayerNorm):
            nn.init.constant_(part.weight, spread)
            nn.init.normal_(part.bias, std=spread)
    graph = graph_of(model, torch.randn(8, 64))
    found = predict(graph).values
    pairs = [(n.measured, found[n.id]) for n in graph.nodes if n.measured and n.measured.dead is not None]
    assert len(pairs) == 3
    for truth, guess in pairs:
        assert guess.dead == pytest.approx(truth.dead, abs=0.1)
        assert guess.saturated == pytest.approx(truth.saturated, abs=0.1)
