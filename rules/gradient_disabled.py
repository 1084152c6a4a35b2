"""The forward pass or the loss is computed with gradients switched off.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class GradientDisabled(PathRule):
    code = "GL107"
    severity = Severity.ERROR
    message = "gradients are switched off here, {count} get none"
    advice = "take the trained part out of it, or freeze these parameters and leave them out of the optimizer"
    reasons = frozenset({Reason.GRAD_DISABLED})
