"""A tensor is rebuilt from tensors, which forgets how they were computed.
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class RewrappedTensor(PathRule):
    code = "GL104"
    severity = Severity.ERROR
    message = "`{expression}` builds a new tensor without a history, {count} get no gradient"
    advice = "use torch.stack, torch.cat or the tensor itself"
    reasons = frozenset({Reason.REWRAP})
