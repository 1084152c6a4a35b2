"""Sums, means, variances and extremes along axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, Value, single
from gradlint.analysis.moments.field import (
    Field,
    broadcast,
    constant,
    field,
    independent,
    reshaped,
    scaled,
    summed,
    without_means,
)
from gradlint.analysis.moments.order import largest
from gradlint.analysis.moments.views import viewed


def axes_of(call: Call, rank: int) -> tuple[int, ...]:
    """The axes that are reduced: all where none are given."""
    given = call.sizes(1, "dim") or call.sizes(1, "axis")
    return tuple(sorted({axis % rank for axis in given})) if given else tuple(range(rank))


def _spread(gradient: Field, read: Field, axes: tuple[int, ...]) -> Field:
    """The gradient of sums, repeated along the axes that were summed."""
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(read.shape))
    return broadcast(viewed(gradient, shape), read.shape)


def _sum(call: Call, mean: bool) -> Made:
    read = call.reads[0]
    axes = axes_of(call, len(read.field.shape))
    count = math.prod(read.field.shape[axis] for axis in axes)
    factor = 1.0 / max(count, 1) if mean else 1.0
    keep = len(call.shape) == len(read.field.shape)
    made = scaled(summed(read.field, axes, keep), factor)
    value = Value(made, mean_of=(read.id, frozenset(axes)) if mean and keep else None)
    return single(value, lambda g: iter([(read.id, scaled(_spread(g, read.field, axes), factor))]))


def _variance(call: Call, root: bool) -> Made:
    """The variance along axes, or its root: nearly a constant, which each element has a small part in."""
    read = call.reads[0]
    one = read.field
    axes = axes_of(call, len(one.shape))
    count = math.prod(one.shape[axis] for axis in axes)
    within = without_means(one, axes)
    variance = within.square * (count / max(count - 1, 1))
    level = math.sqrt(variance) if root else variance
    slope = (1.0 / max(level, TINY) if root else 2.0) / max(count, 1)

    def backward(gradient: Field) -> Passed:
        spread = _spread(gradient, one, axes)
        cross = [a * b * slope * slope for a, b in zip(spread.cross, within.cross, strict=True)]
        yield read.id, field(one.shape, spread.square * within.square * slope * slope, 0.0, cross)

    return _first(call, constant(call.shape, level), averaged_of(call, read, axes), backward)


TINY = 1e-30


def averaged_of(call: Call, read: Operand, axes: tuple[int, ...]) -> Value | None:
    """The mean beside a variance, where the call gives both."""
    if len(call.outputs) == 1:
        return None
    keep = len(call.shape) == len(read.field.shape)
    count = max(math.prod(read.field.shape[axis] for axis in axes), 1)
    made = scaled(summed(read.field, axes, keep), 1.0 / count)
    return Value(made, mean_of=(read.id, frozenset(axes)) if keep else None)


def _first(call: Call, one: Field, other: Value | None, backward: Callable[[Field], Passed]) -> Made:
    made = single(one, backward)
    return Made((made.values[0], other, *(None for _ in call.outputs[2:]))[: len(call.outputs)], made.backward)


def _length(call: Call) -> Made:
    """The Euclidean norm along axes: the root of a sum of squares, nearly a constant."""
    read = call.reads[0]
    one = read.field
    given = call.sizes(2, "dim")
    axes = tuple(axis % len(one.shape) for axis in given) if given else tuple(range(len(one.shape)))
    count = math.prod(one.shape[axis] for axis in axes)
    level = math.sqrt(max(one.square * count, TINY))

    def backward(gradient: Field) -> Passed:
        spread = _spread(gradient, one, axes)
        cross = [a * b / level**2 for a, b in zip(spread.cross, one.cross, strict=True)]
        yield read.id, field(one.shape, spread.square * one.square / level**2, 0.0, cross)

    return single(constant(call.shape, level), backward)


def _extreme(call: Call, sign: float) -> Made:
    """The largest or the smallest along axes: one element of them gets the whole gradient."""
    read = call.reads[0]
    one = read.field
    axes = axes_of(call, len(one.shape))
    count = math.prod(one.shape[axis] for axis in axes)
    inner = min((one.cross[axis] for axis in axes if one.shape[axis] > 1), default=one.square)
    spread = math.sqrt(max(one.square - inner, 0.0))
    mean, square = largest(count)
    left = [axis for axis in range(len(one.shape)) if axis not in axes]
    level = one.mean + sign * mean * spread
    top = level * level + spread * spread * (square - mean * mean) + max(inner - one.mean**2, 0.0)
    shared = [max(one.cross[axis] - one.mean**2, 0.0) + level * level for axis in left]
    made = viewed(field([one.shape[axis] for axis in left], top, level, shared), call.shape)

    def backward(gradient: Field) -> Passed:
        full = _spread(gradient, one, axes)
        cross = [0.0 if axis in axes else full.cross[axis] / count for axis in range(len(one.shape))]
        yield read.id, field(one.shape, full.square / count, full.mean / count, cross)

    return _first(call, made, None, backward)


def _log_sum(call: Call) -> Made:
    """log sum exp: the log of the count and half of the variance, for normal entries."""
    read = call.reads[0]
    one = read.field
    axes = axes_of(call, len(one.shape))
    count = math.prod(one.shape[axis] for axis in axes)
    level = one.mean + math.log(max(count, 1)) + 0.5 * one.variance
    rest = independent(call.shape, level * level + one.variance / max(count, 1), level)
    share = math.exp(min(one.variance, 50.0)) / max(count, 1) ** 2

    def backward(gradient: Field) -> Passed:
        full = _spread(gradient, one, axes)
        yield read.id, reshaped(scaled(full, math.sqrt(min(share, 1.0))), one.shape, (c * share for c in full.cross))

    return single(rest, backward)


def _running(call: Call) -> Made:
    """A cumulative sum: a sum of half of the entries, on average."""
    read = call.reads[0]
    axis = int(call.number(1, "dim", -1.0)) % max(len(read.field.shape), 1)
    size = read.field.shape[axis]

    def half(one: Field) -> Field:
        total = 0.5 * (size + 1) * (one.square + (size - 1) / 1.5 * one.cross[axis])
        ratio = total / one.square if one.square else 0.0
        return field(one.shape, total, one.mean * (size + 1) / 2, [c * ratio for c in one.cross])

    return single(half(read.field), lambda g: iter([(read.id, half(g))]))


RULES: dict[str, Rule] = {
    "sum": partial(_sum, mean=False),
    "nansum": partial(_sum, mean=False),
    "mean": partial(_sum, mean=True),
    "nanmean": partial(_sum, mean=True),
    "var": partial(_variance, root=False),
    "std": partial(_variance, root=True),
    "var_mean": partial(_variance, root=False),
    "std_mean": partial(_variance, root=True),
    "norm": _length,
    "linalg_vector_norm": _length,
    "linalg_norm": _length,
    "amax": partial(_extreme, sign=1.0),
    "max": partial(_extreme, sign=1.0),
    "amin": partial(_extreme, sign=-1.0),
    "min": partial(_extreme, sign=-1.0),
    "logsumexp": _log_sum,
    "cumsum": _running,
}
