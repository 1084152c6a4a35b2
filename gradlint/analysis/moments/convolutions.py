"""Convolutions of any number of axes, with stride, padding, groups and dilation, and transposed ones.

A convolution is a linear map of the windows of its input; windows that reach into the padding hold zeros there. The
transposed one is a convolution's gradient, and its gradient a convolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, Value, single
from gradlint.analysis.moments.contraction import contract
from gradlint.analysis.moments.field import Field, Shape, field, scaled, weighted
from gradlint.analysis.moments.linear_maps import biased
from gradlint.analysis.operands import number

CHANNELS = 2
"""Axes before those of space: the batch and the channels."""

STRIDE, PADDING, DILATION, GROUPS = (3, "stride"), (4, "padding"), (5, "dilation"), (6, "groups")
T_STRIDE, T_PADDING, T_GROUPS, T_DILATION = (3, "stride"), (4, "padding"), (6, "groups"), (7, "dilation")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A convolution between a finer and a coarser side.

    `valid` is the share of taps that do not lie in the padding, `both` by axis of space the share of those that are as
    valid in another window along that axis.
    """

    fine: Shape
    coarse: Shape
    extent: Shape
    groups: int
    valid: float
    both: tuple[float, ...]

    @property
    def taps(self) -> float:
        """How many taps reach one place of the finer side."""
        return self.valid * math.prod(self.extent) * math.prod(self.coarse) / max(math.prod(self.fine), 1)

    @property
    def space(self) -> tuple[str, ...]:
        """Labels of the axes of space."""
        return tuple(f"s{axis}" for axis in range(len(self.extent)))

    @property
    def kernel(self) -> tuple[str, ...]:
        """Labels of the axes of the kernel."""
        return tuple(f"k{axis}" for axis in range(len(self.extent)))


def _spread(values: object, count: int, default: int) -> tuple[int, ...]:
    if isinstance(values, (list, tuple)):
        return tuple(values) * count if len(values) == 1 else tuple(values)
    found = number(values)
    return (default if found is None else int(found),) * count


def _inside(size: int, out: int, taps: int, step: int, before: int, apart: int) -> list[int]:
    """Of each tap, in how many windows along one axis it lies inside of the finer side."""
    found = []
    for tap in range(taps):
        low = -(-(before - tap * apart) // step)
        high = (size - 1 + before - tap * apart) // step
        found.append(max(min(high, out - 1) - max(low, 0) + 1, 0))
    return found


def _kernel(call: Call, fine: Shape, coarse: Shape, transposed: bool) -> Kernel:
    extent = call.reads[1].field.shape[CHANNELS:]
    stride, padding, groups, dilation = (
        (T_STRIDE, T_PADDING, T_GROUPS, T_DILATION) if transposed else (STRIDE, PADDING, GROUPS, DILATION)
    )
    count = len(extent)
    apart = _spread(call.literal(*dilation), count, 1)
    pad = call.literal(*padding)
    if pad == "same":
        around: Shape = tuple((size - 1) * gap // 2 for size, gap in zip(extent, apart, strict=True))
    else:
        around = _spread(None if isinstance(pad, str) else pad, count, 0)
    step = _spread(call.literal(*stride), count, 1)
    parts = number(call.literal(*groups))
    counts = [_inside(*axis) for axis in zip(fine, coarse, extent, step, around, apart, strict=True)]
    valid = math.prod(sum(each) / max(out * len(each), 1) for each, out in zip(counts, coarse, strict=True))
    pairs = [sum(one * (one - 1) for one in each) / max(out - 1, 1) for each, out in zip(counts, coarse, strict=True)]
    both = tuple(pair / max(sum(each), 1) for pair, each in zip(pairs, counts, strict=True))
    return Kernel(fine, coarse, extent, int(parts or 1), valid, both)


def _convolution(call: Call) -> Made | None:
    read, weight = call.reads[:2]
    rank = len(weight.field.shape)
    if len(read.field.shape) != rank or len(call.shape) != rank:
        return None
    kernel = _kernel(call, read.field.shape[CHANNELS:], call.shape[CHANNELS:], transposed=False)
    made = down(kernel, read.field, weight.field, call.shape)

    def backward(gradient: Field) -> Passed:
        yield read.id, up(kernel, gradient, weight.field, read.field.shape)
        yield weight.id, between(kernel, gradient, read.field, weight.field.shape)

    return biased(single(made, backward), _vertical(call, rank))


def _transposed(call: Call) -> Made | None:
    read, weight = call.reads[:2]
    rank = len(weight.field.shape)
    if len(read.field.shape) != rank or len(call.shape) != rank:
        return None
    kernel = _kernel(call, call.shape[CHANNELS:], read.field.shape[CHANNELS:], transposed=True)
    made = up(kernel, read.field, weight.field, call.shape)

    def backward(gradient: Field) -> Passed:
        yield read.id, down(kernel, gradient, weight.field, read.field.shape)
        yield weight.id, between(kernel, read.field, gradient, weight.field.shape)

    return biased(single(made, backward), _vertical(call, rank))


def _vertical(call: Call, rank: int) -> Operand | None:
    """The bias, shaped so that it is repeated over space."""
    if len(call.reads) <= CHANNELS:
        return None
    bias = call.reads[CHANNELS]
    return bias if len(bias.field.shape) == rank else _column(bias, rank)


def _column(bias: Operand, rank: int) -> Operand:
    """A bias of one axis with axes of size one behind it; gradients come back in that shape."""
    one = bias.field
    ones = (1,) * (rank - CHANNELS)
    shaped = Field((*one.shape, *ones), one.square, one.mean, (*one.cross, *((one.square,) * len(ones))))
    return Operand(bias.node, Value(shaped), bias.open)


def _windows(kernel: Kernel, fine: Field, coarse: Shape, channels: int) -> tuple[Field, tuple[str, ...]]:
    """The windows of the finer side: batch, group, channel of the group, kernel, space."""
    one = weighted(fine, kernel.valid)
    groups = kernel.groups
    space = one.cross[CHANNELS:]
    shape = (fine.shape[0], groups, channels // groups, *kernel.extent, *coarse)
    places = (cross * share for cross, share in zip(space, kernel.both, strict=True))
    cross = (one.cross[0], one.cross[1], one.cross[1], *space, *places)
    centred = fine.centred if 1 not in fine.centred else frozenset[int]()
    back = len(kernel.extent) + CHANNELS + 1
    moved = frozenset(axis if axis < CHANNELS else axis - CHANNELS + back for axis in centred)
    return Field(shape, one.square, one.mean, cross, moved), ("b", "g", "i", *kernel.kernel, *kernel.space)


def _places(kernel: Kernel, coarse: Field) -> tuple[Field, tuple[str, ...]]:
    """The coarser side: batch, group, channel of the group, space."""
    groups = kernel.groups
    shape = (coarse.shape[0], groups, coarse.shape[1] // groups, *coarse.shape[CHANNELS:])
    cross = (coarse.cross[0], coarse.cross[1], coarse.cross[1], *coarse.cross[CHANNELS:])
    centred = (
        frozenset(a if a < CHANNELS else a + 1 for a in coarse.centred) if 1 not in coarse.centred else frozenset()
    )
    return Field(shape, coarse.square, coarse.mean, cross, centred), ("b", "g", "c", *kernel.space)


def _weights(kernel: Kernel, weight: Field) -> tuple[Field, tuple[str, ...]]:
    groups = kernel.groups
    shape = (groups, weight.shape[0] // groups, *weight.shape[1:])
    one = Field(shape, weight.square, weight.mean, (weight.cross[0], *weight.cross))
    return one, ("g", "c", "i", *kernel.kernel)


def down(kernel: Kernel, fine: Field, weight: Field, shape: Shape) -> Field:
    """From the finer side to the coarser one."""
    windows, axes = _windows(kernel, fine, shape[CHANNELS:], fine.shape[1])
    weights, labels = _weights(kernel, weight)
    made = contract(windows, axes, weights, labels, ("b", "g", "c", *kernel.space))
    return field(shape, made.square, made.mean, (made.cross[0], _channels(made), *made.cross[3:]))


def _channels(grouped: Field) -> float:
    """How alike two channels are that may lie in one group or in two."""
    return min(one for one, size in zip(grouped.cross[1:3], grouped.shape[1:3], strict=True) if size > 1 or one)


def up(kernel: Kernel, coarse: Field, weight: Field, shape: Shape) -> Field:
    """From the coarser side to the finer one: as many taps as reach a place add up."""
    places, axes = _places(kernel, coarse)
    weights, labels = _weights(kernel, weight)
    out = ("b", "g", "i", *kernel.kernel, *kernel.space)
    made = contract(places, axes, weights, labels, out)
    count = len(kernel.extent)
    space = made.cross[3 + count :]
    density = [
        min(1.0, kernel.valid ** (1 / count) * size * small / max(large, 1))
        for size, small, large in zip(kernel.extent, kernel.coarse, kernel.fine, strict=True)
    ]
    one = Field(shape, made.square, made.mean, (made.cross[0], min(made.cross[1:3]), *space))
    spread = scaled(one, math.sqrt(kernel.taps))
    thin = (cross * share for cross, share in zip(spread.cross[CHANNELS:], density, strict=True))
    return field(shape, spread.square, made.mean * kernel.taps, (*spread.cross[:CHANNELS], *thin))


def between(kernel: Kernel, coarse: Field, fine: Field, shape: Shape) -> Field:
    """The gradient of the weight: places of the coarser side times windows of the finer one."""
    windows, axes = _windows(kernel, fine, coarse.shape[CHANNELS:], fine.shape[1])
    places, labels = _places(kernel, coarse)
    out = ("g", "c", "i", *kernel.kernel)
    made = contract(places, labels, windows, axes, out)
    return Field(shape, made.square, made.mean, (min(made.cross[:2]), *made.cross[2:]))


RULES: dict[str, Rule] = {
    **{f"conv{axes}d": _convolution for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": _transposed for axes in (1, 2, 3)},
}
