"""The largest of several independent normal variables."""

from __future__ import annotations

import math
from functools import lru_cache

from gradlint.analysis.moments.curves import GRID, WEIGHTS


@lru_cache(maxsize=1 << 10)
def densities(count: int) -> tuple[float, ...]:
    """The share of each grid point in the distribution of the largest of `count` normal variables.

    Its density is n phi(x) Phi(x)^(n-1) (David and Nagaraja 2003, equation 2.1.6).
    """
    raw = [w * math.exp((count - 1) * math.log(max(below(u), 1e-300))) for u, w in zip(GRID, WEIGHTS, strict=True)]
    total = sum(raw)
    return tuple(one / total for one in raw)


def below(x: float) -> float:
    """The normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def largest(count: int) -> tuple[float, float]:
    """E[x] and E[x^2] of the largest of `count` normal variables."""
    shares = densities(max(count, 1))
    mean = sum(share * u for share, u in zip(shares, GRID, strict=True))
    return mean, sum(share * u * u for share, u in zip(shares, GRID, strict=True))
