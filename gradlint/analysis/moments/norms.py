"""Normalisations: batch, layer, group, instance and RMS norm, and vectors brought to length one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, single
from gradlint.analysis.moments.field import (
    Field,
    added,
    averaged,
    constant,
    field,
    independent,
    multiplied,
    scaled,
    summed,
    summed_to,
)

EPSILON = 1e-5
LEAST_FREEDOM = 4.0
"""Effective degrees of freedom of a variance, at and below which the mean of its inverse does not exist."""

FEW = 2.0
"""What the gradient is multiplied by there."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The axes that share one mean and one standard deviation, and whether the mean is taken off."""

    axes: tuple[int, ...]
    epsilon: float
    centred: bool = True
    few: bool = False


@dataclass(frozen=True, slots=True)
class Affine:
    """The weight and the bias of a norm, each None where there is none, and the axes that they lie along."""

    weight: Operand | None
    bias: Operand | None
    axes: tuple[int, ...]

    def spread(self, one: Operand, like: Field) -> Field:
        """A parameter repeated along all other axes."""
        rest = iter(one.field.cross)
        cross = tuple(next(rest) if axis in self.axes else one.field.square for axis in range(len(like.shape)))
        return Field(like.shape, one.field.square, one.field.mean, cross)

    def gathered(self, gradient: Field) -> Field:
        """The gradient of such a parameter."""
        return summed(gradient, [axis for axis in range(len(gradient.shape)) if axis not in self.axes])


NONE = Affine(None, None, ())


def normalised(read: Operand, scope: Scope, affine: Affine = NONE) -> Made:
    """A value over its standard deviation, times a weight, plus a bias."""
    one = read.field
    mean = averaged(one, scope.axes, keep=True) if scope.centred else constant(one.shape, 0.0)
    variance = max(one.square - mean.square, 0.0)
    inverse = 1.0 / (variance + scope.epsilon) if variance + scope.epsilon > 0.0 else 0.0
    units = _unit(one, mean, scope, inverse)
    excess = _excess(one, scope, mean.square, variance) if scope.few else 1.0
    made = single(units, lambda gradient: iter([(read.id, _passed(gradient, scope, inverse * excess))]))
    return with_affine(made, affine)


def with_affine(made: Made, affine: Affine) -> Made:
    """A normalised value times a weight, plus a bias."""
    value = made.values[0]
    assert value is not None
    units = value.field
    weight = affine.spread(affine.weight, units) if affine.weight is not None else None
    result = multiplied(units, weight) if weight is not None else units
    if affine.bias is not None:
        result = added(result, affine.spread(affine.bias, units))

    def backward(gradient: Field) -> Passed:
        if affine.bias is not None:
            yield affine.bias.id, affine.gathered(gradient)
        if affine.weight is not None and weight is not None:
            yield affine.weight.id, affine.gathered(multiplied(gradient, units))
            gradient = multiplied(gradient, weight)
        yield from made.backward((gradient,))

    return single(result, backward)


def _unit(one: Field, mean: Field, scope: Scope, inverse: float) -> Field:
    """The value less its mean and over its standard deviation."""
    square = max(one.square - mean.square, 0.0) * inverse
    cross = (
        (one.cross[axis] - (mean.square if axis in scope.axes else mean.cross[axis])) * inverse
        for axis in range(len(one.shape))
    )
    centre = 0.0 if scope.centred else one.mean * math.sqrt(inverse)
    made = field(one.shape, square, centre, cross)
    return replace(made, centred=frozenset(scope.axes)) if scope.centred else made


def _passed(gradient: Field, scope: Scope, factor: float) -> Field:
    """The gradient behind a norm: what is along the mean or along the value itself is taken out."""
    count = math.prod(gradient.shape[axis] for axis in scope.axes)
    share = max(1.0 - 1.0 / max(count, 1), 0.0)
    if not scope.centred:
        left = field(gradient.shape, gradient.square * share, 0.0, gradient.cross)
        return scaled(left, math.sqrt(factor))
    mean = averaged(gradient, scope.axes, keep=True)
    cross = (
        (gradient.cross[axis] - (mean.square if axis in scope.axes else mean.cross[axis])) * factor
        for axis in range(len(gradient.shape))
    )
    made = field(gradient.shape, max(gradient.square - mean.square, 0.0) * share * factor, 0.0, cross)
    return replace(made, centred=frozenset(scope.axes))


def _excess(one: Field, scope: Scope, mean: float, variance: float) -> float:
    """E[variance] E[1 / variance] of a variance that is taken over few, or correlated, elements.

    A quadratic form of normals is close to a chi-squared variable with d = tr(S)^2 / tr(S^2) degrees of freedom
    (Satterthwaite 1946), whose inverse has the mean 1 / (d - 2).
    """
    count = math.prod(one.shape[axis] for axis in scope.axes)
    inverse = 1.0 / max(count - 1, 1)
    if variance > 0.0 and count > 1:
        inverse += _correlated(one, scope.axes, mean, variance) / (count - 1)
    freedom = 1.0 / inverse
    return freedom / (freedom - 2.0) if freedom > LEAST_FREEDOM else FEW


def _correlated(one: Field, axes: Sequence[int], mean: float, variance: float) -> float:
    """The sum of the squared correlations of one element with all others that share its variance."""
    total = below = 0.0
    correlation = {axis: max((one.cross[axis] - mean) / variance, 0.0) ** 2 for axis in axes if one.shape[axis] > 1}
    for level in sorted({min(value, 1.0) for value in correlation.values()}):
        pairs = math.prod(one.shape[axis] for axis, value in correlation.items() if value >= level)
        total += (level - below) * (pairs - 1)
        below = level
    return total


def _affine(learnt: Sequence[Operand], axes: tuple[int, ...]) -> Affine:
    return Affine(learnt[0] if learnt else None, learnt[1] if len(learnt) > 1 else None, axes)


def _channelwise(call: Call) -> Affine:
    """The affine parameters of a norm that may read running statistics too: two vectors before them."""
    vectors = [read for read in call.reads[1:] if len(read.field.shape) == 1]
    learnt = vectors[2:] if len(vectors) > 2 else [read for read in vectors if read.is_parameter]
    return _affine(learnt, (1,))


def _batch_norm(call: Call) -> Made | None:
    read = call.reads[0]
    rank = len(read.field.shape)
    if rank < 2:
        return None
    if not call.flag(5, "training", default=True):
        # The running statistics are 0 and 1 at first.
        same = single(read.field, lambda gradient: iter([(read.id, gradient)]))
        return with_affine(same, _channelwise(call))
    axes = tuple(axis for axis in range(rank) if axis != 1)
    return normalised(read, Scope(axes, call.number(7, "eps", EPSILON), few=True), _channelwise(call))


def _instance_norm(call: Call) -> Made:
    read = call.reads[0]
    axes = tuple(range(2, len(read.field.shape)))
    return normalised(read, Scope(axes, call.number(7, "eps", EPSILON), few=True), _channelwise(call))


def _layer_norm(call: Call, centred: bool = True) -> Made:
    read = call.reads[0]
    rank = len(read.field.shape)
    width = len(call.sizes(1, "normalized_shape") or (0,))
    axes = tuple(range(rank - width, rank))
    scope = Scope(axes, call.number(4 if centred else 3, "eps", EPSILON), centred, few=True)
    return normalised(read, scope, _affine(call.reads[1:], axes))


def _group_norm(call: Call) -> Made:
    """Channels lie in groups, each normalised with its space: the axis of the channels becomes two."""
    read = call.reads[0]
    one = read.field
    groups = max(int(call.number(1, "num_groups", 1.0)), 1)
    split = _Split((one.shape[0], groups, one.shape[1] // groups, *one.shape[2:]), one.shape)
    inner = Operand(read.node, replace(read.value, field=split.apart(one)), read.open)
    scope = Scope(tuple(range(2, len(split.apart_shape))), call.number(4, "eps", EPSILON), few=True)
    made = normalised(inner, scope)
    value = made.values[0]
    assert value is not None

    def backward(gradient: Field) -> Passed:
        for number, passed in made.backward((split.apart(gradient),)):
            yield number, split.together(passed)

    return with_affine(single(split.together(value.field), backward), _affine(call.reads[1:], (1,)))


@dataclass(frozen=True, slots=True)
class _Split:
    """The axis of channels as groups and channels of a group."""

    apart_shape: tuple[int, ...]
    shape: tuple[int, ...]

    def apart(self, one: Field) -> Field:
        """The value with one axis more."""
        return Field(self.apart_shape, one.square, one.mean, (one.cross[0], one.cross[1], *one.cross[1:]))

    def together(self, one: Field) -> Field:
        """The value with the two axes as one."""
        groups, width = one.shape[1:3]
        inner = one.cross[2]
        across = one.alike((1, 2))
        mixed = (inner * (width - 1) + across * (groups - 1) * width) / max(groups * width - 1, 1)
        return field(self.shape, one.square, one.mean, (one.cross[0], mixed, *one.cross[3:]))


def _unit_length(call: Call) -> Made:
    """`normalize`: vectors of length one along an axis."""
    read = call.reads[0]
    axis = int(call.number(2, "dim", 1.0)) % max(len(read.field.shape), 1)
    made = normalised(read, Scope((axis,), 0.0, centred=False))
    length = 1.0 / math.sqrt(read.field.shape[axis])
    value = made.values[0]
    assert value is not None
    return single(scaled(value.field, length), lambda g: made.backward((scaled(g, length),)))


def _weight_norm(call: Call) -> Made:
    """g v / |v|: at first the weight itself, as g is set to its length."""
    read, gain = call.reads[0], call.reads[-1]
    axis = int(call.number(2, "dim", 0.0))
    rank = len(read.field.shape)
    others = [one for one in range(rank) if one != axis % rank] if axis >= 0 else list(range(rank))
    length = math.sqrt(max(read.field.square * math.prod(read.field.shape[one] for one in others), 0.0))
    scale = math.sqrt(gain.field.square) / length if length else 0.0
    made = independent(read.field.shape, read.field.square * scale * scale)

    def backward(gradient: Field) -> Passed:
        along = multiplied(gradient, scaled(read.field, 1.0 / length if length else 0.0))
        yield gain.id, summed_to(summed(along, others, keep=True), gain.field.shape)
        yield read.id, scaled(gradient, scale)

    return single(made, backward)


RULES: dict[str, Rule] = {
    "batch_norm": _batch_norm,
    "native_batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "native_layer_norm": _layer_norm,
    "rms_norm": partial(_layer_norm, centred=False),
    "group_norm": _group_norm,
    "normalize": _unit_length,
    "weight_norm": _weight_norm,
}
