"""What the recorder measures: moments of parameters, sizes of values and gradients, dead and saturated units."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradlint.frontends.recorder import sizes
from gradlint.frontends.recorder.live import record
from gradlint.graph import ModelGraph, Moments, Node, Signal
from gradlint.recording import decode, encode


class Watched(nn.Module):
    """Two layers around an activation; it keeps what passes by, for the tests to look at."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.inner, self.activation, self.outer = nn.Linear(6, 8), activation, nn.Linear(8, 3)
        self.seen: list[float] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.inner(x)
        self.seen.append(hidden.detach().double().square().mean().sqrt().item())
        return self.outer(self.activation(hidden))


def graph_of(model: nn.Module, x: torch.Tensor) -> ModelGraph:
    return next(record(model, x).graphs())


def op(graph: ModelGraph, name: str) -> Node:
    return next(node for node in graph.nodes if node.op == name)


def signal(graph: ModelGraph, name: str) -> Signal:
    found = op(graph, name).measured
    assert found is not None
    return found


def test_values_and_gradients_are_measured() -> None:
    model = Watched(nn.Tanh())
    graph = graph_of(model, torch.randn(5, 6))
    first = signal(graph, "linear")
    assert first.rms == pytest.approx(model.seen[0], rel=1e-5)
    assert first.gradient_rms is not None
    weight = next(p for p in graph.model.parameters if p.name == "inner.bias")
    # The gradient of a bias is the sum of what arrives at the layer's result, over the batch of five.
    assert weight.measured_rms is not None
    assert weight.measured_rms < 5 * first.gradient_rms * math.sqrt(8)


def test_the_gradient_of_a_value_is_that_of_torch() -> None:
    model = nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 1, bias=False))
    graph = graph_of(model, torch.randn(1, 4))
    head, behind = signal(graph, "relu"), next(p for p in graph.model.parameters if p.name == "2.weight")
    assert head.gradient_rms is not None
    assert behind.measured_rms is not None
    # One projection p of one output: the weight gets p times the signal, the signal p times the weight.
    size = model[2].weight.detach().double().square().mean().sqrt().item()
    assert head.gradient_rms / size == pytest.approx(behind.measured_rms / head.rms, rel=1e-4)


@pytest.mark.parametrize("inplace", [False, True])
def test_dead_units_are_told_from_unlucky_elements(inplace: bool) -> None:
    model = Watched(nn.ReLU(inplace))
    with torch.no_grad():
        model.inner.bias[:2] = -100.0
    found = signal(graph_of(model, torch.randn(64, 6)), "relu")
    assert found.dead == pytest.approx(2 / 8)
    assert found.saturated is not None
    assert 0.4 < found.saturated < 0.9


def test_saturation_is_a_share_of_elements() -> None:
    model = Watched(nn.Tanh())
    with torch.no_grad():
        model.inner.weight.zero_()
        model.inner.bias.copy_(torch.tensor([0.0, 1, 2, 3, 4, 5, 6, -7]))
    found = signal(graph_of(model, torch.randn(4, 6)), "tanh")
    # 1 - tanh(x)^2 is below a twentieth from 2.18 on.
    assert found.saturated == pytest.approx(5 / 8)
    assert found.dead == 0.0


def test_units_of_a_convolution_are_its_channels() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    with torch.no_grad():
        model[0].bias[0] = -100.0
    assert signal(graph_of(model, torch.randn(2, 3, 8, 8)), "relu").dead == pytest.approx(1 / 4)


def test_a_recording_measures_without_adding_to_it() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3))
    graph = graph_of(model, torch.randn(2, 6))
    assert [node.op for node in graph.nodes if node.kind == "op"] == ["linear", "gelu", "linear"]


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_saves_is_not_added_to(reentrant: bool) -> None:
    class Checkpointed(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return checkpoint(super().forward, x.requires_grad_(), use_reentrant=reentrant)  # type: ignore[no-any-return]

    graph = graph_of(Checkpointed(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 3)), torch.randn(2, 6))
    assert graph.training is None or not any(event.error for event in graph.training.events)
    assert all(parameter.measured_rms for parameter in graph.model.parameters)


def test_a_model_on_the_meta_device_has_no_sizes() -> None:
    with torch.device("meta"):
        model, x = Watched(nn.Tanh()), torch.randn(2, 6)
    model.forward = lambda x: model.outer(model.activation(model.inner(x)))  # type: ignore[method-assign]
    graph = graph_of(model, x)
    assert all(node.measured is None for node in graph.nodes)
    assert all(p.moments is None and p.measured_rms is None for p in graph.model.parameters)


def test_measurements_travel() -> None:
    found = record(Watched(nn.Sigmoid()), torch.randn(2, 6))
    again = decode(encode(found))
    assert [node.measured for node in again.nodes] == [node.measured for node in found.nodes]
    assert [p.moments for p in again.models[0].parameters] == [p.moments for p in found.models[0].parameters]


def test_moments_are_those_before_the_first_step() -> None:
    model = Watched(nn.ReLU())
    with torch.no_grad():
        model.inner.weight.fill_(0.5)
    weight = next(p for p in graph_of(model, torch.randn(2, 6)).model.parameters if p.name == "inner.weight")
    assert weight.moments == Moments(pytest.approx(0.25), pytest.approx(0.5), (pytest.approx(0.25),) * 2)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-30, 1e20), st.integers(1, 40), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_sizes_scale(scale: float, elements: int, dtype: torch.dtype) -> None:
    values = torch.linspace(0.5, 1.5, elements, dtype=torch.float64)
    expected = scale * math.sqrt(values.square().mean().item())
    assert sizes.rms((values * scale).to(dtype)) == pytest.approx(expected, rel=2e-2)


def test_zero_is_told_from_what_squares_to_zero() -> None:
    assert sizes.rms(torch.full((4,), 1e-30)) == pytest.approx(1e-30, rel=1e-5)
    assert sizes.rms(torch.zeros(4)) == 0.0


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 30), st.integers(8, 30), st.integers(0, 1000))
def test_equal_rows_have_the_cross_moment_of_one(rows: int, columns: int, seed: int) -> None:
    row = torch.randn(columns, generator=torch.Generator().manual_seed(seed))
    found = sizes.moments(row.expand(rows, columns))
    assert found is not None
    assert found.cross[0] == pytest.approx(found.square, rel=1e-3)


def test_independent_weights_have_no_cross_moments() -> None:
    found = sizes.moments(torch.randn(300, 400, generator=torch.Generator().manual_seed(1)) * 0.02)
    assert found is not None
    assert found.square == pytest.approx(4e-4, rel=0.02)
    assert found.mean == 0.0
    assert found.cross == (0.0, 0.0)


def test_the_shares_of_a_large_value_come_from_a_part_that_keeps_an_axis() -> None:
    part = sizes.thinned(torch.empty(64, 7, 128, 128), 10_000, kept=1)
    assert part.shape[1] == 7
    assert part.numel() <= 10_000
