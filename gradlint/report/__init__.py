"""What a run has to say, as text: one module a format, each with a `render(report, view)`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from gradlint.errors import UsageError, did_you_mean
from gradlint.finding import Finding, Report

FORMATS = {
    "full": "gradlint.report.full",
    "concise": "gradlint.report.concise",
    "json": "gradlint.report.json_report",
}
"""Names of the formats and the modules that make them, imported when they are asked for."""


@dataclass(frozen=True)
class View:
    """What a format may use beside the report: `line(path, number)` gives a line of source, `cell_line(path, cell,
    number)` one of a notebook's cell; both are empty when unknown."""

    line: Callable[[str, int], str]
    color: bool = False
    cell_line: Callable[[str, int, int], str] = lambda path, cell, number: ""


def check_format(name: str) -> str:
    """The name of a known format; raises `UsageError` for any other."""
    if name not in FORMATS:
        near = did_you_mean(name, FORMATS)
        raise UsageError(f'no output format is called "{name}"{near}: {", ".join(FORMATS)}')
    return name


def render(name: str, report: Report, view: View) -> str:
    """The report in a format, with a newline at its end unless it is empty."""
    text: str = importlib.import_module(FORMATS[check_format(name)]).render(report, view)
    return text if not text or text.endswith("\n") else text + "\n"


def place(finding: Finding) -> str:
    """`path:line:column`, or `path:cell 3:line:column` in a notebook."""
    cell = f"cell {finding.cell}:" if finding.cell is not None else ""
    return f"{finding.path}:{cell}{finding.line}:{finding.column}"
