"""Seeded numbers with the moments of a field, for the few ops that are tried out on a small scale."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

from gradlint.analysis.moments.field import Field

NEGLIGIBLE = 1e-7
"""A part of the mean square that is not drawn."""


def drawn(of: Field, shape: Sequence[int], seed: random.Random) -> dict[tuple[int, ...], float]:
    """Normal numbers by index: shares that are common along the axes whose elements are alike, from the widest on."""
    found = dict.fromkeys(itertools.product(*(range(size) for size in shape)), of.mean)
    for deviation, axes in _levels(of):
        common = {
            index: seed.gauss(0.0, deviation) for index in itertools.product(*(range(shape[axis]) for axis in axes))
        }
        for index in found:
            found[index] += common[tuple(index[axis] for axis in axes)]
    return found


def _levels(of: Field) -> Iterator[tuple[float, list[int]]]:
    """The deviation of each share, and the axes along which it changes."""
    order = sorted(range(len(of.shape)), key=lambda axis: of.cross[axis])
    before = of.mean * of.mean
    for count in range(len(order) + 1):
        level = max(of.cross[order[count]] if count < len(order) else of.square, before)
        if level - before > NEGLIGIBLE * of.square:
            yield math.sqrt(level - before), sorted(order[:count])
        before = level
