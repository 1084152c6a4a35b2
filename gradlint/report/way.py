"""A parameter's way to the loss, as `gradlint why` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradlint.graph import Frame, Passage
from gradlint.report import View

if TYPE_CHECKING:
    from gradlint.tracing import Way, WayStep

OPEN, SHUT = "|", "x"


def render(way: Way, view: View) -> str:
    """One line for each op from the parameter on, its place beside it, and the verdict at the end."""
    labels = [_label(step) for step in way.steps]
    width = max((len(label) for label in labels), default=0)
    rows = [_row(step, label.ljust(width), view) for step, label in zip(way.steps, labels, strict=True)]
    return "\n".join([way.parameter, *rows, way.verdict]) + "\n"


def _label(step: WayStep) -> str:
    mark = OPEN if step.passage in (Passage.FLOWS, Passage.UNKNOWN) else SHUT
    module = f" ({step.module})" if step.module else ""
    return f"  {mark} {step.op}{module}"


def _row(step: WayStep, label: str, view: View) -> str:
    cause = "" if step.passage == Passage.FLOWS else f"{step.passage}{f', {step.reason}' if step.reason else ''}"
    parts: Sequence[str] = [part for part in (_place(step.frame), cause, _code(step.frame, view)) if part]
    return f"{label}  {'  '.join(parts)}".rstrip()


def _place(frame: Frame | None) -> str:
    return f"{frame.path}:{frame.line}:{frame.column}" if frame else ""


def _code(frame: Frame | None, view: View) -> str:
    return view.line(frame.path, frame.line).strip() if frame else ""
