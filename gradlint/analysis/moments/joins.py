"""Concatenation and stacking: the parts of a value lie beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, single
from gradlint.analysis.moments.field import Field, Parts, field
from gradlint.analysis.moments.parts import part, whole
from gradlint.analysis.moments.views import viewed


def _joined(call: Call) -> Made | None:
    reads = call.reads
    rank = len(call.shape)
    if any(len(one.field.shape) != rank for one in reads):
        return None
    axis = _axis(call, rank)
    total = call.shape[axis]
    sizes = [one.field.shape[axis] for one in reads]
    made = whole([one.field for one in reads], axis)
    if sum(sizes) != total:
        # One value that is joined with itself is read once.
        made = replace(made, shape=call.shape, parts=None)
        sizes = [total] * len(reads)

    def backward(gradient: Field) -> Passed:
        for at, one in enumerate(reads):
            inner = _cut(gradient, axis, at, [read.field for read in reads], sizes)
            yield one.id, replace(inner, shape=one.field.shape)

    return single(made, backward)


def _cut(gradient: Field, axis: int, at: int, joined: Sequence[Field], sizes: Sequence[int]) -> Field:
    """The gradient of one of the values that were joined, which may have had parts itself."""
    found = gradient.parts
    if found is None or found.axis != axis:
        return part(gradient, axis, at, sizes)
    counts = [len(one.parts.fields) if one.parts is not None and one.parts.axis == axis else 1 for one in joined]
    if sum(counts) != len(found.fields):
        return part(gradient, axis, at, sizes)
    first = sum(counts[:at])
    own = found.fields[first : first + counts[at]]
    return own[0] if len(own) == 1 else replace(whole(own, axis, parts=False), parts=Parts(axis, tuple(own)))


def _axis(call: Call, rank: int) -> int:
    default = {"vstack": 0.0, "hstack": 1.0, "dstack": 2.0, "column_stack": 1.0}.get(call.node.op, 0.0)
    return int(call.number(1, "dim", default)) % rank


def _stacked(call: Call) -> Made | None:
    reads = call.reads
    rank = len(call.shape)
    axis = int(call.number(1, "dim", 0.0)) % rank
    narrow = tuple(1 if at == axis else size for at, size in enumerate(call.shape))
    if any(one.field.elements != math.prod(narrow) for one in reads):
        return None
    made = replace(whole([viewed(one.field, narrow) for one in reads], axis, parts=False), shape=call.shape)
    repeats = call.shape[axis] // len(reads)
    if repeats > 1:
        made = Field(made.shape, made.square, made.mean, tuple(_shared(made, at, axis) for at in range(rank)))

    def backward(gradient: Field) -> Passed:
        for one in reads:
            arrived = field(narrow, gradient.square * repeats, gradient.mean * repeats, gradient.cross)
            yield one.id, viewed(arrived, one.field.shape)

    return single(made, backward)


def _shared(one: Field, at: int, axis: int) -> float:
    """Copies of one value along the new axis are alike."""
    return one.square if at == axis else one.cross[at]


def _filled(call: Call) -> Made | None:
    """A write into a part of a value: both are there, by their shares."""
    if len(call.reads) < 2:
        return copied(call) if call.reads and call.reads[0].field.elements == call.elements else None
    target = call.reads[0]
    written = next((read for read in call.reads[1:] if not _is_index(read)), target)
    masked = any(read.node.dtype == "bool" for read in call.reads[1:])
    share = MASKED if masked else min(written.field.elements / max(call.elements, 1), 1.0)
    square = (1 - share) * target.field.square + share * written.field.square
    mean = (1 - share) * target.field.mean + share * written.field.mean
    made = field(call.shape, square, mean, target.field.cross or (0.0,) * len(call.shape))

    def backward(gradient: Field) -> Passed:
        yield target.id, field(call.shape, gradient.square * (1 - share), gradient.mean, gradient.cross)
        yield written.id, _fitted(gradient, written)

    return single(made, backward)


MASKED = 0.5
"""The share of entries that a mask chooses, where nothing else is known."""


def _is_index(read: Operand) -> bool:
    return (read.node.dtype or "").startswith(("bool", "int", "uint"))


def copied(call: Call) -> Made:
    """A value that was written over another one of its size."""
    read = call.reads[0]
    shape = read.field.shape
    return single(viewed(read.field, call.shape), lambda g: iter([(read.id, viewed(g, shape))]))


def _fitted(gradient: Field, read: Operand) -> Field:
    least = min(gradient.cross, default=0.0)
    shape = read.field.shape
    cross = gradient.cross if len(shape) == len(gradient.shape) else (least,) * len(shape)
    return field(shape, gradient.square, gradient.mean, cross)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("cat", "hstack", "vstack", "dstack", "column_stack"), _joined),
    "stack": _stacked,
    **dict.fromkeys(("setitem", "index_put", "index_copy", "slice_scatter", "select_scatter", "copy"), _filled),
    **dict.fromkeys(("index_add", "scatter", "scatter_add", "masked_scatter"), _filled),
}
