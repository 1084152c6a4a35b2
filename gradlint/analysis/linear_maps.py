"""Linear maps that follow each other with nothing non-linear between, so that one map could do the same.

What is a factorisation on purpose is left out: a width between that is smaller than both ends, grouped and separable
kernels, patches, learnt upsampling, the projections of an attention, branches that begin at zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradlint import ops
from gradlint.analysis.norms import is_kind
from gradlint.analysis.operands import literal, number, pair
from gradlint.analysis.signals import meets_signal, only_reader, readers, signal, signals, weight_of
from gradlint.analysis.structure import initialised_by
from gradlint.graph import ModelGraph, Node, NodeKind, Parameter

REARRANGING = frozenset({"view", "reshape", "flatten", "squeeze", "unsqueeze", "contiguous", "unflatten", "clone"})
"""Ops that keep the order of a value's entries."""

TURNING = frozenset({"transpose", "permute", "movedim", "swapaxes"})
AVERAGING = frozenset(
    {f"{kind}_pool{axes}d" for kind in ("avg", "adaptive_avg") for axes in (1, 2, 3)} | {"adaptive_avg_pool"}
)
SCALED = frozenset({"mul", "div", "neg", "add", "sub"})
"""Affine where the other operand is a number."""

MAPS = frozenset({"linear", "addmm"})
PRODUCTS = frozenset({"matmul", "mm"})
KERNEL = 2
"""The first axis of a kernel's extent in the weight of a convolution."""

STRIDE, GROUPS = (3, "stride"), (6, "groups")
PADDING, DILATION = "4", "5"
"""Arguments of torch's convolutions, plain and transposed; `convolution` itself is not read."""

ZEROS = frozenset({"zeros_", "zero_"})
FILLS = frozenset({"constant_", "fill_"})
AS_THEY_ARE = frozenset({"eye_", "dirac_"})
"""Initialisers that begin with a copy of the input."""

NEAR = 12
"""Ops behind a projection that are looked at."""

PARAMETRISED = re.compile(r"\bparametrizations\.(\w+)\.original\d*$")
"""How torch names what a parametrised weight is computed from."""

FOLDED = "onnx"
"""How a model was captured into whose weights its norms may have been folded."""


@dataclass(frozen=True, slots=True)
class LinearMap:
    """A linear map or convolution of the model with a weight of its own."""

    node: Node
    weight: Parameter

    @property
    def name(self) -> str:
        """The name of its weight; of a parametrised one, the name that it is used by."""
        return PARAMETRISED.sub(r"\1", self.weight.name)

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return self.node.op.startswith("conv_transpose")

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution."""
        return self.node.op.startswith("conv")

    @property
    def extent(self) -> tuple[int, ...]:
        """The kernel's extent; empty for a linear map."""
        return self.weight.shape[KERNEL:] if self.is_conv else ()

    @property
    def pointwise(self) -> bool:
        """Whether it sees one place at a time."""
        return all(size == 1 for size in self.extent)

    @property
    def widths(self) -> tuple[int, int]:
        """Features or channels that go in and come out."""
        first, second = self.weight.shape[:KERNEL]
        return (first, second) if self.transposed or self.node.op in PRODUCTS else (second, first)

    @property
    def step(self) -> int | None:
        """How many places of the finer side one of the coarser side stands for; None where that is not known."""
        stride = literal(self.node, *STRIDE)
        if not self.is_conv or (stride is None and PADDING not in self.node.literals):
            return 1
        if isinstance(stride, list):
            sizes = stride * len(self.extent) if len(stride) == 1 else stride
            return math.prod(sizes)
        whole = number(stride)
        return int(whole) ** len(self.extent) if whole is not None else None

    @property
    def grouped(self) -> bool:
        """Whether it is a grouped or depthwise convolution, or may be one."""
        groups = literal(self.node, *GROUPS)
        return self.is_conv and (groups != 1 if groups is not None else DILATION in self.node.literals)


@dataclass(frozen=True, slots=True)
class Collapse:
    """Linear maps in sequence that are one linear map together."""

    maps: tuple[LinearMap, ...]


def collapses(graph: ModelGraph) -> Iterator[Collapse]:
    """The longest sequences of linear maps that collapse, each set of weights once."""
    if graph.model.capture == FOLDED:
        return
    after = dict(_pairs(graph))
    second = {one.node.id for one in after.values()}
    seen: set[tuple[str, ...]] = set()
    for first in list(after):
        if first in second:
            continue
        maps = [_as_map(graph, graph.node(first))]
        while (last := maps[-1]) is not None and last.node.id in after:
            maps.append(after[last.node.id])
        found = Collapse(tuple(one for one in maps if one is not None))
        names = tuple(one.weight.name for one in found.maps)
        if names not in seen:
            seen.add(names)
            yield found


def _pairs(graph: ModelGraph) -> Iterator[tuple[int, LinearMap]]:
    for node in graph.nodes:
        first = _as_map(graph, node) if node.id in graph.useful else None
        second = _next_map(graph, first) if first is not None else None
        if first is not None and second is not None and not _on_purpose(graph, first, second):
            yield node.id, second


def _as_map(graph: ModelGraph, node: Node) -> LinearMap | None:
    weight = weight_of(graph, node)
    known = node.op in MAPS or node.op in PRODUCTS or (is_kind(node, ops.Kind.CONV) and node.op[-1] == "d")
    if weight is None or not known or (node.op in PRODUCTS and not _is_applied(graph, node, weight)):
        return None
    return LinearMap(node, weight)


def _is_applied(graph: ModelGraph, node: Node, weight: Parameter) -> bool:
    """Whether a product is `x @ weight`, the weight as it is."""
    right = pair(graph, node)[1]
    return isinstance(right, Node) and right.id == weight.node and len(weight.shape) == KERNEL


def _next_map(graph: ModelGraph, first: LinearMap) -> LinearMap | None:
    """The map that is the next to read what a first one made, through linear ops alone."""
    node, turned = only_reader(graph, first.node), 0
    while node is not None:
        second = _as_map(graph, node)
        if second is not None:
            return second if _meet(first, second, turned) else None
        if not _is_linear_step(graph, first, node):
            return None
        turned += node.op in TURNING
        node = only_reader(graph, node)
    return None


def _is_linear_step(graph: ModelGraph, first: LinearMap, node: Node) -> bool:
    if signal(graph, node) is None or node.kind is not NodeKind.OP:
        return False
    if node.op in SCALED:
        return any(number(one) is not None for one in pair(graph, node)) or node.op == "neg"
    averages = first.is_conv and (node.op in AVERAGING or node.op == "mean")
    moved = node.op in REARRANGING or node.op in TURNING
    return moved or averages or is_kind(node, ops.Kind.CAST, ops.Kind.DROPOUT, ops.Kind.PADDING)


def _meet(first: LinearMap, second: LinearMap, turned: int) -> bool:
    """Whether the second map mixes the features that the first one made, rather than another axis or a part of them."""
    made, read = first.widths[1], second.widths[0]
    if first.is_conv == second.is_conv:
        return made == read and not turned
    return (read if first.is_conv else made) % max(1, made if first.is_conv else read) == 0


def _on_purpose(graph: ModelGraph, first: LinearMap, second: LinearMap) -> bool:
    """Whether two maps without an activation between are a known factorisation, or part of a larger design."""
    if first.weight.name == second.weight.name or (first.node.op in PRODUCTS) != (second.node.op in PRODUCTS):
        return True
    both = (first, second)
    if any(one.grouped or _is_separable(one) or _begins_as_nothing(one.weight) or _is_patch(one) for one in both):
        return True
    if _upsamples(first) != _upsamples(second) or _is_cast_to_map(first, second) or _reads_a_table(graph, first):
        return True
    return _is_factorised(first, second) or _is_projection(graph, first, second)


def _is_separable(one: LinearMap) -> bool:
    """Whether a kernel is one of a pair such as 1 x 7 and 7 x 1."""
    return len(set(one.extent)) > 1


def _is_patch(one: LinearMap) -> bool:
    """Whether a convolution cuts its input into patches that do not overlap, or its stride is not known."""
    step = one.step
    return step is None or (one.is_conv and not one.transposed and step > 1 and step == math.prod(one.extent))


def _upsamples(one: LinearMap) -> bool:
    return one.transposed and (one.step or 1) > 1


def _is_cast_to_map(first: LinearMap, second: LinearMap) -> bool:
    """Whether a vector is spread over the places of a map that a convolution then reads."""
    return not first.is_conv and second.is_conv and first.widths[1] != second.widths[0]


def _begins_as_nothing(weight: Parameter) -> bool:
    """Whether a weight is initialised to zeros or to the identity."""
    last = initialised_by(weight)
    if last is None:
        return False
    value = next((last.arguments[key] for key in ("val", "value", "0") if key in last.arguments), None)
    return last.name in ZEROS or last.name in AS_THEY_ARE or (last.name in FILLS and value == 0)


def _is_factorised(first: LinearMap, second: LinearMap) -> bool:
    """Whether the width between is smaller than both ends, which are counted for one place of the map between.

    A pointwise map beside a spatial one mixes channels where the other mixes places: also where the width between only
    equals the smaller end.
    """
    inner = second.widths[0] if first.is_conv and not second.is_conv else first.widths[1]
    before = _before(first, second) * inner / first.widths[1]
    behind = _behind(first, second)
    if first.pointwise != second.pointwise and first.is_conv and second.is_conv:
        return inner <= min(before, behind) and inner < max(before, behind)
    return inner < min(before, behind)


def _before(first: LinearMap, second: LinearMap) -> float:
    """The features at the outer side of a first map for one place of the value between."""
    width, step = first.widths[0], first.step or 1
    if second.pointwise and not first.transposed:
        return width * math.prod(first.extent)
    return width / step if first.transposed else width * step


def _behind(first: LinearMap, second: LinearMap) -> float:
    """The features at the outer side of a second map for one place of the value between."""
    width, step = second.widths[1], second.step or 1
    if first.pointwise:
        return width * math.prod(second.extent)
    return width * step if second.transposed else width / step


def _reads_a_table(graph: ModelGraph, first: LinearMap) -> bool:
    """Whether a map is applied to one-hot rows, which makes it an embedding."""
    read = signal(graph, first.node)
    while read is not None and is_kind(read, ops.Kind.CAST, ops.Kind.RESHAPE):
        read = signal(graph, read)
    return read is not None and read.op == "one_hot"


def _is_projection(graph: ModelGraph, first: LinearMap, second: LinearMap) -> bool:
    """Whether the first map reads what an attention gathered, or the second makes what one compares."""
    before = signals(graph, first.node)
    while len(before) == 1 and not meets_signal(graph, before[0]) and _only_moves(before[0]):
        before = signals(graph, before[0])
    gathered = len(before) == 1 and meets_signal(graph, before[0])
    return gathered or _is_compared(graph, second.node)


def _is_compared(graph: ModelGraph, node: Node, depth: int = 0) -> bool:
    """Whether what was made of a value by views, norms and scales meets another signal in a product."""
    for reader in readers(graph, node) if depth < NEAR else ():
        if meets_signal(graph, reader):
            return True
        moves = _only_moves(reader) or is_kind(reader, ops.Kind.NORM) or reader.op in SCALED
        if moves and len(signals(graph, reader)) == 1 and _is_compared(graph, reader, depth + 1):
            return True
    return False


def _only_moves(node: Node) -> bool:
    return is_kind(node, ops.Kind.CAST, ops.Kind.DROPOUT, ops.Kind.INDEXING, ops.Kind.RESHAPE)
