"""A gradient is switched on again behind a cut.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class MaskedGradientBreak(PathRule):
    code = "GL115"
    severity = Severity.ERROR
    message = "`{expression}` silences the exception but restores no gradient, {count} get none"
    advice = "remove it and mend the cut before it"
    reasons = frozenset({Reason.MASKED})
