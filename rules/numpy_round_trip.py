"""A value leaves torch for numpy and comes back into the computation.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class NumpyRoundTrip(PathRule):
    code = "GL102"
    severity = Severity.ERROR
    message = "`{expression}` leaves torch and cuts {count} off the loss"
    advice = "compute this step with torch functions"
    reasons = frozenset({Reason.NUMPY})
