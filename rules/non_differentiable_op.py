"""An op without a gradient stands on every way to the loss.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class NonDifferentiableOp(PathRule):
    code = "GL105"
    severity = Severity.ERROR
    message = "`{expression}` has no gradient and stands on every way from {count} to the loss"
    advice = "use a differentiable form (softmax, sigmoid, gather, a straight-through estimator)"
    reasons = frozenset({Reason.NON_DIFFERENTIABLE})
