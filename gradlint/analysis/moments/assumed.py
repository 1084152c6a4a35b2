"""Shapes for a graph that was only read: features from the weights, a small batch and a small extent for the rest.

An input takes the width of the weight that reads it first. Of the extents that are tried, one fits when every linear
map behind a flattened image reads as many features as it has columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from gradlint import ops
from gradlint.analysis.moments.calls import Call, Operand, Value
from gradlint.analysis.moments.field import Shape, independent
from gradlint.analysis.moments.views import order_of
from gradlint.graph import ModelGraph, Node, NodeKind

EXTENTS = (16, 32, 28, 64, 96, 224)
"""Sizes of an image, or steps of a sequence, that are tried: those of small data sets, and of ImageNet."""

BATCHES = (8, 32)
"""Two sizes of a batch: what differs between them beyond one common factor is not predicted."""

LEADING = 2
"""Axes of an image before those of space."""

SAME = frozenset({ops.Kind.ACTIVATION, ops.Kind.ELEMENTWISE, ops.Kind.NORM, ops.Kind.DROPOUT, ops.Kind.CAST})
KEPT = frozenset("clone contiguous identity detach cumsum masked_fill".split())


@dataclass(frozen=True, slots=True)
class Assumption:
    """How many samples, and how far an axis of space or time goes."""

    batch: int
    extent: int


class MisfitError(Exception):
    """A weight does not fit the shape that an assumption leads to."""


def is_open(graph: ModelGraph) -> bool:
    """Whether some value that the targets are made of has no shape."""
    return any(graph.node(number).shape is None for number in graph.useful)


def completed(graph: ModelGraph) -> tuple[ModelGraph, ...]:
    """The graph with shapes, once for each size of a batch; nothing where no extent fits."""
    for extent in EXTENTS:
        try:
            return tuple(_with_shapes(graph, Assumption(batch, extent)) for batch in BATCHES)
        except MisfitError:
            continue
    return ()


def _with_shapes(graph: ModelGraph, assumption: Assumption) -> ModelGraph:
    nodes: dict[int, Node] = {}
    for node in graph.nodes:
        shape = node.shape
        if shape is None:
            shape = _of_op(graph, node, nodes) if node.kind is NodeKind.OP else _of_input(graph, node, assumption)
        nodes[node.id] = replace(node, shape=shape)
    # By what each op reads, in the order of its arguments.
    edges = [edge for number in nodes for edge in graph.incoming(number)]
    return ModelGraph(graph.model, nodes.values(), edges, graph.training)


def _of_input(graph: ModelGraph, node: Node, assumption: Assumption) -> Shape | None:
    """By the first weight that reads it, through ops that keep the shape."""
    waiting, seen = [node.id], set()
    while waiting:
        for edge in graph.outgoing(waiting.pop(0)):
            reader = graph.node(edge.target)
            if reader.id in seen:
                continue
            seen.add(reader.id)
            if (found := _read_by(graph, reader, assumption)) is not None:
                return found
            if _is_same(reader):
                waiting.append(reader.id)
    return None


def _read_by(graph: ModelGraph, reader: Node, assumption: Assumption) -> Shape | None:
    weights = [graph.node(edge.source) for edge in graph.incoming(reader.id)]
    weight = next((one.shape for one in weights if one.kind is NodeKind.PARAMETER and len(one.shape or ()) > 1), None)
    if weight is None:
        return None
    batch, extent = assumption.batch, assumption.extent
    if reader.op == "linear":
        return (batch, weight[1])
    if reader.op.startswith("conv"):
        groups = reader.literals.get("6", 1)
        channels = weight[0] if "transpose" in reader.op else weight[1] * (groups if isinstance(groups, int) else 1)
        return (batch, channels, *(extent for _ in weight[LEADING:]))
    if reader.op == "embedding":
        return (batch, extent)
    return (batch, extent, weight[1]) if reader.op in ("lstm", "gru", "rnn") else None


def _of_op(graph: ModelGraph, node: Node, nodes: dict[int, Node]) -> Shape | None:
    reads = [nodes[edge.source] for edge in graph.incoming(node.id)]
    if not reads or any(one.shape is None for one in reads):
        return None
    operands = tuple(Operand(one, Value(independent(one.shape or (), 1.0))) for one in reads)
    rule = RULES.get(node.op)
    if rule is not None:
        return rule(Call((node,), operands))
    known = ops.facts(node.op)
    if known is not None and known.kind is ops.Kind.LOSS:
        return None if node.literals.get("reduction") == "none" else ()
    return _joint(operands) if _is_same(node) else None


def _is_same(node: Node) -> bool:
    known = ops.facts(node.op)
    return node.op in KEPT or (known is not None and known.kind in SAME and known.name != "glu")


def _joint(operands: tuple[Operand, ...]) -> Shape:
    """The shape of what is repeated to a common one; the vectors of a norm go along."""
    first = operands[0].field.shape
    shapes = [one.field.shape for one in operands if len(one.field.shape) >= len(first)]
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))


def _linear(call: Call) -> Shape:
    read, weight = call.reads[0].field.shape, call.reads[1].field.shape
    if not read or read[-1] != weight[-1]:
        raise MisfitError
    return (*read[:-1], *weight[:-1])


def _conv(call: Call, transposed: bool = False) -> Shape:
    read, weight = call.reads[0].field.shape, call.reads[1].field.shape
    count = len(weight) - LEADING
    stride, padding = _spread(call, 3, "stride", count, 1), _spread(call, 4, "padding", count, 0)
    apart = _spread(call, 7 if transposed else 5, "dilation", count, 1)
    if len(read) != len(weight):
        raise MisfitError
    sizes = zip(read[LEADING:], weight[LEADING:], stride, padding, apart, strict=True)
    if transposed:
        extra = _spread(call, 5, "output_padding", count, 0)
        inner = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in sizes)
        groups = int(call.number(6, "groups", 1.0))
        return (read[0], weight[1] * groups, *(a + b for a, b in zip(inner, extra, strict=True)))
    if call.literal(4, "padding") == "same":
        return (read[0], weight[0], *read[LEADING:])
    return _positive((read[0], weight[0], *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)))


def _positive(shape: Shape) -> Shape:
    if min(shape) < 1:
        raise MisfitError
    return shape


def _spread(call: Call, position: int, name: str, count: int, default: int) -> Shape:
    found = call.sizes(position, name) or (default,)
    return found if len(found) == count else (found[0],) * count


def _pool(call: Call, axes: int, adaptive: bool) -> Shape | None:
    read = call.reads[0].field.shape
    given = call.sizes(1, "output_size" if adaptive else "kernel_size")
    if given is None or len(read) < axes:
        return None
    extent = given if len(given) == axes else (given[0],) * axes
    if adaptive:
        return (*read[:-axes], *extent)
    stride = _spread(call, 2, "stride", axes, 0)
    padding = _spread(call, 3, "padding", axes, 0)
    rows = zip(read[-axes:], extent, stride, padding, strict=True)
    return _positive((*read[:-axes], *((n + 2 * p - k) // (s or k) + 1 for n, k, s, p in rows)))


def _flatten(call: Call) -> Shape:
    read = call.reads[0].field.shape
    first = int(call.number(1, "start_dim", 0.0)) % len(read)
    last = int(call.number(2, "end_dim", -1.0)) % len(read)
    return (*read[:first], math.prod(read[first : last + 1]), *read[last + 1 :])


def _view(call: Call) -> Shape | None:
    """The literal sizes; one that is not a number stands for the batch, where it comes first."""
    read = call.reads[0].field.shape
    given = call.sizes(1, "shape")
    sizes = list(given) if given and "2" not in call.node.literals else [*_numbers(call)]
    if not sizes:
        return None
    known = math.prod(size for size in sizes if size != -1)
    total = math.prod(read)
    if "1" not in call.node.literals:
        sizes, known = [read[0], *sizes], known * read[0]
    if total % max(known, 1):
        raise MisfitError
    return tuple(total // known if size == -1 else size for size in sizes)


def _numbers(call: Call) -> Iterator[int]:
    found = call.node.literals
    for key in sorted((key for key in found if key.isdigit()), key=int):
        if type(found[key]) is int:
            yield found[key]


def _reduced(call: Call) -> Shape:
    read = call.reads[0].field.shape
    given = call.sizes(1, "dim")
    axes = {axis % len(read) for axis in given} if given else set(range(len(read)))
    keep = call.flag(2, "keepdim")
    return tuple(1 if at in axes else size for at, size in enumerate(read) if keep or at not in axes)


def _swapped(call: Call) -> Shape | None:
    read = call.reads[0].field.shape
    order = order_of(call, len(read))
    return tuple(read[axis] for axis in order) if order is not None else None


def _joined(call: Call) -> Shape | None:
    shapes = [one.field.shape for one in call.reads]
    axis = int(call.number(1, "dim", 0.0)) % len(shapes[0])
    if len({len(shape) for shape in shapes}) > 1:
        return None
    return tuple(sum(s[at] for s in shapes) if at == axis else size for at, size in enumerate(shapes[0]))


def _embedded(call: Call) -> Shape:
    table = next(one for one in call.reads if one.is_parameter).field.shape
    indices = next(one for one in call.reads if not one.is_parameter).field.shape
    return (*indices, table[1])


def _multiplied(call: Call) -> Shape | None:
    if len(call.reads) != len(("left", "right")):
        return None
    left, right = (one.field.shape for one in call.reads)
    return (*left[:-1], right[-1]) if len(left) >= len(right) > 1 and left[-1] == right[-2] else None


def _attended(call: Call) -> Shape:
    """As many rows as there are queries, as wide as the values."""
    shapes = [one.field.shape for one in call.reads]
    return (*shapes[0][:-1], shapes[min(2, len(shapes) - 1)][-1])


def _unrolled(call: Call) -> Shape:
    """The hidden states of all steps, both ways beside each other."""
    recurrent = next(one for one in call.reads[1:] if one.is_parameter and len(one.field.shape) > 1).field.shape
    gates = {"lstm": 4, "gru": 3}.get(call.node.op, 1)
    return (*call.reads[0].field.shape[:-1], recurrent[0] // gates * (1 + call.flag(7, "bidirectional")))


def _first(call: Call) -> Shape:
    return call.reads[0].field.shape


def _place(call: Call) -> Shape | None:
    """`x[0]` has one axis less; another index is not known."""
    return call.reads[0].field.shape[1:] if isinstance(call.literal(1, "index"), int) else None


RULES: dict[str, Callable[[Call], Shape | None]] = {
    "linear": _linear,
    **{f"conv{axes}d": _conv for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": partial(_conv, transposed=True) for axes in (1, 2, 3)},
    **{
        f"{kind}_pool{axes}d": partial(_pool, axes=axes, adaptive=False)
        for kind in ("max", "avg")
        for axes in (1, 2, 3)
    },
    **{
        f"adaptive_{kind}_pool{axes}d": partial(_pool, axes=axes, adaptive=True)
        for kind in ("max", "avg")
        for axes in (1, 2, 3)
    },
    "flatten": _flatten,
    **dict.fromkeys(("view", "reshape"), _view),
    **dict.fromkeys(("mean", "sum", "amax", "var", "std"), _reduced),
    **dict.fromkeys(("transpose", "permute", "t"), _swapped),
    "cat": _joined,
    "scaled_dot_product_attention": _attended,
    "multi_head_attention_forward": _first,
    **dict.fromkeys(("softmax", "log_softmax"), _first),
    "getitem": _place,
    **dict.fromkeys(("lstm", "gru", "rnn"), _unrolled),
    "embedding": _embedded,
    **dict.fromkeys(("matmul", "bmm", "mm"), _multiplied),
}
