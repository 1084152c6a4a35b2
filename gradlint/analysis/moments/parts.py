"""Values that lie in parts of different size along an axis: what concatenation made, and a class token among patches.

An op that works on every place of that axis by itself is applied to each part; one that mixes the places takes the
moments of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gradlint import ops
from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, Value, single
from gradlint.analysis.moments.field import Field, Parts, Shape, added, field
from gradlint.analysis.moments.views import order_of, viewed

MOST = 64
"""Parts that are kept apart."""

ALIKE = 1.3
"""Ratio of the mean squares of parts that need not be kept apart."""

MIXING = frozenset("softmax log_softmax glu softmin gumbel_softmax crelu".split())
POINTWISE = frozenset({ops.Kind.ACTIVATION, ops.Kind.ELEMENTWISE, ops.Kind.DROPOUT, ops.Kind.CAST})
ROWS = frozenset({"linear", "matmul", "bmm", "scaled_dot_product_attention"})
"""Ops that treat each row of their first operand alike."""

SAME = frozenset("contiguous clone identity masked_fill".split())
VIEWS = frozenset("view reshape flatten unflatten transpose permute".split())


def joined(fields: Sequence[Field], axis: int) -> Parts | None:
    """The parts that are worth keeping apart; parts inside of parts along the same axis are parts of the whole."""
    flat: list[Field] = []
    for one in fields:
        inner = one.parts
        flat += inner.fields if inner is not None and inner.axis == axis else [replace(one, parts=None)]
    sizes = sorted(one.square for one in flat)
    single_place = any(one.shape[axis] == 1 for one in flat)
    uneven = sizes[-1] > ALIKE * sizes[0]
    return Parts(axis, tuple(flat)) if 1 < len(flat) <= MOST and (uneven or single_place) else None


def whole(fields: Sequence[Field], axis: int, parts: bool = True) -> Field:
    """The moments of all parts together: along the joined axis, pairs lie in one part or in two."""
    total = sum(one.shape[axis] for one in fields)
    pairs = [(one.shape[axis] / max(total, 1), one) for one in fields]
    square = sum(share * one.square for share, one in pairs)
    mean = sum(share * one.mean for share, one in pairs)
    cross = [sum(share * one.cross[at] for share, one in pairs) for at in range(len(fields[0].shape))]
    within = sum(share * share * (one.cross[axis] if one.shape[axis] > 1 else one.mean**2) for share, one in pairs)
    cross[axis] = within + mean * mean - sum((share * one.mean) ** 2 for share, one in pairs)
    made = field(resized(fields[0].shape, axis, total), square, mean, cross)
    return replace(made, parts=joined(fields, axis)) if parts else made


def resized(shape: Shape, axis: int, size: int) -> Shape:
    """A shape with another size along one axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def part(of: Field, axis: int, at: int, sizes: Sequence[int]) -> Field:
    """One part of a field: its own moments where it has them, else those of the whole."""
    found = of.parts
    if found is not None and found.axis == axis and found.sizes == tuple(sizes):
        return found.fields[at]
    return replace(of, shape=resized(of.shape, axis, sizes[at]), parts=None, centred=frozenset())


def together(one: Field, other: Field) -> Field:
    """The sum of two gradients that arrive at one value, part by part where one of them has parts."""
    parts = one.parts or other.parts
    if parts is None:
        return added(one, other)
    pairs = [
        added(part(one, parts.axis, at, parts.sizes), part(other, parts.axis, at, parts.sizes))
        for at in range(len(parts.fields))
    ]
    return replace(added(one, other), parts=Parts(parts.axis, tuple(pairs)))


def applied(call: Call, rule: Rule) -> Made | None:
    """A rule for each part of what a call read; None where it mixes them, or nothing has parts."""
    lead = next((read for read in call.reads if read.field.parts is not None), None)
    if lead is None or lead.field.parts is None or len(call.outputs) != 1:
        return None
    back = len(lead.field.shape) - lead.field.parts.axis
    sizes = lead.field.parts.sizes
    out = _axis_behind(call, lead, back)
    if out is None or call.shape[out] != sum(sizes):
        return None
    sliced = [_axis_of(call, read, back, sum(sizes)) for read in call.reads]
    made = []
    for at in range(len(sizes)):
        reads = tuple(_read(read, axis, at, sizes) for read, axis in zip(call.reads, sliced, strict=True))
        node = replace(call.node, shape=resized(call.shape, out, sizes[at]))
        found = rule(Call((node,), reads))
        if found is None or found.values[0] is None:
            return None
        made.append(found)
    return _put_together(call, made, out, sizes, sliced)


def _read(read: Operand, axis: int | None, at: int, sizes: Sequence[int]) -> Operand:
    one = replace(read.field, parts=None) if axis is None else part(read.field, axis, at, sizes)
    return replace(read, value=Value(one, hidden=read.value.hidden))


def _put_together(
    call: Call, made: Sequence[Made], out: int, sizes: Sequence[int], sliced: Sequence[int | None]
) -> Made:
    values = [one.values[0] for one in made]
    fields = [value.field for value in values if value is not None]
    hidden = next((value.hidden for value in values if value is not None), None)
    axes = {read.id: axis for read, axis in zip(call.reads, sliced, strict=True) if axis is not None}

    def backward(gradient: Field) -> Passed:
        found: dict[int, list[Field]] = {}
        for at, one in enumerate(made):
            for number, passed in one.backward((part(gradient, out, at, sizes),)):
                if number in axes:
                    found.setdefault(number, []).append(passed)
                else:
                    yield number, passed
        for number, fields in found.items():
            if len(fields) == len(sizes):
                parts = Parts(axes[number], tuple(fields))
                yield number, replace(whole(fields, axes[number], parts=False), parts=parts)

    return single(Value(whole(fields, out), hidden=hidden), backward)


def _axis_of(call: Call, read: Operand, back: int, total: int) -> int | None:
    """Along which axis an operand is cut, counted like that of the parts from the last one; None: it is not."""
    if call.node.op in ROWS and read is not call.reads[0]:
        return None
    if call.node.op == "batch_norm" and read is not call.reads[0]:
        return 0 if read.field.shape == (total,) else None
    axis = len(read.field.shape) - back
    return axis if axis >= 0 and read.field.shape[axis] == total else None


def _axis_behind(call: Call, lead: Operand, back: int) -> int | None:
    """The axis of the result along which the parts lie apart; None where the op mixes them."""
    known = ops.facts(call.node.op)
    name, rank = call.node.op, len(call.shape)
    if name in VIEWS:
        return _viewed(call, lead, len(lead.field.shape) - back)
    kept = name in SAME or (known is not None and known.kind in POINTWISE and name not in MIXING)
    rows = name in ROWS and back > 1 and lead is call.reads[0]
    if kept or rows or _is_apart(call, back):
        return rank - back if rank >= back else None
    return None


def _is_apart(call: Call, back: int) -> bool:
    """Whether a norm or a softmax takes its statistics along other axes."""
    name = call.node.op
    rank = len(call.shape)
    if name in ("layer_norm", "rms_norm"):
        return back > len(call.sizes(1, "normalized_shape") or (0,))
    if name == "softmax":
        return int(call.number(1, "dim", -1.0)) % rank != rank - back
    pools = name.endswith(("pool1d", "pool2d", "pool3d"))
    return (name == "batch_norm" or pools) and rank - back == 1


def _viewed(call: Call, lead: Operand, axis: int) -> int | None:
    """Where an axis stands behind a view, if it is there as it was."""
    shape = lead.field.shape
    if call.node.op in ("transpose", "permute"):
        order = order_of(call, len(shape))
        return order.index(axis) if order is not None else None
    before, size = math.prod(shape[:axis]), shape[axis]
    places = [at for at, other in enumerate(call.shape) if other == size and math.prod(call.shape[:at]) == before]
    return places[0] if places else None


def chosen(call: Call) -> Made | None:
    """An index or a slice that takes one part: the first place, or as many places as a part has."""
    read = call.reads[0]
    parts = read.field.parts
    if parts is None or len(call.reads) != 1 or len(call.outputs) != 1:
        return None
    axis, sizes = parts.axis, parts.sizes
    shape = read.field.shape
    dropped = (*shape[:axis], *shape[axis + 1 :])
    if call.shape == dropped and sizes[0] == 1:
        return _one(read, parts, 0, dropped)
    for at, size in enumerate(sizes):
        if call.shape == resized(shape, axis, size) and sizes.count(size) == 1:
            return _one(read, parts, at, call.shape)
    return None


def _one(read: Operand, parts: Parts, at: int, shape: Shape) -> Made:
    own = parts.fields[at]

    def backward(gradient: Field) -> Passed:
        nothing = [Field(one.shape, 0.0, 0.0, (0.0,) * len(one.shape)) for one in parts.fields]
        nothing[at] = viewed(gradient, own.shape)
        yield read.id, replace(whole(nothing, parts.axis, parts=False), parts=Parts(parts.axis, tuple(nothing)))

    return single(viewed(own, shape), backward)
