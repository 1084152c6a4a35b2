"""How large every value and every gradient of a model is before the first step, predicted from its graph.

Second moments, means and per-axis cross-moments are propagated forward from the parameters' initial distributions, and
back from the targets, without running anything: for weights that do not exist, for files that are only read.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from gradlint import ops
from gradlint.analysis.moments.assumed import completed, is_open
from gradlint.analysis.moments.propagation import UNFIT, Pass, run
from gradlint.analysis.moments.shares import feature_axis, shares
from gradlint.graph import ModelGraph, Node, NodeKind, Signal


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is predicted of a model's first step.

    `gradients` are the root mean squares of the trainable parameters' gradients by name, zero where none arrives in
    exact arithmetic, and absent where they are not known; `values` the sizes of the values by node; `unknown` the ops
    that are not modelled: behind them values are guesses, and gradients that depend on such are left out.
    """

    gradients: Mapping[str, float]
    values: Mapping[int, Signal]
    unknown: frozenset[str]


_known: WeakKeyDictionary[ModelGraph, Prediction] = WeakKeyDictionary()


def predict(graph: ModelGraph) -> Prediction:
    """The prediction for a graph, computed once; empty for one whose shapes contradict each other."""
    if graph not in _known:
        try:
            _known[graph] = _assumed(graph) if is_open(graph) else _predicted(graph, run(graph))
        except UNFIT:
            _known[graph] = Prediction({}, {}, frozenset())
    return _known[graph]


def _assumed(graph: ModelGraph) -> Prediction:
    """The prediction for a graph without shapes, as far as it does not depend on the ones that are assumed."""
    found = [_predicted(one, run(one)) for one in completed(graph)]
    if not found:
        return _predicted(graph, run(graph))
    first, other = found
    return Prediction(_agreed(first.gradients, other.gradients), first.values, first.unknown)


AGREED = 1.2
"""What two assumed sizes of a batch may change in the ratio of two gradients."""


def _agreed(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """The gradients whose ratios to the others are the same for both sizes of a batch."""
    ratios = {name: other[name] / size for name, size in one.items() if size > 0.0 and other.get(name, 0.0) > 0.0}
    if not ratios:
        return {}
    middle = statistics.median(ratios.values())
    near = {name for name, ratio in ratios.items() if 1.0 / AGREED < ratio / middle < AGREED}
    nothing = {name for name, size in one.items() if size == other.get(name) == 0.0}
    return {name: size for name, size in one.items() if name in near or name in nothing}


def _predicted(graph: ModelGraph, state: Pass) -> Prediction:
    gradients = {
        parameter.name: math.sqrt(state.gradients[parameter.node].square)
        for parameter in graph.model.trainable
        if parameter.node in state.gradients and parameter.node not in state.unsure
    }
    return Prediction(gradients, _signals(graph, state), frozenset(state.unknown))


def _signals(graph: ModelGraph, state: Pass) -> dict[int, Signal]:
    units = _units(graph, state)
    found = {}
    for number, value in state.values.items():
        gradient = state.gradients.get(number) if number not in state.unsure else None
        size = math.sqrt(gradient.square) if gradient is not None else None
        dead, saturated = units.get(number, (None, None))
        found[number] = Signal(math.sqrt(value.field.square), value.field.mean, size, dead, saturated)
    return found


def _units(graph: ModelGraph, state: Pass) -> dict[int, tuple[float, float]]:
    """The shares of dead units and of saturated elements behind each activation."""
    found = {}
    for step in state.steps:
        node = step.call.node
        value = state.values.get(node.id)
        if value is None or not step.call.reads:
            continue
        known = shares(step.call, value, feature_axis(_history(graph, step.call.reads[0].node), len(node.shape or ())))
        if known is not None:
            found[node.id] = known
    return found


NEAR = 4
"""Ops behind one another that are asked for the axis of features."""


def _history(graph: ModelGraph, node: Node) -> list[tuple[str, ops.Kind | None]]:
    """The ops that led to a value along its first operands, the last one first."""
    found: list[tuple[str, ops.Kind | None]] = []
    while len(found) < NEAR and node.kind is NodeKind.OP:
        known = ops.facts(node.op)
        found.append((node.op, known.kind if known is not None else None))
        first = next(iter(graph.incoming(node.id)), None)
        if first is None:
            break
        node = graph.node(first.source)
    return found
