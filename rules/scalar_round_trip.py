"""A tensor is read as a Python number that flows on into the loss.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class ScalarRoundTrip(PathRule):
    code = "GL103"
    severity = Severity.ERROR
    message = "`{expression}` turns a tensor into a Python number, {count} get no gradient"
    advice = "keep the tensor; read numbers off only for logging"
    reasons = frozenset({Reason.SCALAR})
