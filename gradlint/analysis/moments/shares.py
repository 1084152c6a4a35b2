"""Shares of dead units and of saturated elements behind an activation.

A unit is an entry of the axis of features: it is dead where the slope is zero at every place that was seen. Its inputs
share an offset, the places of one sample another one, and the rest is each place's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradlint import ops
from gradlint.analysis.moments.calls import Call, Value
from gradlint.analysis.moments.curves import GRID, WEIGHTS, Curve, identity
from gradlint.analysis.moments.field import Field
from gradlint.analysis.moments.order import below

FLAT = 0.05
"""Share of an activation's largest derivative below which an element is saturated."""

NOT_POINTWISE = frozenset("softmax softmin log_softmax glu crelu safe_softmax gumbel_softmax".split())
IMAGE = 4
"""Axes from which on features stand behind the batch, unless an op says otherwise."""

EVERY = 10
LEVELS = GRID[EVERY // 2 :: EVERY]
"""The grid by which the shared offsets are taken."""

_SHARES = tuple(one / sum(WEIGHTS[EVERY // 2 :: EVERY]) for one in WEIGHTS[EVERY // 2 :: EVERY])


def shares(call: Call, value: Value, axis: int) -> tuple[float, float] | None:
    """The share of dead units and that of saturated elements of an activation's call; None for other ops.

    `axis` is that of the features of what the call read.
    """
    known = ops.facts(call.node.op)
    if known is None or known.kind is not ops.Kind.ACTIVATION or known.name in NOT_POINTWISE:
        return None
    if not known.derivative_bound or value.curve is None or not call.reads:
        return None
    read = call.reads[0]
    before = read.curve
    slopes = _own_slopes(value.curve, before)
    saturated = sum(w for w, slope in zip(WEIGHTS, slopes, strict=True) if abs(slope) < FLAT * known.derivative_bound)
    if before.values != identity(before.base, before.of).values:
        return 0.0, saturated
    return _dead(read.field, slopes, axis % max(len(read.field.shape), 1)), saturated


def _own_slopes(after: Curve, before: Curve) -> list[float]:
    """The slopes of one call, of the slopes of all that leads to its result and to its input."""
    pairs = zip(after.slopes, before.slopes, strict=True)
    return [whole / inner if inner else 0.0 for whole, inner in pairs]


@dataclass(frozen=True, slots=True)
class _Flat:
    """Below the first and above the second bound the slope is zero (in standard deviations from the mean)."""

    low: float
    high: float

    def chance(self, mean: float, deviation: float) -> float:
        """That a normal variable lies there."""
        if deviation <= 0.0:
            return float(mean < self.low or mean > self.high)
        return below((self.low - mean) / deviation) + below((mean - self.high) / deviation)


def _dead(of: Field, slopes: Sequence[float], axis: int) -> float:
    """The mean over the units' offsets of the chance that no place of any sample has a slope."""
    passing = [u for u, slope in zip(GRID, slopes, strict=True) if slope]
    if not passing:
        return 1.0
    if len(passing) == len(GRID):
        return 0.0
    half = (GRID[1] - GRID[0]) / 2.0
    low = passing[0] - half if slopes[0] == 0.0 else -math.inf
    high = passing[-1] + half if slopes[-1] == 0.0 else math.inf
    unit, group, groups, inside = _levels(of, axis)
    own = math.sqrt(max(1.0 - unit - group, 0.0))
    flat = _Flat(low, high)
    total = 0.0
    for u, share in zip(LEVELS, _SHARES, strict=True):
        offset = math.sqrt(unit) * u
        within = sum(
            w * flat.chance(offset + math.sqrt(group) * v, own) ** inside for v, w in zip(LEVELS, _SHARES, strict=True)
        )
        total += share * within**groups
    return total


def _levels(of: Field, axis: int) -> tuple[float, float, int, int]:
    """Shares of the variance of a unit's offset and of a group's, the number of groups, and the size of each."""
    variance = of.variance
    others = [at for at in range(len(of.shape)) if at != axis and of.shape[at] > 1]
    if variance <= 0.0 or not others:
        return (1.0, 0.0, 1, 1) if variance <= 0.0 else (0.0, 0.0, 1, 1)
    crosses = {at: min(max((of.cross[at] - of.mean**2) / variance, 0.0), 1.0) for at in others}
    unit = min(crosses.values())
    outer = [at for at in others if crosses[at] <= unit + CLOSE]
    inner = [at for at in others if at not in outer]
    group = min((crosses[at] for at in inner), default=unit) - unit
    return unit, group, math.prod(of.shape[at] for at in outer), math.prod(of.shape[at] for at in inner)


CLOSE = 0.02
"""Parts of the variance that count as one level."""


def feature_axis(made: Sequence[tuple[str, ops.Kind | None]], rank: int) -> int:
    """The axis of features by the ops that made a value, the last one first: the channels', or the last."""
    for name, kind in made:
        if kind is ops.Kind.CONV or name in ("batch_norm", "group_norm", "instance_norm"):
            return 1 if rank > 1 else 0
        if kind in (ops.Kind.LINEAR, ops.Kind.EMBEDDING, ops.Kind.ATTENTION, ops.Kind.RECURRENT):
            return -1
        if name == "layer_norm":
            return -1
    return 1 if rank >= IMAGE else -1
