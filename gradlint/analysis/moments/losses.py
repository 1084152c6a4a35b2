"""Losses: what their own gradient at the predictions is, for targets that are independent of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from gradlint.analysis.moments.attention import concentration
from gradlint.analysis.moments.calls import Call, Made, Passed, Rule, single
from gradlint.analysis.moments.curves import applied, composed, passed_back
from gradlint.analysis.moments.field import Field, constant, field, independent

Slope = Callable[[float], tuple[float, float]]


def _scale(call: Call, count: int) -> float:
    """What one element's loss counts: all of it, or its share in a mean."""
    spread = len(call.shape) > 0 or call.literal(3, "reduction", "mean") == "sum"
    return 1.0 if spread else 1.0 / max(count, 1)


def _squared(call: Call) -> Made | None:
    """(x - t)^2."""
    if len(call.reads) != 2:
        return None
    left, right = (read.field for read in call.reads)
    gap = left.square + right.square - 2.0 * left.mean * right.mean
    factor = 2.0 * _scale(call, left.elements)
    cross = [
        (a + b - 2.0 * left.mean * right.mean) if len(left.shape) == len(right.shape) else 0.0
        for a, b in zip(left.cross, (*right.cross, *(0.0,) * len(left.cross)), strict=False)
    ]

    def backward(gradient: Field) -> Passed:
        power = gradient.square * factor * factor
        for read in call.reads:
            arrived = cross if read.field.shape == left.shape else [0.0] * len(read.field.shape)
            yield read.id, field(read.field.shape, gap * power, 0.0, [c * power for c in arrived])

    return single(constant(call.shape, gap), backward)


def _bounded(call: Call) -> Made | None:
    """|x - t| and its smooth kin: slopes of size one."""
    if len(call.reads) != 2:
        return None
    one = call.reads[0].field
    factor = _scale(call, one.elements)

    def backward(gradient: Field) -> Passed:
        for read in call.reads:
            yield read.id, independent(read.field.shape, gradient.square * factor * factor)

    gap = math.sqrt(one.square + call.reads[1].field.square)
    return single(constant(call.shape, gap), backward)


def _cross_entropy(call: Call, logits: bool) -> Made | None:
    """softmax(x) - onehot(t), a row: one entry of size 1 - p, the others of size p."""
    read = call.reads[0]
    one = read.field
    axis = 1 if len(one.shape) > 1 else 0
    classes = one.shape[axis]
    rows = one.elements // max(classes, 1)
    factor = _scale(call, rows)
    spread = max(one.square - one.cross[axis], 0.0) if logits else 0.0
    dense = concentration(float(classes), spread)
    each = dense / classes if logits else 0.0
    square = each + (1.0 - 2.0 / classes if logits else 1.0) / classes

    def backward(gradient: Field) -> Passed:
        power = gradient.square * factor * factor
        yield read.id, field(one.shape, square * power, 0.0, (0.0,) * len(one.shape))

    level = math.log(max(classes, 1)) + spread / 2.0 if logits else -one.mean
    return single(constant(call.shape, level), backward)


def _binary(call: Call, logits: bool) -> Made | None:
    """sigmoid(x) - t with targets of zero and one; behind a sigmoid of one's own, over p (1 - p)."""
    read = call.reads[0]
    one = read.field
    factor = _scale(call, one.elements)
    curve = composed(read.curve, _logit_loss if logits else _probability_loss)
    loss = applied(curve)

    def backward(gradient: Field) -> Passed:
        passed = passed_back(independent(one.shape, gradient.square * factor * factor), curve)
        yield curve.base, passed

    return single(constant(call.shape, loss.mean), backward)


def _logit_loss(x: float) -> tuple[float, float]:
    """With a target of one, the mirror image of that of zero."""
    near = math.exp(-abs(x))
    y = (1.0 if x >= 0 else near) / (1.0 + near)
    return max(-x, 0.0) + math.log1p(near), y - 1.0


def _probability_loss(p: float) -> tuple[float, float]:
    held = min(max(p, 1e-6), 1.0)
    return -math.log(held), -1.0 / held


RULES: dict[str, Rule] = {
    "mse_loss": _squared,
    "l1_loss": _bounded,
    "smooth_l1_loss": _bounded,
    "huber_loss": _bounded,
    "cross_entropy": partial(_cross_entropy, logits=True),
    "nll_loss": partial(_cross_entropy, logits=False),
    "binary_cross_entropy_with_logits": partial(_binary, logits=True),
    "binary_cross_entropy": partial(_binary, logits=False),
}
