"""A cast to an integer or Boolean type stands on every way to the loss.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class IntegerCast(PathRule):
    code = "GL106"
    severity = Severity.ERROR
    message = "`{expression}` casts to whole numbers, {count} get no gradient"
    advice = "keep the floating values on the way to the loss, or use a straight-through estimator"
    reasons = frozenset({Reason.INTEGER_CAST})
