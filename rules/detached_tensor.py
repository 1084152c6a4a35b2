"""A detach on the last way from a parameter to the loss.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class DetachedTensor(PathRule):
    code = "GL101"
    severity = Severity.ERROR
    message = "`{expression}` leaves {count} without a gradient"
    advice = "remove it, or detach only a copy that the loss does not use"
    reasons = frozenset({Reason.DETACH})
