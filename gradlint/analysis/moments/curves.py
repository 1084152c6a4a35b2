"""Functions of one normal variable, as values and slopes on a grid: activations and chains of elementwise ops.

The moments are sums over an equidistant grid, which for the normal density converges faster than any power of the
step (Trefethen and Weideman 2014); the product moment at a correlation r is Mehler's sum of the squared Hermite
coefficients times r^k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gradlint.analysis.moments.field import Field

REACH = 6.0
"""Standard deviations that the grid goes out to."""

POINTS = 160
"""An even number: steps at the mean, as of a ReLU's slope, then lie between two points."""
DEGREES = 24
"""Hermite coefficients that are summed; what is left of the mean square counts with the next power."""

GRID = tuple(-REACH + 2 * REACH * index / (POINTS - 1) for index in range(POINTS))
_DENSITY = [math.exp(-u * u / 2) for u in GRID]
WEIGHTS = tuple(one / sum(_DENSITY) for one in _DENSITY)

Values = tuple[float, ...]
Function = Callable[[float], tuple[float, float]]
"""A function of a number that gives its value and its slope."""

HUGE = 1e18
"""Beyond it a value is a mask, or a singularity."""


def _hermite() -> tuple[Values, ...]:
    """The normalised Hermite polynomials times the weights, by degree."""
    rows = [[1.0] * POINTS, list(GRID)]
    for degree in range(1, DEGREES - 1):
        high, low = math.sqrt(degree + 1), math.sqrt(degree)
        rows.append([(u * a - low * b) / high for u, a, b in zip(GRID, rows[-1], rows[-2], strict=True)])
    return tuple(tuple(w * one for w, one in zip(WEIGHTS, row, strict=True)) for row in rows)


_HERMITE = _hermite()


@dataclass(frozen=True, slots=True)
class Curve:
    """A value as a function of another one, its base, whose elements are taken to be normal with the moments `of`."""

    base: int
    of: Field
    values: Values
    slopes: Values


def identity(base: int, of: Field) -> Curve:
    """A value as a function of itself."""
    deviation = math.sqrt(of.variance)
    return Curve(base, of, tuple(of.mean + deviation * u for u in GRID), (1.0,) * POINTS)


def composed(curve: Curve, function: Function) -> Curve:
    """A function of what a curve gives."""
    pairs = [_guarded(function, value) for value in curve.values]
    slopes = tuple(slope * inner for (_, slope), inner in zip(pairs, curve.slopes, strict=True))
    return Curve(curve.base, curve.of, tuple(value for value, _ in pairs), slopes)


def _guarded(function: Function, at: float) -> tuple[float, float]:
    try:
        value, slope = function(at)
    except (ValueError, ZeroDivisionError, OverflowError):
        return 0.0, 0.0
    usual = math.isfinite(value) and math.isfinite(slope) and abs(value) < HUGE and abs(slope) < HUGE
    return (value, slope) if usual else (0.0, 0.0)


def moments(values: Values, correlations: Sequence[float]) -> tuple[float, float, list[float]]:
    """E[f^2], E[f], and E[f(u) f(v)] for each correlation of two normal variables u and v."""
    square = sum(w * y * y for w, y in zip(WEIGHTS, values, strict=True))
    mean = sum(w * y for w, y in zip(WEIGHTS, values, strict=True))
    powers: Values | None = None
    found: list[float] = []
    for one in correlations:
        if one >= ALL:
            found.append(square)
        elif abs(one) <= NONE:
            found.append(mean * mean)
        else:
            powers = powers or _powers(values)
            found.append(_mehler(powers, square, one))
    return square, mean, found


ALL, NONE = 0.9999, 1e-4
"""Correlations from which on two elements count as the same, and up to which as independent."""


def _powers(values: Values) -> Values:
    """The squared Hermite coefficients."""
    return tuple(sum(h * y for h, y in zip(row, values, strict=True)) ** 2 for row in _HERMITE)


def _mehler(powers: Values, square: float, correlation: float) -> float:
    total, power = 0.0, 1.0
    for one in powers:
        total += one * power
        power *= correlation
    return total + max(square - sum(powers), 0.0) * max(power, 0.0)


def correlations(of: Field) -> list[float]:
    """How two elements of a field are correlated, by axis."""
    variance = of.variance
    if variance <= 0.0:
        return [1.0] * len(of.cross)
    return [min(max((one - of.mean * of.mean) / variance, -1.0), 1.0) for one in of.cross]


def applied(curve: Curve) -> Field:
    """The field of a function of its base."""
    square, mean, cross = moments(curve.values, correlations(curve.of))
    return Field(curve.of.shape, square, mean, tuple(min(max(one, 0.0), square) for one in cross))


def passed_back(gradient: Field, curve: Curve) -> Field:
    """The gradient behind a function of its base, whose slopes are independent of what arrives."""
    square, mean, cross = moments(curve.slopes, correlations(curve.of))
    products = tuple(a * min(max(b, 0.0), square) for a, b in zip(gradient.cross, cross, strict=True))
    return Field(curve.of.shape, gradient.square * square, gradient.mean * mean, products)


def share_below(slopes: Values, bound: float) -> float:
    """The share of elements whose slope is smaller than a bound."""
    return sum(weight for weight, slope in zip(WEIGHTS, slopes, strict=True) if abs(slope) < bound)
