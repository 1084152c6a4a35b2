"""One line for each finding."""

from __future__ import annotations

from gradlint.finding import Report
from gradlint.report import View, place


def render(report: Report, view: View) -> str:  # noqa: ARG001
    """`path:line:column: CODE name: message`, one a line."""
    return "".join(f"{place(f)}: {f.code} {f.name}: {f.message}\n" for f in report.findings)
