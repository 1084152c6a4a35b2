"""What the initial scale makes of a signal along a run: the gain of each layer, forward and back, by its fans.

A layer of independent weights multiplies the power of its signal by fan_in E[w^2], that of its gradient by fan_out
E[w^2] (Glorot and Bengio 2010); what stands behind it bends a signal that is normal (He et al. 2015, section 2.2). No
shape of a value is needed, so that it holds for sources too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from weakref import WeakKeyDictionary

from gradlint import ops
from gradlint.analysis.initial_scale import Scale, is_by_hand, scale_of
from gradlint.analysis.linear_maps import PRODUCTS, LinearMap
from gradlint.analysis.moments import activations, elementwise
from gradlint.analysis.moments.curves import Curve, Function, composed, identity, moments, share_below
from gradlint.analysis.moments.field import independent
from gradlint.analysis.norms import is_kind
from gradlint.analysis.operands import literal, number, pair
from gradlint.analysis.structure import Layer, Run
from gradlint.graph import Initialisation, ModelGraph, Node

CURVES: dict[str, Function] = {
    **elementwise.FUNCTIONS,
    **activations.FUNCTIONS,
    "gelu": activations.gelu,
    "elu": activations.elu,
    "celu": activations.celu,
    "softplus": activations.softplus,
    "prelu": partial(activations.leaky, slope=activations.PRELU),
}

LEAKY, CLIPPED = "leaky_relu", "hardtanh"
KEEPING = (
    ops.Kind.CAST,
    ops.Kind.DROPOUT,
    ops.Kind.INDEXING,
    ops.Kind.PADDING,
    ops.Kind.POOL,
    ops.Kind.RESAMPLING,
    ops.Kind.RESHAPE,
)
"""Ops that leave the size of the elements about as it is."""

AVERAGE = "mean"
SCALING = {"mul": 1, "div": -1}
FLAT = 0.05
"""Share of an activation's largest derivative below which an element is saturated."""

SPARSE = 2
"""Axes of a weight that belong to no kernel."""


@dataclass(frozen=True, slots=True)
class Gain:
    """One layer of a run.

    `forward` is what its weights and factors multiply the root mean square of their signal by, up to its activation,
    and `kept` what that leaves of it; `before` and `made` are those of what it reads and of what its activation makes,
    the bias with it. `back` is what its weight multiplies a gradient by, `slope` what stands behind it does, `bend`
    what its activation alone does, and `saturated` the share of elements that are flat there.
    """

    layer: Layer
    call: Initialisation | None
    by_hand: bool
    before: float
    forward: float
    kept: float
    made: float
    back: float
    slope: float
    bend: float
    saturated: float


_known: WeakKeyDictionary[ModelGraph, dict[int, tuple[Gain, ...]]] = WeakKeyDictionary()


def gains(graph: ModelGraph, run: Run) -> tuple[Gain, ...]:
    """The gains of a run's layers, for a signal of unit power; empty where one of them is not understood."""
    known = _known.setdefault(graph, {})
    first = run.layers[0].node.id
    if first not in known:
        known[first] = _gains(graph, run)
    return known[first]


def _gains(graph: ModelGraph, run: Run) -> tuple[Gain, ...]:
    found: list[Gain] = []
    power, mean = 1.0, 0.0
    for layer in run.layers:
        made = _gain(graph, layer, power, mean)
        if made is None:
            return ()
        gain, power, mean = made
        found.append(gain)
    return tuple(found)


def sizes(found: Sequence[Gain]) -> list[float]:
    """The root mean squares of the gradients of a run's weights, but for a common factor."""
    backward = [1.0]
    for before, after in reversed(list(pairwise(found))):
        backward.append(backward[-1] * after.back * before.slope)
    return [gain.before * arrived for gain, arrived in zip(found, reversed(backward), strict=True)]


def kept(graph: ModelGraph, run: Run, among: Callable[[Layer], object]) -> float:
    """What some layers of a run leave of the size of a signal; zero where that is not known."""
    found = [gain for gain in gains(graph, run) if among(gain.layer) and gain.before > 0]
    return math.prod(gain.made / gain.before for gain in found) if found else 0.0


def _gain(graph: ModelGraph, layer: Layer, power: float, mean: float) -> tuple[Gain, float, float] | None:
    """A layer's gain, and the mean square and the mean of what it makes of a signal.

    Independent weights add the powers of what they read; their mean adds up the signal's own.
    """
    scale, fans = scale_of(layer.weight, layer.node, graph), _fans(layer)
    if scale is None or fans is None:
        return None
    summed = fans[0] * scale.square * power + fans[0] * (fans[0] - 1) * scale.mean**2 * mean**2
    whole = summed + next((one.square for one in _biases(graph, layer) if one is not None), 0.0)
    bent = _bent(graph, layer, whole)
    if bent is None:
        return None
    curve, factor = bent
    square, middle, _ = moments(curve.values, ())
    slope, _, _ = moments(curve.slopes, ())
    gain = Gain(
        layer,
        scale.call,
        is_by_hand(graph, layer.weight),
        math.sqrt(power),
        math.sqrt(summed / power) * factor if power > 0 else 0.0,
        math.sqrt(square / whole) / factor if whole > 0 and factor else 0.0,
        math.sqrt(square),
        math.sqrt(fans[1] * scale.square),
        math.sqrt(slope),
        math.sqrt(slope) / factor if factor else 0.0,
        _saturated(layer, curve, factor),
    )
    return gain, square, middle


def _biases(graph: ModelGraph, layer: Layer) -> Iterator[Scale | None]:
    read = (graph.model.read.get(edge.source) for edge in graph.incoming(layer.node.id))
    return (scale_of(one, layer.node, graph) for one in read if one is not None and len(one.shape) == 1)


def _fans(layer: Layer) -> tuple[float, float] | None:
    """The products that one output sums over, and those that one input is part of."""
    found = LinearMap(layer.node, layer.weight)
    wide, high = found.widths
    made = layer.node.shape
    if layer.node.op in PRODUCTS and made and made[-1] == wide != high:
        wide, high = high, wide
    step, extent = found.step, math.prod(found.extent)
    if not step or min(wide, high, extent) < 1:
        return None
    if found.transposed:
        return wide * extent / step, float(high * extent)
    groups = _groups(layer)
    return float(wide * extent), high / groups * extent / step


def _groups(layer: Layer) -> int:
    """The groups of a convolution."""
    given = number(literal(layer.node, 6, "groups"))
    depthwise = len(layer.weight.shape) > SPARSE and layer.weight.shape[1] == 1
    return int(given) if given else layer.weight.shape[0] if depthwise else 1


def _bent(graph: ModelGraph, layer: Layer, power: float) -> tuple[Curve, float] | None:
    """What the steps behind a layer make of a normal value, and the number that it is multiplied by before they bend.

    None where a step is not understood.
    """
    curve, factor, straight = identity(0, independent((), power)), 1.0, True
    for step in layer.steps:
        times = _factor(graph, step)
        function = partial(_times, times) if times is not None else _function(graph, step)
        if function is None:
            if not (is_kind(step, *KEEPING) or step.op == AVERAGE):
                return None
            continue
        curve = composed(curve, function)
        straight = straight and times is not None
        factor = factor * times if times is not None and straight else factor
    return curve, abs(factor)


def _times(factor: float, x: float) -> tuple[float, float]:
    return factor * x, factor


def _plus(shift: float, x: float) -> tuple[float, float]:
    return x + shift, 1.0


def _factor(graph: ModelGraph, step: Node) -> float | None:
    """The number that a value is multiplied by."""
    if step.op not in SCALING:
        return None
    left, right = pair(graph, step)
    value = number(right) if isinstance(left, Node) else number(left) if step.op == "mul" else None
    return float(value) ** SCALING[step.op] if value else None


def _function(graph: ModelGraph, step: Node) -> Function | None:
    """An elementwise op as a function of one number; a vector that is added is a bias, and small."""
    if step.op in ("add", "sub"):
        left, right = pair(graph, step)
        shift = number(right) if isinstance(left, Node) else number(left)
        return partial(_plus, float(shift or 0.0)) if step.op == "add" or isinstance(left, Node) else None
    if step.op == LEAKY:
        slope = number(literal(step, 1, "negative_slope"))
        return partial(activations.leaky, slope=activations.LEAK if slope is None else float(slope))
    if step.op == CLIPPED:
        return partial(activations.clipped, low=-1.0, high=1.0) if not step.literals else None
    return CURVES.get(step.op)


def _saturated(layer: Layer, curve: Curve, factor: float) -> float:
    """The share of elements that are flat behind the saturating activations of a layer."""
    bounds = [fact.derivative_bound for step in layer.saturating if (fact := ops.facts(step.op)) is not None]
    if not bounds or None in bounds:
        return 0.0
    return share_below(curve.slopes, FLAT * factor * math.prod(bound for bound in bounds if bound is not None))
