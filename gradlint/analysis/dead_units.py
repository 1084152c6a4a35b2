"""Units that cannot fire, and activations that cannot leave saturation: by interval, by the bias they start with, or
as they were measured.

An interval proves it for every input. A bias proves it for the start of training: the pre-activation of a layer is a
sum over its inputs, close to normal with the initialiser's gain as its standard deviation for inputs of unit power. A
measurement shows it for the inputs of one pass, when every unit was seen often enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

from gradlint import ops
from gradlint.analysis.activations import activations, is_weighing
from gradlint.analysis.initial_scale import is_by_hand
from gradlint.analysis.learning import takes_part
from gradlint.analysis.norms import is_kind
from gradlint.analysis.operands import inputs, literal, number, operand, pair
from gradlint.analysis.predicted import predicted_signals
from gradlint.analysis.signals import only_reader, signal, signals, weight_of
from gradlint.analysis.structure import initialised_by
from gradlint.analysis.values_of import domain
from gradlint.finding import Evidence
from gradlint.graph import UNKNOWN_SIZE, Initialisation, ModelGraph, Node, NodeKind, Parameter

NO_END = math.inf

LINEAR_PART: dict[str, tuple[float, float]] = {
    "relu": (0.0, NO_END),
    "relu6": (0.0, 6.0),
    "gelu": (-4.0, NO_END),
    "silu": (-8.0, NO_END),
    "mish": (-8.0, NO_END),
    "elu": (-6.0, NO_END),
    "celu": (-6.0, NO_END),
    "selu": (-6.0, NO_END),
    "sigmoid": (-8.0, 8.0),
    "tanh": (-4.0, 4.0),
    "hardsigmoid": (-3.0, 3.0),
}
"""Where the derivative of an activation is above 3e-3, or not 0: beyond, a unit passes on nothing that counts."""

ALSO_GATES = frozenset({"sigmoid", "tanh", "hardsigmoid"})
"""Activations that are shut by a bias on purpose where they gate, or stand at the output with a rare class."""

ONE_SIDED = frozenset({"relu", "relu6"})
"""Activations whose derivative is exactly zero on one side, where about half of a unit's elements lie anyway."""

UNITS, SAMPLES = 16, 8
"""Units of a layer, and elements of each, from which on a measured share is no chance: a healthy unit is off at all of
eight samples once in 256 times."""

POWER_INSIDE, POWER_OF_DATA = 2.0, 4.0
"""Largest root mean square that is allowed for: of what a layer or norm made, and of data as they come."""

DEFAULT = math.sqrt(1 / 3)
"""Gain of torch's layers: kaiming_uniform with a = sqrt(5) gives weights a variance of 1 / (3 fan_in)."""

ROOTS = {"kaiming": math.sqrt(2), "xavier": math.sqrt(2), "orthogonal": 1.0}
"""Largest gain of the schemes where none is given: Xavier's is that for a layer that gets wider."""

RECORDED = "recorded"
"""How a model was captured that begins with the weights of its constructor."""

NEAR = 8


@dataclass(frozen=True, slots=True)
class Dead:
    """An activation without a gradient, whether its units are off or saturated, the initialiser that shut it, and the
    share of units that was measured or predicted."""

    node: Node
    fires: bool
    call: Initialisation | None = None
    share: float | None = None
    evidence: Evidence = Evidence.GRAPH


def dead(graph: ModelGraph, share: float) -> Iterator[Dead]:
    """The activations of which at least a share of the units is dead or saturated, for sure or at the start."""
    for node in graph.nodes:
        if node.kind is NodeKind.OP and (node.op in LINEAR_PART or _is_clamp(node)) and takes_part(graph, node):
            yield from _by_interval(graph, node)
    deviations = NormalDist().inv_cdf(share)
    for node in activations(graph):
        if node.op in LINEAR_PART and takes_part(graph, node):
            shut = list(_by_bias(graph, node, deviations))
            yield from shut or _as_measured(graph, node, share)


def _is_clamp(node: Node) -> bool:
    return node.op in ("clamp", "clamp_min", "clamp_max", "hardtanh")


def _by_interval(graph: ModelGraph, node: Node) -> Iterator[Dead]:
    argument = operand(graph, node, 0)
    if not isinstance(argument, Node):
        return
    found = domain(graph, argument)
    low, high = _ends(node)
    if found.high <= low and found.high < NO_END:
        yield Dead(node, fires=False)
    elif found.low >= high and found.low > -NO_END:
        yield Dead(node, fires=True)


def _ends(node: Node) -> tuple[float, float]:
    """Where an activation passes a gradient on."""
    if node.op in LINEAR_PART:
        return LINEAR_PART[node.op]
    low, high = literal(node, 1, "min"), literal(node, 2, "max")
    if node.op == "hardtanh":
        low, high = literal(node, 1, "min_val"), literal(node, 2, "max_val")
    if node.op == "clamp_max":
        low, high = None, literal(node, 1, "max")
    least, most = number(low), number(high)
    return (-NO_END if least is None else least, NO_END if most is None else most)


def _by_bias(graph: ModelGraph, node: Node, deviations: float) -> Iterator[Dead]:
    layer, shift = _layer(graph, node)
    if layer is None or (node.op in ALSO_GATES and not _is_hidden(graph, node)):
        return
    bias = _bias(graph, layer)
    call = initialised_by(bias) if bias is not None else None
    spread = _spread(graph, layer)
    mean = _interval(call) if call is not None else (0.0, 0.0)
    if spread is None or mean is None:
        return
    low, high = LINEAR_PART[node.op]
    reach = deviations * spread
    if mean[1] + shift + reach < low:
        yield Dead(node, fires=False, call=call if mean[1] < 0 else None)
    elif mean[0] + shift - reach > high:
        yield Dead(node, fires=True, call=call if mean[0] > 0 else None)


def _as_measured(graph: ModelGraph, node: Node, share: float) -> Iterator[Dead]:
    """A hidden activation behind a layer, most of whose units pass on nothing of the inputs of one pass.

    It is predicted for models on the meta device, which have no values.
    """
    if graph.model.capture != RECORDED or node.shape is None or not _is_hidden(graph, node):
        return
    layer, _ = _layer(graph, node)
    weight = weight_of(graph, layer) if layer is not None else None
    if weight is None or not _is_seen_often(node.shape, weight.shape[0]):
        return
    fires = node.op in ALSO_GATES
    known = node.measured or predicted_signals(graph).get(node.id)
    if known is None or (fires and is_by_hand(graph, weight)):
        return
    found = known.saturated if fires or node.op not in ONE_SIDED else known.dead
    if found is not None and found > share:
        evidence = Evidence.MEASURED if node.measured is not None else Evidence.PREDICTED
        yield Dead(node, fires=fires, share=found, evidence=evidence)


def _is_seen_often(shape: tuple[int, ...], units: int) -> bool:
    """Whether there are enough units, each seen at enough samples and places, for their share to be no chance."""
    return units >= UNITS and math.prod(shape) >= SAMPLES * units


def _layer(graph: ModelGraph, node: Node) -> tuple[Node | None, float]:
    """The layer or norm that made what an activation is applied to, and the number that was added on the way."""
    shift = 0.0
    before = signal(graph, node)
    for _ in range(NEAR):
        if before is None or weight_of(graph, before) is not None or is_kind(before, ops.Kind.NORM):
            return before, shift
        if before.op in ("add", "sub") and before.kind is NodeKind.OP:
            added = _added(graph, before)
            if added is None:
                return None, 0.0
            shift += added
        elif not is_kind(before, ops.Kind.CAST, ops.Kind.RESHAPE):
            return None, 0.0
        before = signal(graph, before)
    return None, 0.0


def _added(graph: ModelGraph, node: Node) -> float | None:
    left, right = pair(graph, node)
    value = number(right)
    if value is None or not isinstance(left, Node):
        return number(left) if node.op == "add" and isinstance(right, Node) else None
    return -value if node.op == "sub" else value


def _is_hidden(graph: ModelGraph, node: Node) -> bool:
    """Whether a weight layer is what reads an activation, and no gate does."""
    found = only_reader(graph, node)
    while found is not None and is_kind(found, ops.Kind.CAST, ops.Kind.DROPOUT, ops.Kind.POOL, ops.Kind.RESHAPE):
        found = only_reader(graph, found)
    return found is not None and weight_of(graph, found) is not None and not is_weighing(graph, node)


def _bias(graph: ModelGraph, layer: Node) -> Parameter | None:
    """The last parameter with one axis that a layer reads."""
    read = (graph.model.read.get(one.id) for one in inputs(graph, layer))
    found = [p for p in read if p is not None and p.trainable and len(p.shape) == 1]
    if is_kind(layer, ops.Kind.NORM):
        return found[1] if len(found) > 1 else None
    return found[-1] if found else None


def _interval(call: Initialisation) -> tuple[float, float] | None:
    """The values that an initialiser fills in; None where they are not known."""
    given = {key: number(value) for key, value in call.arguments.items()}
    first, second = given.get("0"), given.get("1")
    if call.name in ("zeros_", "zero_"):
        return (0.0, 0.0)
    if call.name in ("constant_", "fill_"):
        value = given.get("val", given.get("value", first))
        return None if value is None else (value, value)
    if call.name == "full":
        value = given.get("fill_value", second)
        return None if value is None else (value, value)
    if call.name == "uniform_":
        low, high = given.get("a", first), given.get("b", second)
        return None if low is None or high is None else (low, high)
    if call.name == "normal_":
        mean, std = given.get("mean", first), given.get("std", 1.0 if second is None else second)
        return None if mean is None or std is None else (mean - 2 * std, mean + 2 * std)
    return None


def _spread(graph: ModelGraph, layer: Node) -> float | None:
    """The largest standard deviation that is allowed for in a layer's result; None where its weight is not known."""
    weight = weight_of(graph, layer)
    if weight is None:
        return 1.0 if _is_plain_norm(graph, layer) else None
    gain = _gain(graph, layer, weight)
    return None if gain is None else gain * _power(graph, layer)


def _is_plain_norm(graph: ModelGraph, layer: Node) -> bool:
    """Whether the scale of a norm is what its constructor made it."""
    scales = [read for one in inputs(graph, layer) if (read := graph.model.read.get(one.id)) is not None]
    call = initialised_by(scales[0]) if scales else None
    return call is None or call.name == "ones_" or _interval(call) == (1.0, 1.0)


def _power(graph: ModelGraph, layer: Node) -> float:
    read = signals(graph, layer)
    return POWER_OF_DATA if any(one.kind is not NodeKind.OP for one in read) else POWER_INSIDE


def _gain(graph: ModelGraph, layer: Node, weight: Parameter) -> float | None:
    """The standard deviation of a layer's result for inputs of unit power, by the initialiser of its weight."""
    fan = math.prod(weight.shape[1:])
    known = UNKNOWN_SIZE not in weight.shape[1:]
    last = initialised_by(weight)
    if last is None:
        return DEFAULT if layer.module in graph.model.built else None
    scheme = next((gain for name, gain in ROOTS.items() if last.name.startswith(name)), None)
    if scheme is not None:
        return scheme if not set(last.arguments) - {"nonlinearity", "mode"} else None
    if last.name in ("normal_", "trunc_normal_"):
        std = number(last.arguments.get("std", last.arguments.get("1", 1.0)))
        return std * math.sqrt(fan) if std is not None and known else None
    if last.name == "uniform_":
        found = _interval(last)
        return max(map(abs, found)) * math.sqrt(fan) if found is not None and known else None
    return None
