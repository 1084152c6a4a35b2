"""Where an axis of a value comes from: which layer fixes its size, and whether it is the batch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gradlint import ops
from gradlint.analysis.activations import SOFTMAX
from gradlint.analysis.norms import BATCH_NORM, given, is_kind
from gradlint.analysis.operands import literal, number, pair
from gradlint.analysis.signals import BATCH, readers, signals, weight_of
from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.rule import user_frame

FAR = 60
"""Ops behind one another that are looked at."""

BATCHED = 2
"""Axes of a convolution's result beside those of space: the batch, and the channels."""

KEPT = ("keepdim", "keepdims", "2")
SHIFTED = frozenset({"add", "sub", "mul", "div", "neg", "log", "exp", "clamp", "sqrt"})
"""Ops that leave every axis in its place when the other operand is a number."""

CLASSES = (1, -1)
"""Axes along which the entry of a class is picked."""

SWAPPING = frozenset({"transpose", "swapaxes", "swapdims"})
FLAT = frozenset({"view", "reshape"})


class Origin(StrEnum):
    """What is known of an axis."""

    UNKNOWN = "unknown"
    ONE = "one"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a value: counted from the front, or from the back where the number of axes is not known."""

    node: Node
    index: int

    @property
    def place(self) -> int:
        """Counted from the front where that is possible."""
        axes = self.axes
        return self.index % axes if axes and -axes <= self.index < axes else self.index

    @property
    def axes(self) -> int | None:
        """How many axes the value has."""
        return len(self.node.shape) if self.node.shape is not None else None

    @property
    def is_last(self) -> bool:
        """Whether it is the last one for sure."""
        return self.index == -1 or (self.axes is not None and self.place == self.axes - 1)


def origin_of(graph: ModelGraph, node: Node, index: int) -> Origin:
    """What a layer or a view says of an axis of a value, whatever the size of the input."""
    axis: Axis | Origin = Axis(node, index)
    for _ in range(FAR):
        if isinstance(axis, Origin):
            return axis
        axis = _before(graph, axis)
    return Origin.UNKNOWN


def _before(graph: ModelGraph, axis: Axis) -> Axis | Origin:
    """The same axis one op earlier, or what the op says of it."""
    node = axis.node
    if _is_collated(node):
        return Origin.BATCH if axis.index == 0 else Origin.UNKNOWN
    read = signals(graph, node) if node.kind is NodeKind.OP else ()
    if not read:
        return Origin.UNKNOWN
    if weight_of(graph, node) is not None:
        return _of_layer(graph, axis, read[0])
    if is_kind(node, ops.Kind.NORM):
        return Origin.BATCH if node.op == BATCH_NORM and axis.place == 0 else Axis(read[0], axis.index)
    if node.op in SHIFTED and (len(read) == 1 or any(number(one) is not None for one in pair(graph, node))):
        return Axis(read[0], axis.index)
    if is_kind(node, ops.Kind.ACTIVATION, ops.Kind.CAST, ops.Kind.DROPOUT):
        return Axis(read[0], axis.index) if node.op not in (*SOFTMAX, "glu") else Origin.UNKNOWN
    if is_kind(node, ops.Kind.POOL) and axis.place == 0:
        return Axis(read[0], 0)
    return _of_view(axis, read[0])


def _is_collated(node: Node) -> bool:
    """Whether a loader put items together; their new axis is the first."""
    return node.op == BATCH or (node.op == "stack" and bool(node.frames) and user_frame(node) is None)


def _of_layer(graph: ModelGraph, axis: Axis, read: Node) -> Axis | Origin:
    weight = weight_of(graph, axis.node)
    assert weight is not None
    if axis.node.op == "linear":
        if axis.is_last:
            return Origin.ONE if weight.shape[0] == 1 else Origin.UNKNOWN
        return Axis(read, axis.index)
    if not axis.node.op.startswith("conv"):
        return Origin.UNKNOWN
    return _of_convolution(axis, weight.shape)


def _of_convolution(axis: Axis, weight: tuple[int, ...]) -> Origin:
    """Channels stand second in a batch, or before the axes of space."""
    space = len(weight) - BATCHED
    channels = weight[1] if axis.node.op.startswith("conv_transpose") else weight[0]
    batched = axis.axes in (None, space + BATCHED)
    if axis.index == -1 - space or (batched and axis.place == 1):
        return Origin.ONE if channels == 1 else Origin.UNKNOWN
    return Origin.BATCH if axis.axes == space + BATCHED and axis.place == 0 else Origin.UNKNOWN


def _of_view(axis: Axis, read: Node) -> Axis | Origin:
    node = axis.node
    if is_kind(node, ops.Kind.REDUCTION) and given(node, KEPT, False) is True:
        return Origin.ONE if literal(node, 1, "dim") in (axis.index, [axis.index]) else Axis(read, axis.index)
    if node.op == "unsqueeze":
        return _of_unsqueeze(axis, read)
    if node.op == "flatten" and axis.place == 0 and literal(node, 1, "start_dim") == 1:
        return Origin.BATCH
    if node.op in FLAT and axis.place == 0 and node.shape and read.shape and node.shape[0] == read.shape[0]:
        return Axis(read, 0) if len(node.shape) > 1 else Origin.UNKNOWN
    if node.op in SWAPPING:
        return _of_swap(axis, read)
    return Origin.UNKNOWN


def _of_unsqueeze(axis: Axis, read: Node) -> Axis | Origin:
    made = literal(axis.node, 1, "dim")
    if not isinstance(made, int):
        return Origin.UNKNOWN
    if made == axis.index or (axis.axes is not None and made % axis.axes == axis.place):
        return Origin.ONE
    if axis.axes is None:
        return Origin.UNKNOWN
    return Axis(read, axis.place - (made % axis.axes < axis.place))


def _of_swap(axis: Axis, read: Node) -> Axis | Origin:
    one, other = literal(axis.node, 1, "dim0"), literal(axis.node, 2, "dim1")
    if not isinstance(one, int) or not isinstance(other, int):
        return Origin.UNKNOWN
    if axis.axes is not None:
        one, other = one % axis.axes, other % axis.axes
        return Axis(read, {one: other, other: one}.get(axis.place, axis.place))
    return Axis(read, {one: other, other: one}[axis.index]) if axis.index in (one, other) else Origin.UNKNOWN


def is_judged_by_class(graph: ModelGraph, node: Node) -> bool:
    """Whether a loss with a class axis of its own, behind the batch, judges a value of at least two axes.

    A loss by hand picks the entry of the true class along that axis.
    """
    shaped = node.shape is not None and len(node.shape) >= BATCHED
    waiting = list(readers(graph, node)) if shaped else []
    for _ in range(FAR):
        if not waiting:
            return False
        reader = waiting.pop()
        if reader.op in ("nll_loss", "cross_entropy"):
            return signals(graph, reader)[:1] != () and _is_prediction(graph, reader, node)
        if reader.op == "gather":
            return literal(reader, 1, "dim") in CLASSES and signals(graph, reader)[:1] == (node,)
        if reader.op in SHIFTED and len(signals(graph, reader)) == 1:
            waiting += readers(graph, reader)
    return False


def _is_prediction(graph: ModelGraph, loss: Node, node: Node) -> bool:
    """Whether a value is what a loss judges, not its target."""
    first = signals(graph, loss)[0]
    return node.id in graph.reaching([first.id], lambda edge: edge.source >= node.id)
