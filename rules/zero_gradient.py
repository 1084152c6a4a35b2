"""A way to the loss exists, but its gradient is zero almost everywhere.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class ZeroGradient(PathRule):
    code = "GL108"
    severity = Severity.ERROR
    message = "`{expression}` passes on a gradient of zero almost everywhere, {count} cannot learn"
    advice = "use a smooth surrogate or a straight-through estimator"
    reasons = frozenset({Reason.ZERO})
