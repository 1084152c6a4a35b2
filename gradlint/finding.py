"""What is said: a finding at a position, the models that were looked at, and the report that holds them."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Severity(StrEnum):
    """How sure and how bad; errors and warnings fail the build by default."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """2 for an error, 1 for a warning, 0 for a note."""
        return _RANK[self]


_RANK = {Severity.ERROR: 2, Severity.WARNING: 1, Severity.NOTE: 0}


class Evidence(StrEnum):
    """What a finding stands on, strongest first."""

    GRAPH = "graph"
    MEASURED = "measured"
    STATIC_GRAPH = "static-graph"
    PREDICTED = "predicted"
    SOURCE = "source"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Related(_Frozen):
    """Another place that belongs to a finding: a later cut that this one hides, the way to the loss."""

    path: str
    line: int = Field(ge=1)
    column: int = Field(ge=1)
    message: str
    cell: int | None = None


class Edit(_Frozen):
    """Replaces the text between two positions (1-based, columns in code points, end exclusive)."""

    line: int = Field(ge=1)
    column: int = Field(ge=1)
    end_line: int = Field(ge=1)
    end_column: int = Field(ge=1)
    text: str
    cell: int | None = None


class Applicability(StrEnum):
    """Whether `--fix` may apply a fix by itself."""

    SAFE = "safe"
    UNSAFE = "unsafe"


class Fix(_Frozen):
    """Edits of one file that remove a finding."""

    applicability: Applicability
    edits: tuple[Edit, ...]


class Finding(_Frozen):
    """One fault at one position.

    `line` and `column` are 1-based, `column` counts code points, `end_column` is exclusive. `parameters` are names
    from the model's `named_parameters()`; `parameter_share` is their share of the model's elements, 0 to 1.
    """

    code: str
    name: str
    severity: Severity
    evidence: Evidence
    message: str
    path: str
    cell: int | None = None
    line: int = Field(default=1, ge=1)
    column: int = Field(default=1, ge=1)
    end_line: int = Field(default=1, ge=1)
    end_column: int = Field(default=1, ge=1)
    model: str | None = None
    module: str | None = None
    parameters: tuple[str, ...] = ()
    parameter_share: float = 0.0
    related: tuple[Related, ...] = ()
    advice: str = ""
    fix: Fix | None = None
    fingerprint: str = ""
    url: str = ""

    @property
    def order(self) -> tuple[str, int, int, str]:
        """Sorts findings by place, then by code."""
        return (self.path, self.line, self.column, self.code)


class GradientSize(_Frozen):
    """Root mean square of one parameter's gradient at the start of training."""

    parameter: str
    predicted_rms: float | None = None
    measured_rms: float | None = None


class ModelReport(_Frozen):
    """What was learned of one model; `starved` contains `unused`, both are names from `named_parameters()`."""

    name: str
    path: str
    line: int = 1
    capture: str
    inputs: tuple[str, ...] = ()
    reach_at: str = "outputs"
    parameters: int = 0
    reached: int = 0
    elements: int = 0
    elements_reached: int = 0
    starved: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    gradient_profile: tuple[GradientSize, ...] = ()


class Failure(_Frozen):
    """A file or model that could not be judged, and why."""

    path: str
    code: str
    message: str
    line: int = 1


class Skipped(_Frozen):
    """A file that was not looked at, and why."""

    path: str
    why: str


class Report(_Frozen):
    """Everything that one run has to say; `stale` counts the findings of the baseline that are gone, `remarks` say what
    of a file that was judged was not looked at.
    """

    findings: tuple[Finding, ...] = ()
    models: tuple[ModelReport, ...] = ()
    files: int = 0
    suppressed: int = 0
    baselined: int = 0
    stale: int = 0
    failures: tuple[Failure, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = ()

    def worst(self) -> Severity | None:
        """The highest severity among the findings; None when there are none."""
        return max((f.severity for f in self.findings), key=lambda s: s.rank, default=None)

    def raise_on(self, severity: str = "error") -> None:
        """Raises `AssertionError` that lists every finding at or above `severity`."""
        loud = [f for f in self.findings if f.severity.rank >= Severity(severity).rank]
        if loud:
            raise AssertionError("\n".join(f"{f.path}:{f.line}:{f.column}: {f.code} {f.message}" for f in loud))


def fingerprint(code: str, path: str, text: str, occurrence: int) -> str:
    """A stable name of a finding: its rule, file, the text of its line and which of equal ones it is."""
    return hashlib.sha256(f"{code}\0{path}\0{text.strip()}\0{occurrence}".encode()).hexdigest()[:16]


LOSS_CUT = "GL709"
DETACHES = frozenset({"GL101", LOSS_CUT})
"""Rules about a detach, of which one at a place is enough."""


def same_fault(one: Finding, other: Finding) -> bool:
    """Whether two findings are of one rule, or of one detach, and share a line."""
    if one.path != other.path or not (one.code == other.code or {one.code, other.code} <= DETACHES):
        return False
    return one.line <= max(other.end_line, other.line) and other.line <= max(one.end_line, one.line)
