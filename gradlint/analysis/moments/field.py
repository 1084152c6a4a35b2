"""The moments of a tensor's elements: their mean square, their mean, and how alike two elements along one axis are.

Two elements that differ along several axes are taken to be as alike as the least alike of these axes makes them: a
hierarchy of shared parts, such as an offset a channel, a share an image, and what is left to each pixel.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """E[x^2], E[x], and per axis E[x y] of two elements that differ in it alone, of a tensor of some shape.

    Sums over all of the axes `centred` together are zero, as behind a batch norm. Where the value lies in `parts` of
    different sizes, these have the moments of each.
    """

    shape: Shape
    square: float
    mean: float
    cross: tuple[float, ...]
    centred: frozenset[int] = frozenset()
    parts: Parts | None = None

    @property
    def variance(self) -> float:
        """E[x^2] - E[x]^2."""
        return max(self.square - self.mean * self.mean, 0.0)

    @property
    def elements(self) -> int:
        """How many numbers the tensor has."""
        return math.prod(self.shape)

    def alike(self, axes: Iterable[int]) -> float:
        """E[x y] of two elements that differ along all of some axes."""
        return min((self.cross[axis] for axis in axes if self.shape[axis] > 1), default=self.square)


@dataclass(frozen=True, slots=True)
class Parts:
    """The fields of the parts that lie beside each other along an axis."""

    axis: int
    fields: tuple[Field, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How long each is."""
        return tuple(one.shape[self.axis] for one in self.fields)


def field(shape: Sequence[int], square: float, mean: float, cross: Iterable[float]) -> Field:
    """A field whose cross moments are held between zero and the mean square."""
    top = max(square, 0.0)
    return Field(tuple(shape), top, mean, tuple(min(max(one, 0.0), top) for one in cross))


def independent(shape: Sequence[int], square: float, mean: float = 0.0) -> Field:
    """A tensor of independent elements."""
    return Field(tuple(shape), square, mean, (mean * mean,) * len(shape))


def constant(shape: Sequence[int], value: float) -> Field:
    """A tensor with one value everywhere."""
    return Field(tuple(shape), value * value, value, (value * value,) * len(shape))


def scaled(one: Field, factor: float) -> Field:
    """A field times a number."""
    power = factor * factor
    return Field(one.shape, one.square * power, one.mean * factor, tuple(c * power for c in one.cross), one.centred)


def weighted(one: Field, share: float) -> Field:
    """A field of which only a share of the elements is there, the others are zero."""
    return Field(one.shape, one.square * share, one.mean * share, tuple(c * share for c in one.cross))


def reshaped(one: Field, shape: Shape, cross: Iterable[float]) -> Field:
    """The same elements in another shape."""
    return field(shape, one.square, one.mean, cross)


def added(one: Field, other: Field) -> Field:
    """The sum of two fields of one shape that are independent but for their means."""
    both = 2.0 * one.mean * other.mean
    cross = (a + b + both for a, b in zip(one.cross, other.cross, strict=True))
    centred = one.centred if one.centred == other.centred else frozenset[int]()
    total = field(one.shape, one.square + other.square + both, one.mean + other.mean, cross)
    return replace(total, centred=centred)


def multiplied(one: Field, other: Field) -> Field:
    """The product of two independent fields of one shape; zero sums stay where the factor is the same all along."""
    cross = (a * b for a, b in zip(one.cross, other.cross, strict=True))
    centred = one.centred if all(other.cross[axis] >= other.square for axis in one.centred) else frozenset[int]()
    return Field(one.shape, one.square * other.square, one.mean * other.mean, tuple(cross), centred)


def broadcast(one: Field, shape: Shape) -> Field:
    """A field repeated along the axes that it lacks or has once."""
    if one.shape == shape:
        return one
    behind = len(shape) - len(one.shape)
    cross = tuple(
        one.square if axis < behind or one.shape[axis - behind] == 1 else one.cross[axis - behind]
        for axis in range(len(shape))
    )
    return Field(shape, one.square, one.mean, cross)


def summed(one: Field, axes: Collection[int], keep: bool = False) -> Field:
    """The sums over some axes, which stay with size one or go."""
    if not axes:
        return one
    count = math.prod(one.shape[axis] for axis in axes)
    left = [axis for axis in range(len(one.shape)) if axis not in axes]
    if one.centred and one.centred <= set(axes):
        made = Field(tuple(one.shape[a] for a in left), 0.0, 0.0, (0.0,) * len(left))
    else:
        cross = [_pairs(one, axes, one.cross[axis] if one.shape[axis] > 1 else one.square) for axis in left]
        made = field([one.shape[a] for a in left], _pairs(one, axes, one.square), one.mean * count, cross)
    return _kept(made, one, axes) if keep else made


def _kept(made: Field, one: Field, axes: Collection[int]) -> Field:
    rest = iter(zip(made.shape, made.cross, strict=True))
    pairs = [(1, made.square) if axis in axes else next(rest) for axis in range(len(one.shape))]
    return Field(tuple(size for size, _ in pairs), made.square, made.mean, tuple(cross for _, cross in pairs))


def _pairs(one: Field, axes: Collection[int], top: float) -> float:
    """The sum of E[x y] over all pairs of two groups of elements that go through some axes; equal ones have `top`.

    A layer cake: E[x y] of a pair is the least of its axes' cross moments, so that it exceeds a level where none of the
    axes along which the pair differs lies below that level.
    """
    total = below = 0.0
    levels = {min(one.cross[axis], top) for axis in axes if one.shape[axis] > 1} | {top}
    for level in sorted(levels):
        pairs = math.prod(one.shape[axis] if one.shape[axis] > 1 and one.cross[axis] >= level else 1 for axis in axes)
        total += (level - below) * pairs
        below = level
    return total * math.prod(one.shape[axis] for axis in axes)


def averaged(one: Field, axes: Collection[int], keep: bool = False) -> Field:
    """The means over some axes."""
    return scaled(summed(one, axes, keep), 1.0 / max(math.prod(one.shape[axis] for axis in axes), 1))


def summed_to(one: Field, shape: Shape) -> Field:
    """The gradient of a value that was repeated to a field's shape."""
    if one.shape == shape:
        return one
    behind = len(one.shape) - len(shape)
    axes = [a for a in range(len(one.shape)) if a < behind or (shape[a - behind] == 1 and one.shape[a] > 1)]
    kept = summed(one, axes, keep=True)
    return Field(kept.shape[behind:], kept.square, kept.mean, kept.cross[behind:])


def without_means(one: Field, axes: Collection[int]) -> Field:
    """A field less its means over some axes (a linear map that is its own adjoint)."""
    average = averaged(one, axes, keep=True)
    cross = (
        one.cross[axis] - (average.square if axis in axes else average.cross[axis]) for axis in range(len(one.shape))
    )
    return replace(field(one.shape, one.square - average.square, 0.0, cross), centred=frozenset(a for a in axes))
