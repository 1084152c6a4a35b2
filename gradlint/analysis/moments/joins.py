"""Concatenation and stacking: the parts of a value lie beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, single
from gradlint.analysis.moments.field import Field, Shape, field
from gradlint.analysis.moments.views import viewed


def _joined(call: Call) -> Made | None:
    parts = call.reads
    rank = len(call.shape)
    if any(len(part.field.shape) != rank for part in parts):
        return None
    axis = _axis(call, rank)
    total = call.shape[axis]
    shares = [part.field.shape[axis] / total for part in parts]
    if not math.isclose(sum(shares), 1.0):
        # One value that is joined with itself is read once.
        shares = [share / sum(shares) for share in shares]
    made = mixture([part.field for part in parts], shares, call.shape, axis)

    def backward(gradient: Field) -> Passed:
        for part in parts:
            yield part.id, field(part.field.shape, gradient.square, gradient.mean, gradient.cross)

    return single(made, backward)


def _axis(call: Call, rank: int) -> int:
    default = {"vstack": 0.0, "hstack": 1.0, "dstack": 2.0, "column_stack": 1.0}.get(call.node.op, 0.0)
    return int(call.number(1, "dim", default)) % rank


def mixture(parts: Sequence[Field], shares: Sequence[float], shape: Shape, axis: int) -> Field:
    """The moments of all parts together; along the joined axis, pairs lie in one part or in two."""
    pairs = list(zip(shares, parts, strict=True))
    square = sum(share * part.square for share, part in pairs)
    mean = sum(share * part.mean for share, part in pairs)
    cross = [sum(share * part.cross[at] for share, part in pairs) for at in range(len(shape))]
    within = sum(share * share * (part.cross[axis] if part.shape[axis] > 1 else part.mean**2) for share, part in pairs)
    across = mean * mean - sum((share * part.mean) ** 2 for share, part in pairs)
    cross[axis] = within + across
    return field(shape, square, mean, cross)


def _stacked(call: Call) -> Made | None:
    parts = call.reads
    rank = len(call.shape)
    axis = int(call.number(1, "dim", 0.0)) % rank
    narrow = tuple(1 if at == axis else size for at, size in enumerate(call.shape))
    if any(part.field.elements != math.prod(narrow) for part in parts):
        return None
    share = 1.0 / len(parts)
    made = mixture([viewed(part.field, narrow) for part in parts], [share] * len(parts), call.shape, axis)
    repeats = call.shape[axis] // len(parts)
    if repeats > 1:
        made = Field(made.shape, made.square, made.mean, tuple(_shared(made, at, axis) for at in range(rank)))

    def backward(gradient: Field) -> Passed:
        for part in parts:
            one = field(narrow, gradient.square * repeats, gradient.mean * repeats, gradient.cross)
            yield part.id, viewed(one, part.field.shape)

    return single(made, backward)


def _shared(one: Field, at: int, axis: int) -> float:
    """Copies of one value along the new axis are alike."""
    return one.square if at == axis else one.cross[at]


def _filled(call: Call) -> Made | None:
    """A write into a part of a value: both are there, by their shares."""
    if len(call.reads) < 2:
        return None
    target, written = call.reads[0], call.reads[-1]
    share = min(written.field.elements / max(call.elements, 1), 1.0)
    square = (1 - share) * target.field.square + share * written.field.square
    mean = (1 - share) * target.field.mean + share * written.field.mean
    made = field(call.shape, square, mean, target.field.cross or (0.0,) * len(call.shape))

    def backward(gradient: Field) -> Passed:
        yield target.id, field(call.shape, gradient.square * (1 - share), gradient.mean, gradient.cross)
        yield written.id, _fitted(gradient, written)

    return single(made, backward)


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
