"""The way of one signal from op to op: what reads a value, what it is made of, and which weight an op applies."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from gradlint import ops
from gradlint.analysis.norms import built_at, is_kind
from gradlint.analysis.operands import inputs
from gradlint.frame import Frame
from gradlint.graph import ModelGraph, Node, NodeKind, Parameter

MATRIX = 2
"""Axes that a weight has at least; a bias and the affine parameters of a norm have one."""

WEIGHTED = (ops.Kind.LINEAR, ops.Kind.CONV)
VIEWED = frozenset({"t", "transpose", "permute", "T", "mT", "swapaxes", "contiguous", "weight_norm"})
"""Views of a weight that leave it the same map, but for the length of its rows."""

PRODUCTS = frozenset({"mul", "matmul", "bmm", "mm", "einsum", "baddbmm", "div", "where", "dot", "mv", "tensordot"})
"""Ops that multiply, or choose between, two signals."""

BATCH = "batch"
"""What the items of a data set become: a value without history, and what goes into a model."""

STILL = (NodeKind.PARAMETER, NodeKind.BUFFER, NodeKind.CONSTANT)
FILLED = frozenset({"zero", "fill", "zeros", "ones", "full", "eye", "arange"})
"""Ops that make a value of numbers alone, such as the statistics that a batch norm begins with."""

_trainable: WeakKeyDictionary[ModelGraph, dict[int, Parameter]] = WeakKeyDictionary()
_fixed: WeakKeyDictionary[ModelGraph, frozenset[int]] = WeakKeyDictionary()


def learnt_tables(graph: ModelGraph) -> dict[int, Parameter]:
    """The trainable parameters with at least two axes, by their nodes."""
    found = _trainable.get(graph)
    if found is None:
        tables = (p for p in graph.model.trainable if p.node is not None and len(p.shape) >= MATRIX)
        found = _trainable[graph] = {p.node: p for p in tables if p.node is not None}
    return found


def fixed(graph: ModelGraph) -> frozenset[int]:
    """The values that no input takes part in: parameters, buffers, constants, and what is made of these alone."""
    found = _fixed.get(graph)
    if found is None:
        known: set[int] = set()
        for node in graph.nodes:
            sources = [edge.source for edge in graph.incoming(node.id)]
            still = (node.kind in STILL and node.op != BATCH) or (not sources and node.op in FILLED)
            if still or (sources and node.op != BATCH and known.issuperset(sources)):
                known.add(node.id)
        found = _fixed[graph] = frozenset(known)
    return found


def signals(graph: ModelGraph, node: Node) -> tuple[Node, ...]:
    """The values that an op read and that an input takes part in."""
    still = fixed(graph)
    return tuple(one for one in inputs(graph, node) if one.id not in still)


def signal(graph: ModelGraph, node: Node) -> Node | None:
    """The one signal that enters an op; None where there are several or none."""
    found = signals(graph, node)
    return found[0] if len(found) == 1 else None


def weight_of(graph: ModelGraph, node: Node) -> Parameter | None:
    """The trainable weight of a linear map or convolution that applies it, transposed or not, to one signal."""
    if not is_kind(node, *WEIGHTED) or signal(graph, node) is None:
        return None
    tables = learnt_tables(graph)
    found = [tables[one] for one in (_behind_views(graph, read) for read in inputs(graph, node)) if one in tables]
    return found[0] if len(found) == 1 else None


def _behind_views(graph: ModelGraph, node: Node) -> int:
    while node.op in VIEWED and (read := inputs(graph, node)):
        node = read[0]
    return node.id


def readers(graph: ModelGraph, node: Node) -> Iterator[Node]:
    """The ops that read a value and that a target depends on."""
    return (graph.node(edge.target) for edge in graph.outgoing(node.id) if edge.target in graph.useful)


def only_reader(graph: ModelGraph, node: Node) -> Node | None:
    """The only op that reads a value; None where there are several, and for what the model hands out."""
    found = list(readers(graph, node))
    return found[0] if len(found) == 1 and node.id not in graph.model.outputs else None


def meets_signal(graph: ModelGraph, node: Node) -> bool:
    """Whether an op multiplies two signals (an attention, a gate), or is an attention."""
    return is_kind(node, ops.Kind.ATTENTION) or (node.op in PRODUCTS and len(signals(graph, node)) > 1)


def written_at(graph: ModelGraph, node: Node) -> Frame | None:
    """Where a layer stands in the user's code: the item of a container by its constructor, else by its call."""
    if node.module.rpartition(".")[2].isdigit() and node.module in graph.model.built:
        return graph.model.built[node.module]
    return built_at(graph, node)
