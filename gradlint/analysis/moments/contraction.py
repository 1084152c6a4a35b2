"""One rule for every sum of products: linear maps, convolutions, attention, and the gradients of all of them.

Of y = sum_k a b with a and b independent, E[y y'] is the sum over all pairs (k, k') of E[a a'] E[b b'].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from gradlint.analysis.moments.field import Field, field, scaled, without_means

Label = str
Sizes = Mapping[Label, int]


def contract(a: Field, axes_a: Sequence[Label], b: Field, axes_b: Sequence[Label], out: Sequence[Label]) -> Field:
    """The moments of einsum(a, b) for labelled axes; a label may have size one in one of the two."""
    sizes: dict[Label, int] = {}
    for label, size in (*zip(axes_a, a.shape, strict=True), *zip(axes_b, b.shape, strict=True)):
        sizes[label] = max(sizes.get(label, 1), size)
    inner = [label for label, size in sizes.items() if label not in out and size > 1]
    a, b = _less_means(a, axes_a, b, axes_b, inner), _less_means(b, axes_b, a, axes_a, inner)
    left, right = _crosses(a, axes_a), _crosses(b, axes_b)
    count = math.prod(sizes[label] for label in inner)

    def moment(label: Label | None) -> float:
        top_a = left.get(label, a.square) if label is not None else a.square
        top_b = right.get(label, b.square) if label is not None else b.square
        return count * _pairs([(sizes[one], left.get(one), right.get(one)) for one in inner], top_a, top_b)

    return field([sizes[one] for one in out], moment(None), a.mean * b.mean * count, [moment(one) for one in out])


def _crosses(one: Field, labels: Sequence[Label]) -> dict[Label, float]:
    """The cross moments by label; where a field has one element it does not depend on the label."""
    return {label: cross for label, size, cross in zip(labels, one.shape, one.cross, strict=True) if size > 1}


def _less_means(
    one: Field, labels: Sequence[Label], other: Field, others: Sequence[Label], inner: Iterable[Label]
) -> Field:
    """A field without its means over the inner axes over which the other one sums to zero: they do not count.

    What has no mean over n elements has n - 1 degrees of freedom: pairs of different ones are alike by -1 / (n - 1).
    """
    centred = {others[axis] for axis in other.centred if other.shape[axis] > 1}
    if not centred or not centred <= set(inner):
        return one
    axes = [axis for axis, label in enumerate(labels) if label in centred]
    if not axes or len(axes) != len(centred):
        return one
    count = math.prod(one.shape[axis] for axis in axes)
    return scaled(without_means(one, axes), math.sqrt(count / (count - 1))) if count > 1 else one


def _pairs(axes: Sequence[tuple[int, float | None, float | None]], top_a: float, top_b: float) -> float:
    """The mean over one side of sum E[a a'] E[b b'] over the other side's indices, as a layer cake in both moments."""
    levels_a = sorted({min(a, top_a) for _, a, _ in axes if a is not None} | {top_a})
    levels_b = sorted({min(b, top_b) for _, _, b in axes if b is not None} | {top_b})
    total = below_a = 0.0
    for a in levels_a:
        if a > below_a:
            total += (a - below_a) * _layer(axes, a, levels_b)
            below_a = a
    return total


def _layer(axes: Sequence[tuple[int, float | None, float | None]], level: float, levels: Sequence[float]) -> float:
    total = below = 0.0
    inside = [(size, b) for size, a, b in axes if a is None or a >= level]
    for high in levels:
        if high > below:
            total += (high - below) * math.prod(size for size, b in inside if b is None or b >= high)
            below = high
    return total
