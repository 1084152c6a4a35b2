"""Pooling, resampling and windows over space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, partial

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, single
from gradlint.analysis.moments.curves import GRID, WEIGHTS, Curve
from gradlint.analysis.moments.field import Field, Shape, field
from gradlint.analysis.moments.order import densities
from gradlint.analysis.moments.views import viewed

SPACE = 2
"""Axes before those of space: the batch and the channels."""

COARSE = GRID[::6]
"""The grid of the part that a window's entries share."""

_COARSE_WEIGHTS = tuple(one / sum(WEIGHTS[::6]) for one in WEIGHTS[::6])


def _window(call: Call, read: Operand) -> float:
    """The entries of one window: the kernel's, or what an adaptive pool makes of the sizes."""
    axes = _space(call)
    given = call.sizes(1, "kernel_size") if not call.node.op.startswith("adaptive") else None
    if given:
        return float(math.prod(given) if len(given) > 1 else given[0] ** axes)
    return max(math.prod(read.field.shape[-axes:]) / max(math.prod(call.shape[-axes:]), 1), 1.0)


def _space(call: Call) -> int:
    """How many axes a pool works on, by its name."""
    return int(call.node.op[-2]) if call.node.op[-2:-1].isdigit() else max(len(call.shape) - SPACE, 1)


def _average(call: Call) -> Made:
    read = call.reads[0]
    one, out = read.field, call.shape
    axes = range(len(one.shape) - _space(call), len(one.shape))
    count = _window(call, read)
    alike = min((one.cross[axis] for axis in axes if one.shape[axis] > 1), default=one.square)
    square = one.square / count + (1.0 - 1.0 / count) * alike
    made = field(out, square, one.mean, one.cross)
    density = math.prod(out) / max(one.elements, 1)
    # Each entry lies in `count * density` windows, less than one where the stride leaves some out.
    times = count * density

    def backward(gradient: Field) -> Passed:
        more = max(times, 1.0)
        neighbour = min((gradient.cross[axis] for axis in axes if out[axis] > 1), default=0.0)
        each = (gradient.square + (more - 1.0) * neighbour) / count**2
        cross = [c * density / count if axis not in axes else _smeared(gradient, axis, one.shape, density / count)
                 for axis, c in enumerate(gradient.cross)]
        yield read.id, field(one.shape, each * times, gradient.mean * density, cross)

    return single(made, backward)


def _smeared(gradient: Field, axis: int, shape: Shape, factor: float) -> float:
    """Neighbours of one window get the same gradient."""
    size, windows = shape[axis], max(gradient.shape[axis], 1)
    same = max(size / windows - 1.0, 0.0) / max(size - 1, 1)
    return (same * gradient.square + (1.0 - same) * gradient.cross[axis]) * factor


@lru_cache(maxsize=1 << 12)
def _shared_window(values: tuple[float, ...], slopes: tuple[float, ...], count: int, batch: float, space: float):  # type: ignore[no-untyped-def]
    """E[y^2], E[y], E[y y'] over the batch and over space of the largest entry, E[slope^2] and E[slope slope'].

    The entries of a window share a part of their variance, `batch` of it with the same place in other samples and
    `space` with other windows; the largest of what they do not share is added to it.
    """
    peaks = densities(count)
    rest = math.sqrt(max(1.0 - space, 0.0))
    shared = math.sqrt(max(space, 0.0))
    means, squares, slope_means, slope_squares = [], [], [], []
    for a in COARSE:
        at = [(_interpolated(values, shared * a + rest * u), _interpolated(slopes, shared * a + rest * u)) for u in GRID]
        means.append(sum(w * y for w, (y, _) in zip(peaks, at, strict=True)))
        squares.append(sum(w * y * y for w, (y, _) in zip(peaks, at, strict=True)))
        slope_means.append(sum(w * d for w, (_, d) in zip(peaks, at, strict=True)))
        slope_squares.append(sum(w * d * d for w, (_, d) in zip(peaks, at, strict=True)))
    mean, square = _over(means), _over(squares)
    between = _over([one * one for one in means])
    slope, slope_square = _over(slope_means), _over(slope_squares)
    part = batch / space if space > 0 else 0.0
    over_batch = mean * mean + (between - mean * mean) * part
    slopes_between = _over([one * one for one in slope_means])
    slope_batch = slope * slope + (slopes_between - slope * slope) * part
    return square, mean, over_batch, between, slope_square, slope_batch, slopes_between


def _over(values: Sequence[float]) -> float:
    return sum(w * one for w, one in zip(_COARSE_WEIGHTS, values, strict=True))


def _interpolated(values: tuple[float, ...], at: float) -> float:
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
    count = max(round(_window(call, read)), 1)
    space = range(len(out) - _space(call), len(out))
    batch, alike = _shares(base, space)
    square, mean, over_batch, over_space, slope, slope_batch, slope_space = _shared_window(
        curve.values, curve.slopes, count, round(batch, 2), round(alike, 2)
    )
    feature = len(out) - _space(call) - 1
    cross = [over_space if axis in space else mean * mean if axis == feature else over_batch for axis in range(len(out))]
    density = math.prod(out) / max(base.elements, 1)
    overlap = count * density

    def backward(gradient: Field) -> Passed:
        more = 1.0 + max(overlap - 1.0, 0.0) / count
        crosses = [
            c * (slope_space if axis in space else slope_batch) * density * (density if axis in space else 1.0 / count)
            for axis, c in enumerate(gradient.cross)
        ]
        crosses[feature] = 0.0
        yield curve.base, field(base.shape, gradient.square * slope * density * more, 0.0, crosses)

    extra = [None] * (len(call.outputs) - 1)
    made = single(field(out, square, mean, cross), backward)
    return Made((*made.values, *extra), made.backward)


def _shares(base: Field, space: Sequence[int]) -> tuple[float, float]:
    """The parts of the variance that a place shares with the same place of other samples, and with other places."""
    variance = base.variance
    if variance <= 0.0:
        return 1.0, 1.0
    batch = min(max((base.cross[0] - base.mean**2) / variance, 0.0), 1.0)
    alike = min((base.cross[axis] for axis in space if base.shape[axis] > 1), default=base.square)
    return batch, max(batch, min(max((alike - base.mean**2) / variance, 0.0), 0.999))


def _resampled(call: Call) -> Made:
    """Nearest neighbours are copies; interpolation between two of them averages."""
    read = call.reads[0]
    one, out = read.field, call.shape
    if len(one.shape) != len(out):
        return single(viewed(one, out), lambda g: iter([(read.id, viewed(g, one.shape))]))
    grown = [axis for axis in range(len(out)) if out[axis] > one.shape[axis]]
    times = math.prod(out) / max(one.elements, 1)
    mode = call.literal(3, "mode", "nearest")
    smooth = mode not in ("nearest", "nearest-exact") and grown
    alike = min((one.cross[axis] for axis in grown if one.shape[axis] > 1), default=one.square)
    # Linear weights w and 1 - w, uniform w: E[w^2 + (1 - w)^2] = 2/3 an axis.
    kept = (2.0 / 3.0) ** len(grown) if smooth else 1.0
    square = kept * one.square + (1.0 - kept) * alike
    ratio = square / one.square if one.square else 1.0
    made = field(out, square, one.mean, [c * (ratio if axis in grown else 1.0) for axis, c in enumerate(one.cross)])

    def backward(gradient: Field) -> Passed:
        near = min((gradient.cross[axis] for axis in grown), default=gradient.square)
        arrived = times * (gradient.square * kept + max(times - kept, 0.0) * near)
        if times < 1.0:
            arrived = times * gradient.square
        cross = [c * times * times if axis in grown else c * times * kept for axis, c in enumerate(gradient.cross)]
        yield read.id, field(one.shape, arrived, gradient.mean * times, cross)

    return single(made, backward)


RULES: dict[str, Rule] = {
    **{f"{kind}avg_pool{axes}d": _average for kind in ("", "adaptive_") for axes in (1, 2, 3)},
    **{f"{kind}max_pool{axes}d": _largest for kind in ("", "adaptive_") for axes in (1, 2, 3)},
    "global_avg_pool": _average,
    "avg_pool": _average,
    "max_pool": _largest,
    "interpolate": _resampled,
    "upsample_nearest": _resampled,
    "upsample_bilinear": _resampled,
    "grid_sample": partial(_resampled),
}
