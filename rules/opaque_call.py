"""A tensor passes through a function that cannot be read.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class OpaqueCall(PathRule):
    code = "GL114"
    severity = Severity.NOTE
    message = "`{expression}` hands memory to code that cannot be read, nothing is known of {count}"
    advice = "wrap it in an autograd function with a backward"
    reasons = frozenset({Reason.OPAQUE})
