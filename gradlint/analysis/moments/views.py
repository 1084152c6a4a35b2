"""Views and rearrangements: the same elements along other axes, repeated, or only some of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, Value, single, source
from gradlint.analysis.moments.curves import passed_back
from gradlint.analysis.moments.field import Field, Shape, broadcast, field, reshaped, scaled, summed_to, weighted


def viewed(one: Field, shape: Shape) -> Field:
    """The same elements in the same order in another shape: axes are matched by the products of their sizes."""
    if one.shape == shape:
        return one
    cross: list[float] = []
    for old, new in _blocks(one.shape, shape):
        cross += _block(one, old, [shape[axis] for axis in new])
    return field(shape, one.square, one.mean, cross)


def _blocks(old: Shape, new: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """The shortest runs of axes with the same number of elements on both sides."""
    left = right = 0
    while left < len(old) or right < len(new):
        first, second = left, right
        one = old[left] if left < len(old) else 1
        two = new[right] if right < len(new) else 1
        left, right = left + 1, right + 1
        while one != two and (left < len(old) or right < len(new)):
            if one < two and left < len(old):
                one, left = one * old[left], left + 1
            elif right < len(new):
                two, right = two * new[right], right + 1
            else:
                break
        yield list(range(first, min(left, len(old)))), list(range(second, min(right, len(new))))


def _block(one: Field, old: Sequence[int], sizes: Sequence[int]) -> list[float]:
    """The cross moments of the new axes of one run."""
    long = [axis for axis in old if one.shape[axis] > 1]
    count = sum(size > 1 for size in sizes)
    if count == 1 and len(long) > 1:
        mixed = _merged(one, long)
        return [mixed if size > 1 else one.square for size in sizes]
    if [one.shape[axis] for axis in long] == [size for size in sizes if size > 1]:
        rest = iter(long)
        return [one.cross[next(rest)] if size > 1 else one.square for size in sizes]
    return list(_aligned(one, long, sizes))[::-1]


def _merged(one: Field, axes: Sequence[int]) -> float:
    """How alike two different elements of several axes are on average: a layer cake."""
    total = below = 0.0
    for level in sorted({one.cross[axis] for axis in axes}):
        same = math.prod(one.shape[axis] for axis in axes if one.cross[axis] >= level)
        total += (level - below) * (same - 1)
        below = level
    return total / max(math.prod(one.shape[axis] for axis in axes) - 1, 1)


def _aligned(one: Field, axes: Sequence[int], sizes: Sequence[int]) -> Iterator[float]:
    """From the last axis on: the least alike of the old axes that a new one covers a part of."""
    spans: list[tuple[int, int, float]] = []
    at = 1
    for axis in reversed(axes):
        spans.append((at, at * one.shape[axis], one.cross[axis]))
        at *= one.shape[axis]
    at = 1
    for size in reversed(sizes):
        low, high = at, at * size
        found = [cross for start, end, cross in spans if start < high and end > low]
        yield min(found, default=one.square) if size > 1 else one.square
        at = high


def _view(call: Call) -> Made:
    read = call.reads[0]
    if math.prod(call.shape) != read.field.elements:
        return sampled(call, read)
    shape = read.field.shape
    return single(kept(read, viewed(read.field, call.shape)), lambda g: iter([(read.id, viewed(g, shape))]))


def kept(read: Operand, one: Field) -> Value:
    """A value in another shape: a mask stays a mask."""
    return Value(one, hidden=read.value.hidden)


def _same(call: Call) -> Made:
    """An op that hands its input on: casts, clones, moves."""
    read = call.reads[0]
    value = read.value if read.open else Value(read.field, hidden=read.value.hidden)
    if value.field.shape != call.shape:
        return sampled(call, read)
    if value.curve is not None:
        base = value.curve

        return single(value, lambda g: iter([(base.base, passed_back(g, base))]))
    return single(Value(value.field, read.curve, value.mean_of, value.hidden), lambda g: iter([(read.id, g)]))


def permuted(one: Field, order: Sequence[int]) -> Field:
    """The axes in another order."""
    at = {old: new for new, old in enumerate(order)}
    shape = tuple(one.shape[axis] for axis in order)
    centred = frozenset(at[axis] for axis in one.centred)
    return Field(shape, one.square, one.mean, tuple(one.cross[axis] for axis in order), centred)


def _transpose(call: Call) -> Made | None:
    read = call.reads[0]
    order = order_of(call, len(read.field.shape))
    if order is None or tuple(read.field.shape[axis] for axis in order) != call.shape:
        return None
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    return single(kept(read, permuted(read.field, order)), lambda g: iter([(read.id, permuted(g, back))]))


def order_of(call: Call, rank: int) -> list[int] | None:
    """Which old axis each new one is."""
    name = call.node.op
    if name == "permute":
        spread = call.sizes(1, "dims")
        given = spread if spread is not None and len(spread) == rank else _numbers(call)
        return [axis % rank for axis in given] if len(given) == rank else None
    if name in ("t", "T", "mT", "adjoint") or not call.node.literals:
        return [*range(rank - 2), rank - 1, rank - 2] if rank > 1 else [0]
    pair = call.sizes(1, "dim0"), call.sizes(2, "dim1")
    if pair[0] is None or pair[1] is None:
        return None
    order = list(range(rank))
    if name == "movedim":
        return _moved(order, pair[0], pair[1])
    first, second = pair[0][0] % rank, pair[1][0] % rank
    order[first], order[second] = order[second], order[first]
    return order


def _moved(order: list[int], start: Sequence[int], end: Sequence[int]) -> list[int]:
    rank = len(order)
    places = {to % rank: at % rank for at, to in zip(start, end, strict=True)}
    rest = iter([axis for axis in order if axis not in places.values()])
    return [places[axis] if axis in places else next(rest) for axis in order]


def _numbers(call: Call) -> list[int]:
    found = call.node.literals
    return [
        int(found[key]) for key in sorted((k for k in found if k.isdigit()), key=int) if isinstance(found[key], int)
    ]


def _expand(call: Call) -> Made:
    read = call.reads[0]
    shape = read.field.shape
    return single(kept(read, broadcast(read.field, call.shape)), lambda g: iter([(read.id, summed_to(g, shape))]))


def _repeat(call: Call) -> Made:
    """Copies side by side: along such an axis, elements are the same or differ like before."""
    read = call.reads[0]
    one, out = read.field, call.shape
    behind = len(out) - len(one.shape)
    old = (1,) * behind + one.shape
    cross = [one.square] * behind + list(one.cross)
    mixed = []
    for size, before, alike in zip(out, old, cross, strict=True):
        copies = size // max(before, 1)
        share = (copies - 1) / max(size - 1, 1)
        mixed.append(share * one.square + (1.0 - share) * alike)
    copies = math.prod(out) // max(one.elements, 1)

    def backward(gradient: Field) -> Passed:
        least = min((gradient.cross[a] for a in range(len(out)) if out[a] != old[a]), default=gradient.square)
        square = copies * (gradient.square + (copies - 1) * least)
        arrived = field(one.shape, square, gradient.mean * copies, [c * copies for c in gradient.cross[behind:]])
        yield read.id, arrived

    return single(field(out, one.square, one.mean, mixed), backward)


def part(read: Operand, shape: Shape, made: Field) -> Made:
    """Some of a value's elements; the others get no gradient from here."""
    share = math.prod(shape) / max(read.field.elements, 1)

    def backward(gradient: Field) -> Passed:
        yield read.id, _scattered(gradient, read.field.shape, share)

    return single(kept(read, made), backward)


def _scattered(gradient: Field, shape: Shape, share: float) -> Field:
    """A gradient in its place among zeros: along an axis that was cut, pairs are rarer still."""
    kept_axes = _matched(gradient.shape, shape)
    cross = []
    for axis, size in enumerate(shape):
        at = kept_axes.get(axis)
        if at is None or size <= 1:
            cross.append(0.0 if size > 1 else gradient.square * share)
        else:
            cross.append(gradient.cross[at] * share * gradient.shape[at] / size)
    return field(shape, gradient.square * share, gradient.mean * share, cross)


def _matched(small: Shape, large: Shape) -> dict[int, int]:
    """Which axis of a part each axis of the whole is: equal sizes first, then smaller ones, in order."""
    if len(small) == len(large):
        return {axis: axis for axis in range(len(large))}
    found: dict[int, int] = {}
    at = 0
    for axis, size in enumerate(large):
        while at < len(small) and small[at] == 1 and size != 1 and len(small) - at > len(large) - axis:
            at += 1
        rest = len(large) - axis - 1
        if at < len(small) and (small[at] == size or (small[at] < size and len(small) - at > rest)):
            found[axis] = at
            at += 1
    return found


def sampled(call: Call, read: Operand) -> Made:
    """Some elements of a value, by axes that are matched by their sizes."""
    one = read.field
    if math.prod(call.shape) > one.elements:
        return _gathered(call, read)
    axes = {at: axis for axis, at in _matched(call.shape, one.shape).items()}
    cross = [one.cross[axes[at]] if at in axes else one.square for at in range(len(call.shape))]
    return part(read, call.shape, field(call.shape, one.square, one.mean, cross))


def _gathered(call: Call, read: Operand) -> Made:
    """Elements that are read several times, as a table by its indices."""
    one = read.field
    times = math.prod(call.shape) / max(one.elements, 1)
    axes = {at: axis for axis, at in _suffix(call.shape, one.shape).items()}
    least = min(one.cross, default=one.square)
    cross = [one.cross[axes[at]] if at in axes else least for at in range(len(call.shape))]

    def backward(gradient: Field) -> Passed:
        square = times * (gradient.square + max(times - 1.0, 0.0) * min(gradient.cross, default=0.0))
        yield read.id, field(one.shape, square, gradient.mean * times, (0.0,) * len(one.shape))

    return single(field(call.shape, one.square, one.mean, cross), backward)


def _suffix(made: Shape, read: Shape) -> dict[int, int]:
    """The axes that a read from a table keeps, from the last one on: by axis of the table."""
    found: dict[int, int] = {}
    for back in range(1, min(len(made), len(read)) + 1):
        if made[-back] != read[-back]:
            break
        found[len(read) - back] = len(made) - back
    return found


def _selected(call: Call) -> Made:
    read = call.reads[0]
    if math.prod(call.shape) == read.field.elements and len(call.reads) == 1:
        return _view(call)
    return sampled(call, read)


def _one_axis_less(call: Call) -> Made:
    """`select` and `unbind`: one place along an axis."""
    read = call.reads[0]
    axis = int(call.number(1, "dim", 0.0)) % max(len(read.field.shape), 1)
    left = [at for at in range(len(read.field.shape)) if at != axis]
    return _cut(read, call.shape, [read.field.cross[at] for at in left], axis)


def _cut(read: Operand, shape: Shape, cross: Sequence[float], axis: int | None = None) -> Made:
    made = field(shape, read.field.square, read.field.mean, cross)
    if axis is None:
        return part(read, shape, made)
    size = read.field.shape[axis]

    def backward(gradient: Field) -> Passed:
        crosses = [c / size for c in gradient.cross]
        crosses.insert(axis, 0.0 if size > 1 else gradient.square)
        yield read.id, field(read.field.shape, gradient.square / size, gradient.mean / size, crosses)

    return single(kept(read, made), backward)


def _parts(call: Call) -> Made | None:
    """`chunk`, `split`, `unbind`: every output is a part of the input."""
    read = call.reads[0]
    if call.node.op == "unbind":
        makers = [_one_axis_less(call.of(node)) for node in call.outputs]
    else:
        makers = [part(read, node.shape, _slice(read.field, node.shape)) for node in call.outputs if node.shape]
    if len(makers) != len(call.outputs):
        return None

    def backward(gradients: Sequence[Field | None]) -> Passed:
        for maker, gradient in zip(makers, gradients, strict=True):
            if gradient is not None:
                yield from maker.backward((gradient,))

    return Made(tuple(maker.values[0] for maker in makers), backward)


def _slice(one: Field, shape: Shape) -> Field:
    return field(shape, one.square, one.mean, one.cross)


def _padded(call: Call) -> Made:
    """Zeros around a value; a pad by its own entries counts as more of the same."""
    read = call.reads[0]
    share = read.field.elements / max(math.prod(call.shape), 1)
    same = call.literal(2, "mode", "constant") != "constant" or call.number(3, "value", 0.0) != 0.0
    inner = read.field if same else weighted(read.field, min(share, 1.0))
    made = field(call.shape, inner.square, inner.mean, inner.cross)
    shape = read.field.shape
    gain = 1.0 / math.sqrt(share) if same and share else 1.0
    return single(made, lambda g: iter([(read.id, reshaped(scaled(g, gain), shape, scaled(g, gain).cross))]))


def _triangle(call: Call) -> Made:
    read = call.reads[0]
    return single(weighted(read.field, HALF), lambda g: iter([(read.id, weighted(g, HALF))]))


HALF = 0.5
"""The share of a square matrix on one side of its diagonal."""


def _cut_off(call: Call) -> Made:
    """`detach` and its like: the same value, and nothing passes back."""
    return source(Value(call.reads[0].field, hidden=call.reads[0].value.hidden))


_VIEWS = """view reshape flatten unflatten squeeze unsqueeze ravel view_as reshape_as atleast_1d atleast_2d atleast_3d
pixel_shuffle pixel_unshuffle channel_shuffle rearrange"""
_SAME = """contiguous clone identity to float half double bfloat16 to_device flip roll fliplr flipud rot90 alias
nan_to_num lift_fresh requires_grad"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(_VIEWS.split(), _view),
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(("permute", "transpose", "t", "movedim"), _transpose),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _expand),
    **dict.fromkeys(("repeat", "tile", "repeat_interleave"), _repeat),
    **dict.fromkeys(("getitem", "slice", "narrow", "index_select", "gather", "take_along_dim", "diagonal"), _selected),
    **dict.fromkeys(("masked_select", "take", "unfold"), _selected),
    "select": _one_axis_less,
    **dict.fromkeys(("chunk", "split", "tensor_split", "unbind", "hsplit", "vsplit"), _parts),
    **dict.fromkeys(("pad", "constant_pad_nd", "reflection_pad", "replication_pad"), _padded),
    **dict.fromkeys(("tril", "triu"), _triangle),
    **dict.fromkeys(("detach", "data", "stop_gradient", "no_gradient"), _cut_off),
}
