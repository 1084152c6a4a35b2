"""Pooling and resampling over space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from gradlint.analysis.moments.calls import Call, Made, Passed, Rule, single
from gradlint.analysis.moments.curves import GRID, WEIGHTS, Values
from gradlint.analysis.moments.field import Field, Shape, field
from gradlint.analysis.moments.order import densities
from gradlint.analysis.moments.views import viewed
from gradlint.analysis.moments.windows import Windows, space, windows

EVERY = 8
"""Of the grid's points, those by which the part that a window's entries share is taken."""

COARSE = GRID[EVERY // 2 :: EVERY]
_COARSE_WEIGHTS = tuple(one / sum(WEIGHTS[EVERY // 2 :: EVERY]) for one in WEIGHTS[EVERY // 2 :: EVERY])

SAME = 0.999
"""The largest part of the variance that places of a window share: some is left to choose by."""


def _average(call: Call) -> Made:
    read = call.reads[0]
    one, out = read.field, call.shape
    axes = range(len(one.shape) - space(call), len(one.shape))
    shape = windows(call, one.shape)
    count = max(math.prod(shape.extent), 1)
    alike = min((one.cross[axis] for axis in axes if one.shape[axis] > 1), default=one.square)
    square = one.square / count + (1.0 - 1.0 / count) * alike
    cross = list(one.cross)
    for axis, pairs in zip(axes, shape.overlaps(), strict=True):
        cross[axis] += sum(share * common for share, common in pairs) * max(square - cross[axis], 0.0)
    density = math.prod(out) / max(one.elements, 1)
    # Each entry lies in `times` windows, less than one where the stride leaves some out.
    times = count * density

    def backward(gradient: Field) -> Passed:
        more = max(times, 1.0)
        near = min((gradient.cross[axis] for axis in axes if out[axis] > 1), default=0.0)
        each = (gradient.square + (more - 1.0) * near) / count**2
        factor = density / count
        crosses = [
            _smeared(gradient, axis, one.shape, factor) if axis in axes else c * factor
            for axis, c in enumerate(gradient.cross)
        ]
        yield read.id, field(one.shape, each * times, gradient.mean * density, crosses)

    return single(field(out, square, one.mean, cross), backward)


def _smeared(gradient: Field, axis: int, shape: Shape, factor: float) -> float:
    """Neighbours of one window get the same gradient."""
    size, count = shape[axis], max(gradient.shape[axis], 1)
    same = max(size / count - 1.0, 0.0) / max(size - 1, 1)
    return (same * gradient.square + (1.0 - same) * gradient.cross[axis]) * factor


@dataclass(frozen=True, slots=True)
class Peaks:
    """Moments of a function of the largest entry: of one window, of two at the same place in two samples, of two."""

    square: float
    mean: float
    batch: float
    space: float


@lru_cache(maxsize=1 << 10)
def _peaks(values: Values, counts: tuple[tuple[int, float], ...], batch: float, common: float) -> Peaks:
    """Of windows whose entries share the part `common` of their variance, with other windows too.

    The largest of what they do not share is added to it. The same place in another sample shares the part `batch`.
    """
    square = mean = same_place = 0.0
    levels = [0.0] * len(COARSE)
    for count, share in counts:
        means, squares = _by_level(values, count, common)
        here = _over(means)
        between = _over([one * one for one in means])
        square += share * _over(squares)
        mean += share * here
        same_place += share * _graded(here * here, between, _over(squares), batch, common)
        levels = [a + share * b for a, b in zip(levels, means, strict=True)]
    return Peaks(square, mean, same_place, _over([one * one for one in levels]))


def _by_level(values: Values, count: int, common: float) -> tuple[list[float], list[float]]:
    """E[y] and E[y^2] where the shared part stands at each point of the coarse grid."""
    shares = densities(count)
    wide, narrow = math.sqrt(common), math.sqrt(max(1.0 - common, 0.0))
    means, squares = [], []
    for level in COARSE:
        at = [_interpolated(values, wide * level + narrow * u) for u in GRID]
        means.append(sum(w * y for w, y in zip(shares, at, strict=True)))
        squares.append(sum(w * y * y for w, y in zip(shares, at, strict=True)))
    return means, squares


def _over(values: Sequence[float]) -> float:
    return sum(w * one for w, one in zip(_COARSE_WEIGHTS, values, strict=True))


def _graded(apart: float, shared: float, same: float, batch: float, common: float) -> float:
    """What two samples have in common at one place, between nothing, what places have in common, and everything."""
    if batch <= common:
        return apart + (shared - apart) * (batch / common if common > 0.0 else 0.0)
    return shared + (same - shared) * (batch - common) / max(1.0 - common, 1.0 - SAME)


def _interpolated(values: Values, at: float) -> float:
    """A curve between its grid points."""
    place = min(max((at - GRID[0]) / (GRID[1] - GRID[0]), 0.0), len(GRID) - 1.001)
    low = int(place)
    share = place - low
    return values[low] * (1.0 - share) + values[low + 1] * share


def _largest(call: Call) -> Made | None:
    read = call.reads[0]
    curve = read.curve
    base, out = curve.of, call.shape
    if len(base.shape) != len(out):
        return None
    axes = range(len(out) - space(call), len(out))
    shape = windows(call, base.shape)
    batch, common = _shares(base, axes)
    counts = tuple(sorted(shape.counts().items()))
    value = _peaks(curve.values, counts, batch, common)
    slope = _peaks(curve.slopes, counts, batch, common)
    made = field(out, value.square, value.mean, _crosses(value, shape, axes, len(out)))
    density = math.prod(out) / max(base.elements, 1)
    count = math.prod(shape.extent)
    # Neighbours that overlap may have the same largest entry, which then gets the sum of their gradients.
    more = 1.0 + max(count * density - 1.0, 0.0) / count

    def backward(gradient: Field) -> Passed:
        apart = [density if axis in axes else 1.0 / count for axis in range(len(out))]
        slopes = [slope.space if axis in axes else slope.batch for axis in range(len(out))]
        cross = [c * s * density * a for c, s, a in zip(gradient.cross, slopes, apart, strict=True)]
        cross[axes[0] - 1] = 0.0
        yield curve.base, field(base.shape, gradient.square * slope.square * density * more, 0.0, cross)

    result = single(made, backward)
    return result if len(call.outputs) == 1 else Made((*result.values, None), result.backward)


def _crosses(peaks: Peaks, shape: Windows, axes: range, rank: int) -> list[float]:
    """By axis; two windows that overlap have the same largest entry with the chance that it lies where they do."""
    cross = [peaks.batch] * rank
    cross[axes[0] - 1] = peaks.mean**2
    for axis, pairs in zip(axes, shape.overlaps(), strict=True):
        same = sum(share * common / (2.0 - common) for share, common in pairs)
        cross[axis] = peaks.space + same * max(peaks.square - peaks.space, 0.0)
    return cross


def _shares(base: Field, axes: Sequence[int]) -> tuple[float, float]:
    """The parts of the variance that a place shares with the same place of other samples, and with other places."""
    variance = base.variance
    if variance <= 0.0:
        return 1.0, SAME
    batch = min(max((base.cross[0] - base.mean**2) / variance, 0.0), 1.0)
    alike = min((base.cross[axis] for axis in axes if base.shape[axis] > 1), default=base.square)
    return round(batch, 2), round(min(max((alike - base.mean**2) / variance, 0.0), SAME), 3)


def _resampled(call: Call) -> Made:
    """Nearest neighbours are copies; interpolation between two of them averages."""
    read = call.reads[0]
    one, out = read.field, call.shape
    if len(one.shape) != len(out):
        return single(viewed(one, out), lambda g: iter([(read.id, viewed(g, one.shape))]))
    grown = [axis for axis in range(len(out)) if out[axis] > one.shape[axis]]
    times = math.prod(out) / max(one.elements, 1)
    smooth = call.literal(3, "mode", "nearest") not in ("nearest", "nearest-exact")
    alike = min((one.cross[axis] for axis in grown if one.shape[axis] > 1), default=one.square)
    kept = BETWEEN ** len(grown) if smooth else 1.0
    square = kept * one.square + (1.0 - kept) * alike
    ratio = square / one.square if one.square else 1.0
    made = field(out, square, one.mean, [c * (ratio if axis in grown else 1.0) for axis, c in enumerate(one.cross)])

    def backward(gradient: Field) -> Passed:
        near = min((gradient.cross[axis] for axis in grown), default=gradient.square)
        arrived = times * (gradient.square * kept + max(times - kept, 0.0) * near)
        if times < 1.0:
            arrived = times * gradient.square
        cross = [c * times * (times if axis in grown else kept) for axis, c in enumerate(gradient.cross)]
        yield read.id, field(one.shape, arrived, gradient.mean * times, cross)

    return single(made, backward)


BETWEEN = 2.0 / 3.0
"""E[w^2 + (1 - w)^2] of linear weights between two neighbours, w uniform."""

RULES: dict[str, Rule] = {
    **{f"{kind}avg_pool{axes}d": _average for kind in ("", "adaptive_") for axes in (1, 2, 3)},
    **{f"{kind}max_pool{axes}d": _largest for kind in ("", "adaptive_") for axes in (1, 2, 3)},
    "global_avg_pool": _average,
    "avg_pool": _average,
    "max_pool": _largest,
    "interpolate": _resampled,
    "upsample_nearest": _resampled,
    "upsample_bilinear": _resampled,
    "grid_sample": _resampled,
}
