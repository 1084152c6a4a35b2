"""Activations in the chain of a signal: what one is applied to, over which axis, and what its result is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from gradlint import ops
from gradlint.analysis.norms import is_kind
from gradlint.analysis.operands import inputs, literal
from gradlint.analysis.signals import learnt_tables, meets_signal, only_reader, readers, signal, signals, weight_of
from gradlint.graph import ModelGraph, Node, NodeKind, Parameter

SOFTMAX = frozenset({"softmax", "softmin", "log_softmax"})
NORMALISED = frozenset({"softmax", "softmin"})
"""Competitions between units: their results sum to 1."""

BOUNDED = frozenset({"sigmoid", "tanh", "hardsigmoid", "hardtanh", "softsign", *NORMALISED})
"""Activations with both ends finite, as the layer before an output has them."""

SIGMOIDS = frozenset({"sigmoid", "hardsigmoid"})
"""Between 0 and 1: the weights that a softmax makes of them differ by a factor of e at most."""

SQUASHING = frozenset({"sigmoid", "hardsigmoid", "logsigmoid", *SOFTMAX})
"""Activations that are made for scores without bounds."""

NOT_POINTWISE = frozenset({"glu", "crelu", "gumbel_softmax", "adaptive_log_softmax", "hardmax", "threshold"})

AXIS = (1, "dim")
NEAR = 12
"""Ops behind one another that are looked at."""


@dataclass(frozen=True, slots=True)
class Stacked:
    """An activation that is applied to another one's result."""

    inner: Node
    outer: Node


_known: WeakKeyDictionary[ModelGraph, tuple[Node, ...]] = WeakKeyDictionary()


def activations(graph: ModelGraph) -> tuple[Node, ...]:
    """The activations that a target depends on, found once."""
    found = _known.get(graph)
    if found is None:
        useful = graph.useful
        found = tuple(node for node in graph.nodes if is_kind(node, ops.Kind.ACTIVATION) and node.id in useful)
        _known[graph] = found
    return found


def stacked(graph: ModelGraph) -> Iterator[Stacked]:
    """Activations of activations that no other op reads."""
    for outer in activations(graph):
        inner = _inner(graph, outer)
        if inner is not None and _is_one_too_many(graph, inner, outer):
            yield Stacked(inner, outer)


def _inner(graph: ModelGraph, outer: Node) -> Node | None:
    """The activation whose result comes to another one unchanged, and to nothing else."""
    node, shrunk = _read(graph, outer), False
    for _ in range(NEAR):
        if node is None or node.kind is not NodeKind.OP or not _is_read_once(graph, node):
            return None
        if is_kind(node, ops.Kind.ACTIVATION):
            return node if not shrunk or node.op == outer.op else None
        if not is_kind(node, ops.Kind.CAST, ops.Kind.DROPOUT, ops.Kind.POOL, ops.Kind.RESHAPE):
            return None
        shrunk = shrunk or is_kind(node, ops.Kind.POOL)
        node = _read(graph, node)
    return None


def _is_read_once(graph: ModelGraph, node: Node) -> bool:
    """Whether one op reads a value; what a model hands out is read where its loss is known."""
    handed_out = graph.model.reach_at != "loss" and node.id in graph.model.outputs
    return len(list(readers(graph, node))) == 1 and not handed_out


def _read(graph: ModelGraph, node: Node) -> Node | None:
    """What an op is applied to, beside parameters such as the slope of a PReLU."""
    found = signals(graph, node)
    return found[0] if len(found) == 1 else None


def _is_one_too_many(graph: ModelGraph, inner: Node, outer: Node) -> bool:
    if {inner.op, outer.op} & NOT_POINTWISE or _is_same_place(inner, outer):
        return False
    if inner.op == outer.op:
        return inner.op not in SOFTMAX or same_axis(inner, outer)
    if inner.op not in BOUNDED or outer.op not in SQUASHING:
        return False
    return outer.op not in NORMALISED or inner.op in SIGMOIDS or not is_weighing(graph, outer)


def _is_same_place(inner: Node, outer: Node) -> bool:
    """Whether one line of a loop made both, as in an iteration towards a fixed point."""
    return inner.frames == outer.frames and inner.module == outer.module


def same_axis(one: Node, other: Node) -> bool:
    """Whether two softmaxes are over one axis, the first and the last behind the batch taken for the same."""
    first, second = literal(one, *AXIS), literal(other, *AXIS)
    if not isinstance(first, int) or not isinstance(second, int):
        return first is None and second is None
    axes = len(one.shape) if one.shape is not None else 2
    return first % axes == second % axes if -axes <= min(first, second) and max(first, second) < axes else False


def is_weighing(graph: ModelGraph, node: Node, depth: int = 0) -> bool:
    """Whether a value ends in a product with another signal: the weights of an attention, a mixture, a gate."""
    for reader in readers(graph, node) if depth < NEAR else ():
        if meets_signal(graph, reader):
            return True
        moves = is_kind(reader, ops.Kind.CAST, ops.Kind.DROPOUT, ops.Kind.INDEXING, ops.Kind.NORM, ops.Kind.RESHAPE)
        moves = moves or is_kind(reader, ops.Kind.ACTIVATION, ops.Kind.JOIN, ops.Kind.REDUCTION)
        if moves and len(signals(graph, reader)) == 1 and is_weighing(graph, reader, depth + 1):
            return True
    return False


def hidden_softmaxes(graph: ModelGraph) -> Iterator[tuple[Node, Parameter]]:
    """Softmaxes between two weight layers of one chain, with the weight of the second."""
    for node in activations(graph):
        if node.op in NORMALISED and _scores(graph, node):
            second = _next_layer(graph, node)
            weight = weight_of(graph, second) if second is not None else None
            if second is not None and weight is not None and not _is_table(graph, second, weight):
                yield node, weight


def _scores(graph: ModelGraph, node: Node) -> bool:
    """Whether a weight layer made what a softmax is applied to, through ops that keep the chain a chain."""
    before = _read(graph, node)
    for _ in range(NEAR):
        if before is None or before.kind is not NodeKind.OP or only_reader(graph, before) is None:
            return False
        if weight_of(graph, before) is not None:
            return True
        if not _keeps_chain(before):
            return False
        before = _read(graph, before)
    return False


def _next_layer(graph: ModelGraph, node: Node) -> Node | None:
    """The weight layer that is the only one to read a value, through ops that keep the chain a chain."""
    found = only_reader(graph, node)
    while found is not None and weight_of(graph, found) is None:
        if not _keeps_chain(found) or signal(graph, found) is None:
            return None
        found = only_reader(graph, found)
    return found


def _keeps_chain(node: Node) -> bool:
    pointwise = is_kind(node, ops.Kind.ACTIVATION, ops.Kind.CAST, ops.Kind.DROPOUT, ops.Kind.NORM)
    return pointwise or is_kind(node, ops.Kind.PADDING, ops.Kind.POOL, ops.Kind.RESHAPE)


def _is_table(graph: ModelGraph, node: Node, weight: Parameter) -> bool:
    """Whether the rows of a weight are mixed, as those of a soft code book: no bias, or a product with a parameter.

    Heads of an attention that are mixed by a layer meet the values afterwards.
    """
    tables = learnt_tables(graph)
    beside = [one for one in inputs(graph, node) if one.kind is NodeKind.PARAMETER and one.id not in tables]
    if node.op not in ("linear", "addmm") and not is_kind(node, ops.Kind.CONV):
        return True
    return not beside or weight.node is None or is_weighing(graph, node)
