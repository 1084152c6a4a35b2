"""One op, predicted and tried out many times: operands drawn anew each time, gradients from a fresh cotangent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gradlint.analysis.moments.field import Field
from gradlint.analysis.moments.propagation import Pass, run
from gradlint.frontends.recorder.live import record
from gradlint.graph import ModelGraph, Moments

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Drawn:
    """A normal tensor of a shape: its mean, its deviation, and what all places along some axes share."""

    shape: Shape
    mean: float = 0.0
    deviation: float = 1.0
    shared: float = 0.0
    along: tuple[int, ...] = ()

    def sample(self) -> Tensor:
        """Fresh numbers."""
        narrow = [1 if axis in self.along else size for axis, size in enumerate(self.shape)]
        return self.mean + self.deviation * torch.randn(self.shape) + self.shared * torch.randn(narrow)

    @property
    def moments(self) -> Moments:
        """Their true moments."""
        common = self.mean**2
        square = common + self.deviation**2 + self.shared**2
        inner = common + self.shared**2 if self.along else common
        return Moments(square, self.mean, tuple(inner if a in self.along else common for a in range(len(self.shape))))


class Trial(nn.Module):
    """An op whose operands are parameters."""

    def __init__(self, function: Callable[..., Any], operands: Mapping[str, Drawn]) -> None:
        super().__init__()
        self.function = function
        self.drawn = dict(operands)
        for name, one in operands.items():
            setattr(self, name, nn.Parameter(one.sample()))

    def forward(self) -> Any:
        return self.function(*(getattr(self, name) for name in self.drawn))

    def redraw(self) -> None:
        """Fresh operands, and no gradients."""
        for name, one in self.drawn.items():
            getattr(self, name).data.copy_(one.sample())
            getattr(self, name).grad = None


@dataclass(frozen=True)
class Seen:
    """Moments of the result, and mean squares of the gradients by operand."""

    shape: Shape
    square: float
    mean: float
    cross: tuple[float, ...]
    gradients: dict[str, float]


def predicted(function: Callable[..., Any], operands: Mapping[str, Drawn]) -> Seen:
    """What the moments say."""
    graph, state = propagated(function, operands)
    made = state.values[graph.model.targets[0]].field
    gradients = {p.name: gradient(state, p.node) for p in graph.model.parameters if p.node is not None}
    assert not state.unknown
    return Seen(made.shape, made.square, made.mean, made.cross, gradients)


def propagated(function: Callable[..., Any], operands: Mapping[str, Drawn]) -> tuple[ModelGraph, Pass]:
    """The graph of a trial whose operands have their true moments, and the propagation through it."""
    torch.manual_seed(0)
    (graph,) = record(Trial(function, operands), (), training=True).graphs()
    known = tuple(replace(p, moments=operands[p.name].moments) for p in graph.model.parameters)
    exact = graph.for_model(replace(graph.model, parameters=known))
    return exact, run(exact)


def gradient(state: Pass, node: int) -> float:
    """The mean square of the gradient at a node."""
    found: Field | None = state.gradients.get(node)
    return found.square if found is not None else 0.0


def measured(function: Callable[..., Any], operands: Mapping[str, Drawn], times: int) -> Seen:
    """What many runs say on average."""
    torch.manual_seed(1)
    trial = Trial(function, operands)
    squares, means, crosses = 0.0, 0.0, [0.0] * 8
    gradients = dict.fromkeys(operands, 0.0)
    shape: Shape = ()
    for _ in range(times):
        trial.redraw()
        made = trial()
        (made * torch.randn_like(made)).sum().backward()
        value = made.detach().double()
        shape = tuple(value.shape)
        squares += float(value.square().mean()) / times
        means += float(value.mean()) / times
        for axis in range(len(shape)):
            crosses[axis] += cross(value, axis) / times
        for name in operands:
            gradients[name] += float(getattr(trial, name).grad.double().square().mean()) / times
    return Seen(shape, squares, means, tuple(crosses[: len(shape)]), gradients)


def cross(value: Tensor, axis: int) -> float:
    """E[x y] of two elements that differ along one axis."""
    size = value.shape[axis]
    own = float(value.square().mean())
    if size < 2:
        return own
    return (float(value.sum(axis).square().mean()) / size - own) / (size - 1)


def ratio(one: float, other: float) -> float:
    """How far two sizes are apart, as a factor of at least one."""
    if one <= 0.0 or other <= 0.0:
        return 1.0 if one == other else math.inf
    return max(one / other, other / one)
