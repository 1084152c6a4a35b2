"""What values a tensor can have by construction: interval arithmetic over the ops that made it.

An interval alone would say that everything unknown can be zero. So a `Domain` also carries evidence: `zero` names why
exactly 0 does happen in practice, and `known` tells bounds that the ops give from those that stand for ignorance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

INFINITE = math.inf


class Zero(StrEnum):
    """Why a value is exactly 0 now and then."""

    NEVER = ""
    UNDERFLOW = "underflow"
    CUT = "cut"
    SQUARE = "square"
    COUNT = "count"
    SPREAD = "spread"


@dataclass(frozen=True, slots=True)
class Domain:
    """The closed interval of a value.

    `mass` says that some of its entries are above 0: they share a sum of 1 (softmax, top of a softmax), or mark the
    steps of sequences, of which none is empty.
    """

    low: float = -INFINITE
    high: float = INFINITE
    zero: Zero = Zero.NEVER
    known: bool = False
    mass: bool = False

    @property
    def nonnegative(self) -> bool:
        """Whether no value is below 0."""
        return self.low >= 0

    @property
    def bounded(self) -> bool:
        """Whether both ends are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def inside(self, low: float, high: float) -> bool:
        """Whether every value lies in an interval."""
        return self.low >= low and self.high <= high


UNKNOWN = Domain()
UNBOUNDED = Domain(known=True)
UNIT = Domain(0.0, 1.0, known=True)
SYMMETRIC = Domain(-1.0, 1.0, known=True)
FLAGS = Domain(0.0, 1.0, Zero.COUNT, known=True)
BYTES = Domain(0.0, 255.0, Zero.COUNT, known=True)
SQUARES = Domain(0.0, INFINITE, Zero.SQUARE, known=True)
COUNTS = Domain(0.0, INFINITE, Zero.COUNT, known=True)


def exactly(value: float) -> Domain:
    """The domain of a number."""
    return Domain(float(value), float(value), Zero.COUNT if value == 0 else Zero.NEVER, known=True)


def join(one: Domain, other: Domain) -> Domain:
    """What either of two values can be."""
    return Domain(
        min(one.low, other.low),
        max(one.high, other.high),
        one.zero or other.zero,
        one.known and other.known,
        one.mass and other.mass,
    )


def _both_zero(one: Domain, other: Domain) -> Zero:
    return one.zero if one.zero and other.zero else Zero.NEVER


def added(one: Domain, other: Domain) -> Domain:
    """`one + other`."""
    low, high = one.low + other.low, one.high + other.high
    zero = _both_zero(one, other) if low == 0 else Zero.NEVER
    return Domain(_number(low, -INFINITE), _number(high, INFINITE), zero, one.known and other.known)


def negated(one: Domain) -> Domain:
    """`-one`."""
    return Domain(-one.high, -one.low, one.zero, one.known)


def subtracted(one: Domain, other: Domain) -> Domain:
    """`one - other`; a bounded activation does reach its bounds in floating point, so `1 - sigmoid(x)` reaches 0."""
    found = added(one, negated(other))
    saturates = found.low == 0 and one.known and other.known
    return replace(found, zero=Zero.UNDERFLOW) if saturates else found


def multiplied(one: Domain, other: Domain) -> Domain:
    """`one * other`."""
    corners = [_times(a, b) for a in (one.low, one.high) for b in (other.low, other.high)]
    zero = one.zero or other.zero
    scaled = one.mass if other.low == other.high else other.mass if one.low == one.high else False
    return Domain(min(corners), max(corners), zero, one.known and other.known, scaled)


def divided(one: Domain, other: Domain) -> Domain:
    """`one / other`."""
    if other.low <= 0 <= other.high:
        return _quotient_of_signs(one, other)
    ends = (1 / other.low, 1 / other.high)
    inverse = Domain(min(ends), max(ends), known=other.known)
    return multiplied(one, inverse)


def _quotient_of_signs(one: Domain, other: Domain) -> Domain:
    if one.nonnegative and other.nonnegative:
        return Domain(0.0, INFINITE, one.zero, one.known and other.known)
    return Domain(known=one.known and other.known)


def squared(one: Domain) -> Domain:
    """`one * one`, and any other even power as far as its sign and its zeros go."""
    largest = max(abs(one.low), abs(one.high))
    least = 0.0 if one.low <= 0 <= one.high else min(abs(one.low), abs(one.high))
    zero = one.zero if one.nonnegative else Zero.SQUARE if least == 0 and one.known else Zero.NEVER
    return Domain(least**2, _power(largest, 2), zero, known=True)


def absolute(one: Domain) -> Domain:
    """`|one|`."""
    if one.nonnegative:
        return one
    largest = max(abs(one.low), abs(one.high))
    if one.high < 0:
        return Domain(-one.high, largest, known=one.known)
    return Domain(0.0, largest, Zero.SQUARE if one.known else Zero.NEVER, known=True)


def clamped(one: Domain, low: float | None, high: float | None) -> Domain:
    """`one` moved into an interval; None is an open side."""
    least = one.low if low is None else max(one.low, low)
    most = one.high if high is None else min(one.high, high)
    cut = low == 0 and one.low < 0
    zero = Zero.CUT if cut else one.zero if least <= 0 else Zero.NEVER
    known = one.known or (low is not None and high is not None) or cut
    return Domain(min(least, most), max(least, most), zero, known, one.mass)


def totalled(one: Domain) -> Domain:
    """A sum over an axis: of what only underflows, some entry is not 0; what shares a mass sums to more than 0."""
    low = one.low if one.low == 0 else (-INFINITE if one.low < 0 else one.low)
    high = one.high if one.high == 0 else (INFINITE if one.high > 0 else one.high)
    sure = one.mass or one.zero is Zero.UNDERFLOW
    return Domain(low, high, Zero.NEVER if sure else one.zero, one.known)


def averaged(one: Domain) -> Domain:
    """A mean, a median or a pooling over an axis."""
    sure = one.mass or one.zero is Zero.UNDERFLOW
    return replace(one, zero=Zero.NEVER if sure else one.zero, mass=False)


def raised(one: Domain, exponent: float) -> Domain:
    """`one ** exponent` for a number."""
    if exponent == 0:
        return exactly(1)
    if exponent == int(exponent) and int(exponent) % 2 == 0:
        return squared(one) if exponent > 0 else Domain(0.0, INFINITE, known=one.known)
    if not one.nonnegative:
        return Domain(known=one.known)
    if exponent < 0:
        return Domain(0.0, INFINITE, known=one.known)
    return Domain(_power(one.low, exponent), _power(one.high, exponent), one.zero, one.known)


def exponential(one: Domain) -> Domain:
    """`exp(one)`."""
    return Domain(_exp(one.low), _exp(one.high), known=True)


def logarithm(one: Domain) -> Domain:
    """`log(one)`."""
    low = math.log(one.low) if one.low > 0 else -INFINITE
    high = math.log(one.high) if 0 < one.high < INFINITE else INFINITE
    return Domain(low, high, known=one.known and one.nonnegative)


def _number(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value


def _times(one: float, other: float) -> float:
    return 0.0 if 0 in (one, other) else one * other


def _power(value: float, exponent: float) -> float:
    try:
        return float(value**exponent)
    except OverflowError:
        return INFINITE


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return INFINITE
