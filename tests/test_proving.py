"""What a recording and the source of one file show together."""

from __future__ import annotations

import pytest

from gradlint.finding import Evidence, Finding, ModelReport, Severity
from gradlint.judged import Judged, Sight
from gradlint.proving import united

PATH = "net.py"
RAN = 20
"""A line that the recording came to."""


def finding(code: str, line: int, model: str = "Net") -> Finding:
    evidence = Evidence.STATIC_GRAPH
    return Finding(
        code=code, name="", severity=Severity.ERROR, evidence=evidence, message="", path=PATH, line=line, model=model
    )


def recorded(reach_at: str) -> Judged:
    model = ModelReport(name="Net", path=PATH, capture="recorded", reach_at=reach_at)
    return Judged(models=(model,), sight=Sight(lines={PATH: (RAN,)}))


def read(*findings: Finding) -> Judged:
    return Judged(findings=findings, models=(ModelReport(name="Net", path=PATH, capture="source", reach_at="loss"),))


@pytest.mark.parametrize(
    ("code", "line", "kept"),
    [
        ("GL101", 5, False),
        ("GL107", 5, True),
        ("GL107", RAN, False),
        ("GL111", RAN, True),
    ],
)
def test_a_recording_is_believed_but_for_what_it_cannot_show(code: str, line: int, kept: bool) -> None:
    assert bool(united(recorded("loss"), read(finding(code, line))).findings) is kept


def test_a_recording_of_the_outputs_leaves_the_loss_to_the_source() -> None:
    assert united(recorded("outputs"), read(finding("GL101", RAN))).findings


def test_models_that_were_not_recorded_are_the_sources() -> None:
    assert united(recorded("loss"), read(finding("GL101", RAN, "Other"))).findings
