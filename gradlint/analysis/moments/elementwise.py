"""Elementwise ops: functions of one value, and sums, products and quotients of several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, Value, single
from gradlint.analysis.moments.curves import Curve, Function, applied, composed, passed_back
from gradlint.analysis.moments.field import (
    Field,
    Shape,
    added,
    broadcast,
    constant,
    multiplied,
    scaled,
    summed_to,
    without_means,
)
from gradlint.analysis.operands import Number

MASK = 1e4
"""A summand of this size is the mask of a softmax."""

CLEAR = 2.0
"""Standard deviations that a mean lies off zero, from which on a function that is singular there is linearised."""

NEAREST = 0.25
"""How near to zero, in root mean squares, a function that is singular there is evaluated otherwise."""

SINGULAR = frozenset({"log", "log2", "log10", "rsqrt", "reciprocal", "sqrt"})
"""Functions with a singularity at zero; powers below one are others."""

Operands = tuple[Operand | Number, Operand | Number]


def of_one(function: Function, call: Call) -> Made:
    """A function of the first value that a call read."""
    return of_curve(call, composed(call.reads[0].curve, function))


def of_curve(call: Call, curve: Curve) -> Made:
    """What a curve makes of its base; the gradient goes to the base at once."""
    made = replace(applied(curve), shape=call.shape)
    hidden = next((read.value.hidden for read in call.reads if read.value.hidden is not None), None)
    return single(
        Value(made, curve, hidden=hidden), lambda gradient: iter([(curve.base, passed_back(gradient, curve))])
    )


def of_singular(function: Function, call: Call) -> Made:
    """A function that is singular at zero: linearised about a mean that is clear of it, else held off it."""
    read = call.reads[0]
    mean, deviation = read.field.mean, math.sqrt(read.field.variance)
    if abs(mean) > CLEAR * deviation and deviation > 0.0:
        value, slope = function(mean)
        return of_one(lambda x: (value + slope * (x - mean), slope), call)
    least = NEAREST * math.sqrt(read.field.square)
    return of_one(lambda x: function(math.copysign(max(abs(x), least), x)), call)


def _power(call: Call) -> Made | None:
    base, exponent = call.pair()
    if isinstance(exponent, (int, float)) and isinstance(base, Operand):
        power = float(exponent)
        rule = of_one if power >= 1.0 else of_singular
        return rule(lambda x: (math.pow(x, power), power * math.pow(x, power - 1.0)), call)
    if isinstance(base, (int, float)) and base > 0:
        log = math.log(base)
        return of_one(lambda x: (base**x, log * base**x), call)
    return None


def _clamp(call: Call) -> Made:
    low = call.number(1, "min", -math.inf)
    high = call.number(2, "max", math.inf)
    if call.node.op == "clamp_max":
        low, high = -math.inf, call.number(1, "max", math.inf)
    return of_one(lambda x: (min(max(x, low), high), 1.0 if low < x < high else 0.0), call)


def _sum(call: Call) -> Made | None:
    left, right = call.pair()
    if left is None or right is None:
        return None
    factor = call.number(2, "alpha", 1.0)
    return combined(call, (left, right), 1.0, -factor if call.node.op in ("sub", "rsub") else factor)


def combined(call: Call, pair: Operands, a: float, b: float) -> Made | None:
    """a x + b y."""
    left, right = pair
    if not isinstance(left, Operand) or not isinstance(right, Operand):
        return _shifted(call, pair, a, b)
    if (mask := _mask(left, right)) is not None:
        return mask
    curves = left.curve, right.curve
    if left.field.shape == right.field.shape and curves[0].base == curves[1].base:
        return of_curve(call, _together(curves, lambda x, y: (a * x + b * y, a, b)))
    if a == -b and right.value.mean_of is not None and right.value.mean_of[0] == left.id:
        return _less_mean(left, right.value.mean_of[1])
    return _independent_sum(call.shape, (left, right), a, b)


def _shifted(call: Call, pair: Operands, a: float, b: float) -> Made | None:
    left, right = pair
    if isinstance(left, Operand) and not isinstance(right, Operand):
        return of_one(lambda x: (a * x + b * right, a), call)
    if isinstance(right, Operand) and not isinstance(left, Operand):
        return of_one(lambda x: (a * left + b * x, b), call)
    return None


def _mask(left: Operand, right: Operand) -> Made | None:
    """Scores to which a mask of huge negative numbers was added."""
    for scores, mask in ((left, right), (right, left)):
        if mask.value.hidden is not None and scores.value.hidden is None:
            return _masked(scores, mask)
    return None


def _masked(scores: Operand, mask: Operand) -> Made:
    shape = scores.field.shape
    one = broadcast(scores.field, _joint(shape, mask.field.shape))
    return single(Value(one, hidden=mask.value.hidden), lambda g: iter([(scores.id, summed_to(g, shape))]))


def _joint(left: Shape, right: Shape) -> Shape:
    width = max(len(left), len(right))
    padded = [(1,) * (width - len(shape)) + shape for shape in (left, right)]
    return tuple(max(a, b) if min(a, b) else 0 for a, b in zip(*padded, strict=True))


def _less_mean(read: Operand, axes: frozenset[int]) -> Made:
    """A value less its own mean over some axes."""
    made = without_means(read.field, axes)
    return single(made, lambda gradient: iter([(read.id, without_means(gradient, axes))]))


def _independent_sum(shape: Shape, pair: tuple[Operand, Operand], a: float, b: float) -> Made:
    left, right = (scaled(broadcast(one.field, shape), k) for one, k in zip(pair, (a, b), strict=True))

    def backward(gradient: Field) -> Passed:
        for one, factor in zip(pair, (a, b), strict=True):
            yield one.id, scaled(summed_to(gradient, one.field.shape), factor)

    return single(added(left, right), backward)


def _together(curves: tuple[Curve, Curve], function: Callable[[float, float], tuple[float, float, float]]) -> Curve:
    """A function of two functions of one base; it gives its value and its two partial derivatives."""
    one, two = curves
    found = [function(x, y) for x, y in zip(one.values, two.values, strict=True)]
    slopes = tuple(dx * s + dy * t for (_, dx, dy), s, t in zip(found, one.slopes, two.slopes, strict=True))
    return Curve(one.base, one.of, tuple(value for value, _, _ in found), slopes)


def _product(call: Call) -> Made | None:
    left, right = call.pair()
    if isinstance(left, Operand) and isinstance(right, Operand):
        return product(call, left, right)
    if isinstance(left, Operand) and right is not None and not isinstance(right, Operand):
        return of_one(lambda x: (x * right, float(right)), call)
    if isinstance(right, Operand) and left is not None and not isinstance(left, Operand):
        return of_one(lambda x: (x * left, float(left)), call)
    return None


def product(call: Call, left: Operand, right: Operand) -> Made:
    """x y: a function of one base where both are, else of independent values."""
    curves = left.curve, right.curve
    if left.field.shape == right.field.shape and curves[0].base == curves[1].base:
        return of_curve(call, _together(curves, lambda x, y: (x * y, y, x)))
    shape = call.shape
    one, two = broadcast(left.field, shape), broadcast(right.field, shape)
    made = Value(multiplied(one, two), hidden=_hidden_product(left, right))

    def backward(gradient: Field) -> Passed:
        yield left.id, summed_to(multiplied(gradient, two), left.field.shape)
        yield right.id, summed_to(multiplied(gradient, one), right.field.shape)

    return single(made, backward)


def _sum_of_product(call: Call) -> Made | None:
    """`addcmul`: x + a y z."""
    if len(call.reads) != len(("input", "left", "right")):
        return None
    first, left, right = call.reads
    inner = product(call, left, right)
    value = inner.values[0]
    assert value is not None
    factor = call.number(3, "value", 1.0)

    def backward(gradient: Field) -> Passed:
        yield first.id, summed_to(gradient, first.field.shape)
        yield from inner.backward((scaled(gradient, factor),))

    return single(added(broadcast(first.field, call.shape), scaled(value.field, factor)), backward)


def _hidden_product(left: Operand, right: Operand) -> float | None:
    """A mask times a constant stays a mask."""
    return left.value.hidden if left.value.hidden is not None else right.value.hidden


def _quotient(call: Call) -> Made | None:
    left, right = call.pair()
    if isinstance(left, Operand) and right is not None and not isinstance(right, Operand):
        return of_one(lambda x: (x / right, 1.0 / right), call) if right else None
    if isinstance(right, Operand) and left is not None and not isinstance(left, Operand):
        number = float(left)
        return of_singular(lambda x: (number / x, -number / (x * x)), replace(call, reads=(right,)))
    if not isinstance(left, Operand) or not isinstance(right, Operand):
        return None
    return _divided(call, left, right)


def _divided(call: Call, left: Operand, right: Operand) -> Made:
    below = of_singular(lambda x: (1.0 / x, -1.0 / (x * x)), replace(call, reads=(right,))).values[0]
    assert below is not None
    inverse = Operand(right.node, replace(below, field=replace(below.field, shape=right.field.shape)), right.open)
    curves = left.curve, inverse.curve
    if left.field.shape == right.field.shape and curves[0].base == curves[1].base:
        return of_curve(call, _together(curves, lambda x, y: (x * y, y, x)))
    shape = call.shape
    one, two = broadcast(left.field, shape), broadcast(inverse.field, shape)

    def backward(gradient: Field) -> Passed:
        yield left.id, summed_to(multiplied(gradient, two), left.field.shape)
        arrived = summed_to(multiplied(gradient, one), right.field.shape)
        yield inverse.curve.base, passed_back(arrived, inverse.curve)

    return single(multiplied(one, two), backward)


def _extreme(call: Call) -> Made | None:
    """The larger, or the smaller, of two values."""
    left, right = call.pair()
    sign = 1.0 if call.node.op in ("maximum", "max") else -1.0
    if isinstance(left, Operand) and isinstance(right, (int, float)):
        return of_one(lambda x: (x, 1.0) if sign * x > sign * right else (float(right), 0.0), call)
    if not isinstance(left, Operand) or not isinstance(right, Operand) or left.field.shape != right.field.shape:
        return None
    half = 0.5
    square = half * (left.field.square + right.field.square)
    gap = math.sqrt((left.field.variance + right.field.variance) / (2.0 * math.pi))
    mean = half * (left.field.mean + right.field.mean) + sign * gap
    cross = tuple(half * (a + b) for a, b in zip(left.field.cross, right.field.cross, strict=True))
    made = Field(call.shape, square, mean, cross)

    def backward(gradient: Field) -> Passed:
        for one in (left, right):
            yield one.id, replace(scaled(gradient, math.sqrt(half)), mean=half * gradient.mean)

    return single(made, backward)


def _hide(call: Call) -> Made:
    """`masked_fill` with a huge negative number hides entries from a softmax; another number replaces them."""
    read = call.reads[0]
    value = call.number(2, "value", 0.0)
    shape = read.field.shape
    if abs(value) >= MASK:
        made = Value(broadcast(read.field, call.shape), hidden=HALF)
        return single(made, lambda gradient: iter([(read.id, summed_to(gradient, shape))]))
    return single(broadcast(read.field, call.shape), lambda gradient: iter([(read.id, summed_to(gradient, shape))]))


HALF = 0.5
"""The share of entries that a causal mask hides."""


def _chosen(call: Call) -> Made | None:
    """`where`: one of two values, each half of the time."""
    options = [read for read in call.reads if read.node.dtype != "bool"]
    if not options:
        return None
    share = 1.0 / len(options)
    fields = [scaled(broadcast(one.field, call.shape), math.sqrt(share)) for one in options]
    made = fields[0] if len(fields) == 1 else added(*fields[:2])

    def backward(gradient: Field) -> Passed:
        for one in options:
            yield one.id, summed_to(scaled(gradient, math.sqrt(share)), one.field.shape)

    return single(made, backward)


def _sign(call: Call) -> Made:
    read = call.reads[0]
    return single(constant(read.field.shape, 1.0), lambda _: iter(()))


FUNCTIONS: dict[str, Function] = {
    "exp": lambda x: (math.exp(x), math.exp(x)),
    "expm1": lambda x: (math.expm1(x), math.exp(x)),
    "exp2": lambda x: (2.0**x, math.log(2.0) * 2.0**x),
    "log": lambda x: (math.log(x), 1.0 / x),
    "log2": lambda x: (math.log2(x), 1.0 / (x * math.log(2.0))),
    "log10": lambda x: (math.log10(x), 1.0 / (x * math.log(10.0))),
    "log1p": lambda x: (math.log1p(x), 1.0 / (1.0 + x)),
    "sqrt": lambda x: (math.sqrt(x), 0.5 / math.sqrt(x)),
    "rsqrt": lambda x: (1.0 / math.sqrt(x), -0.5 * x**-1.5),
    "reciprocal": lambda x: (1.0 / x, -1.0 / (x * x)),
    "square": lambda x: (x * x, 2.0 * x),
    "abs": lambda x: (abs(x), math.copysign(1.0, x)),
    "neg": lambda x: (-x, -1.0),
    "sin": lambda x: (math.sin(x), math.cos(x)),
    "cos": lambda x: (math.cos(x), -math.sin(x)),
    "erf": lambda x: (math.erf(x), 2.0 / math.sqrt(math.pi) * math.exp(-x * x)),
    "atan": lambda x: (math.atan(x), 1.0 / (1.0 + x * x)),
    "sign": lambda x: (math.copysign(1.0, x), 0.0),
    "round": lambda x: (float(round(x)), 0.0),
    "floor": lambda x: (float(math.floor(x)), 0.0),
    "ceil": lambda x: (float(math.ceil(x)), 0.0),
}

RULES: dict[str, Rule] = {
    **{name: partial(of_singular if name in SINGULAR else of_one, one) for name, one in FUNCTIONS.items()},
    "add": _sum,
    "sub": _sum,
    "rsub": _sum,
    "mul": _product,
    "div": _quotient,
    "true_divide": _quotient,
    "addcmul": _sum_of_product,
    "pow": _power,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "maximum": _extreme,
    "minimum": _extreme,
    "masked_fill": _hide,
    "where": _chosen,
}
