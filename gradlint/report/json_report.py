"""The report for programs; fields are added, never changed."""

from __future__ import annotations

import json

from gradlint import __version__
from gradlint.finding import Report
from gradlint.report import View

SCHEMA_VERSION = 1


def render(report: Report, view: View) -> str:  # noqa: ARG001
    """A JSON object in ASCII, valid on every terminal; numbers that are not finite become null."""
    head = {"schema_version": SCHEMA_VERSION, "gradlint": __version__}
    return json.dumps(head | json.loads(report.model_dump_json()), indent=1) + "\n"
