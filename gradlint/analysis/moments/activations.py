"""Activations: functions of one value, gates, and how many units are dead or saturated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, Value, single
from gradlint.analysis.moments.curves import Function, applied, composed, identity
from gradlint.analysis.moments.elementwise import of_one, product
from gradlint.analysis.moments.field import Field

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Klambauer et al. 2017, equation 14."""

GELU_TANH = math.sqrt(2.0 / math.pi), 0.044715
"""Hendrycks and Gimpel 2016: the approximation by a tanh."""

LEAK = 0.01
PRELU = 0.25
RRELU = (1.0 / 8 + 1.0 / 3) / 2
"""Slopes for negative values by torch's defaults; that of rrelu on average."""

LINEAR_FROM = 30.0
"""Where exp would not change a sum any more."""


def sigmoid(x: float) -> tuple[float, float]:
    """1 / (1 + exp(-x)) and its slope."""
    y = 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
    return y, y * (1.0 - y)


def tanh(x: float) -> tuple[float, float]:
    """The hyperbolic tangent and its slope."""
    y = math.tanh(x)
    return y, 1.0 - y * y


def relu(x: float) -> tuple[float, float]:
    """max(x, 0) and its slope."""
    return (x, 1.0) if x > 0 else (0.0, 0.0)


def gelu(x: float) -> tuple[float, float]:
    """x times the normal distribution function."""
    share = 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
    return x * share, share + x * math.exp(-x * x / 2.0) / math.sqrt(2.0 * math.pi)


def gelu_tanh(x: float) -> tuple[float, float]:
    """The GELU by its approximation."""
    scale, cubic = GELU_TANH
    y, slope = tanh(scale * (x + cubic * x**3))
    return 0.5 * x * (1.0 + y), 0.5 * (1.0 + y) + 0.5 * x * slope * scale * (1.0 + 3.0 * cubic * x * x)


def silu(x: float) -> tuple[float, float]:
    """x sigmoid(x)."""
    y, slope = sigmoid(x)
    return x * y, y + x * slope


def softplus(x: float, beta: float = 1.0) -> tuple[float, float]:
    """log(1 + exp(beta x)) / beta."""
    scaled = beta * x
    return (x if scaled > LINEAR_FROM else math.log1p(math.exp(scaled)) / beta), sigmoid(scaled)[0]


def mish(x: float) -> tuple[float, float]:
    """x tanh(softplus(x))."""
    inner, slope = softplus(x)
    y, outer = tanh(inner)
    return x * y, y + x * outer * slope


def elu(x: float, alpha: float = 1.0) -> tuple[float, float]:
    """x, and alpha (exp(x) - 1) below zero."""
    return (x, 1.0) if x > 0 else (alpha * math.expm1(x), alpha * math.exp(x))


def celu(x: float, alpha: float = 1.0) -> tuple[float, float]:
    """x, and alpha (exp(x / alpha) - 1) below zero."""
    return (x, 1.0) if x > 0 else (alpha * math.expm1(x / alpha), math.exp(x / alpha))


def selu(x: float) -> tuple[float, float]:
    """The scaled ELU of self-normalising networks."""
    y, slope = elu(x, SELU_ALPHA)
    return SELU_SCALE * y, SELU_SCALE * slope


def leaky(x: float, slope: float = LEAK) -> tuple[float, float]:
    """x, and a part of it below zero."""
    return (x, 1.0) if x > 0 else (slope * x, slope)


def clipped(x: float, low: float, high: float) -> tuple[float, float]:
    """x between two bounds."""
    return min(max(x, low), high), 1.0 if low < x < high else 0.0


def hardsigmoid(x: float) -> tuple[float, float]:
    """clip(x / 6 + 1 / 2, 0, 1)."""
    y, slope = clipped(x / 6.0 + 0.5, 0.0, 1.0)
    return y, slope / 6.0


def hardswish(x: float) -> tuple[float, float]:
    """x hardsigmoid(x)."""
    y, slope = hardsigmoid(x)
    return x * y, y + x * slope


def softsign(x: float) -> tuple[float, float]:
    """x / (1 + |x|)."""
    below = 1.0 + abs(x)
    return x / below, 1.0 / (below * below)


def shrunk(x: float, bound: float, soft: bool) -> tuple[float, float]:
    """Zero between two bounds; beyond them x, less the bound where the shrinkage is soft."""
    if abs(x) <= bound:
        return 0.0, 0.0
    return (x - math.copysign(bound, x) if soft else x), 1.0


FUNCTIONS: dict[str, Function] = {
    "relu": relu,
    "relu6": partial(clipped, low=0.0, high=6.0),
    "sigmoid": sigmoid,
    "tanh": tanh,
    "silu": silu,
    "mish": mish,
    "selu": selu,
    "hardsigmoid": hardsigmoid,
    "hardswish": hardswish,
    "softsign": softsign,
    "tanhshrink": lambda x: (x - math.tanh(x), math.tanh(x) ** 2),
    "logsigmoid": lambda x: (-softplus(-x)[0], sigmoid(-x)[0]),
    "rrelu": partial(leaky, slope=RRELU),
}


def _gelu(call: Call) -> Made:
    tanh_like = call.literal(1, "approximate", "none") == "tanh"
    return of_one(gelu_tanh if tanh_like else gelu, call)


def _parametric(function: Callable[..., tuple[float, float]], name: str, default: float, call: Call) -> Made:
    return of_one(partial(function, **{name: call.number(1, _KEYWORDS.get(name, name), default)}), call)


_KEYWORDS = {"slope": "negative_slope", "bound": "lambd"}


def _hardtanh(call: Call) -> Made:
    low, high = call.number(1, "min_val", -1.0), call.number(2, "max_val", 1.0)
    return of_one(partial(clipped, low=low, high=high), call)


def _threshold(call: Call) -> Made:
    bound, low = call.number(1, "threshold", 0.0), call.number(2, "value", 0.0)
    return of_one(lambda x: (x, 1.0) if x > bound else (low, 0.0), call)


def _prelu(call: Call) -> Made:
    """The slope's own gradient is that of min(x, 0) summed over all places."""
    slope = call.reads[1].field.mean if len(call.reads) > 1 else PRELU
    return of_one(partial(leaky, slope=slope), call)


def _glu(call: Call) -> Made | None:
    """One half of the features times the sigmoid of the other."""
    read = call.reads[0]
    half = replace(read.field, shape=call.shape, centred=frozenset())
    node = Operand(read.node, Value(half), read.open)
    gate = composed(identity(-1, half), sigmoid)
    return halves(product(call, node, Operand(read.node, Value(applied(gate), gate))), read)


def halves(made: Made, read: Operand) -> Made:
    """A product of two halves of one value: the gradients of both halves lie side by side in that of the value."""

    def backward(gradient: Field) -> Passed:
        arrived = [part for _, part in made.backward((gradient,))]
        square = sum(part.square for part in arrived) / len(arrived)
        cross = [sum(part.cross[i] for part in arrived) / len(arrived) for i in range(len(read.field.shape))]
        yield read.id, Field(read.field.shape, square, 0.0, tuple(cross))

    value = made.values[0]
    assert value is not None
    return single(value.field, backward)


RULES: dict[str, Rule] = {
    **{name: partial(of_one, function) for name, function in FUNCTIONS.items()},
    "gelu": _gelu,
    "leaky_relu": partial(_parametric, leaky, "slope", LEAK),
    "elu": partial(_parametric, elu, "alpha", 1.0),
    "celu": partial(_parametric, celu, "alpha", 1.0),
    "softplus": partial(_parametric, softplus, "beta", 1.0),
    "hardshrink": partial(_parametric, partial(shrunk, soft=False), "bound", 0.5),
    "softshrink": partial(_parametric, partial(shrunk, soft=True), "bound", 0.5),
    "hardtanh": _hardtanh,
    "threshold": _threshold,
    "prelu": _prelu,
    "glu": _glu,
}
