"""The default format: each finding with its place in the source, its effect, what it stands on, and what to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gradlint.finding import Evidence, Finding, Report, Severity
from gradlint.report import View, place

LINES_BEFORE = 1
MOST_UNDERLINED = 4
MOST_GROUPS = 5
TAB = "    "

SIZES = ("GL3", "GL401", "GL402", "GL403", "GL501", "GL505")
"""Rules about parameters whose gradient arrives: about how they start, and how large their gradients are."""

EVIDENCE = {
    Evidence.GRAPH: "proved on the recorded graph",
    Evidence.MEASURED: "measured by a forward and a backward pass",
    Evidence.STATIC_GRAPH: "proved on the graph that was read from source, nothing was executed",
    Evidence.PREDICTED: "predicted from the moments of weights and signals",
    Evidence.SOURCE: "read from source",
}

_LOUD = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_FRAME = "blue"
_PLAIN = ""


class Span(NamedTuple):
    """A piece of text and its rich style."""

    text: str
    style: str = _PLAIN


Row = Sequence[Span]


def render(report: Report, view: View) -> str:
    """All findings, an empty line between them; plain unless the view wants colour."""
    blocks = [list(_block(finding, view)) for finding in report.findings]
    rows = [row for block in blocks for row in (*block, ())]
    return _painted(rows) if view.color else "".join("".join(s.text for s in row) + "\n" for row in rows)


def _painted(rows: Iterable[Row]) -> str:
    import io

    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", no_color=False, soft_wrap=True)
    for row in rows:
        console.print(Text.assemble(*((span.text, span.style) for span in row)), highlight=False)
    return out.getvalue()


def _block(finding: Finding, view: View) -> Iterator[Row]:
    loud = _LOUD[finding.severity]
    gutter = " " * len(str(max(finding.end_line, finding.line)))
    yield [
        Span(f"{finding.severity.value}[{finding.code} {finding.name}]", loud),
        Span(f": {finding.message}", "bold"),
    ]
    yield [Span(f"{gutter}--> ", _FRAME), Span(place(finding)), Span(_inside(finding))]
    yield from _frame(finding, view, gutter, loud)
    for label, text in _remarks(finding):
        yield [Span(f"{gutter} = ", _FRAME), Span(f"{label}: ", "bold"), Span(text)]


def _inside(finding: Finding) -> str:
    module = f", module {finding.module}" if finding.module else ""
    return f" in {finding.model}{module}" if finding.model else module.removeprefix(",")


def _frame(finding: Finding, view: View, gutter: str, loud: str) -> Iterator[Row]:
    """The lines of the finding with carets below, one line of context before."""
    last = min(finding.end_line, finding.line + MOST_UNDERLINED - 1)
    numbers = range(max(finding.line - LINES_BEFORE, 1), last + 1)
    texts = {number: _line(finding, number, view) for number in numbers}
    if not texts[finding.line]:
        return
    yield [Span(f"{gutter} |", _FRAME)]
    for number, text in texts.items():
        if number < finding.line and not text.strip():
            continue
        yield [Span(f"{number:>{len(gutter)}} | ", _FRAME), Span(_shown(text))]
        if number >= finding.line:
            yield [Span(f"{gutter} | ", _FRAME), Span(_carets(finding, number, text), loud)]


def _line(finding: Finding, number: int, view: View) -> str:
    if finding.cell is None:
        return view.line(finding.path, number)
    return view.cell_line(finding.path, finding.cell, number)


def _carets(finding: Finding, number: int, text: str) -> str:
    """Carets under the finding's part of a line, aligned on a terminal also behind tabs and wide characters."""
    indent = len(text) - len(text.lstrip()) + 1
    start = finding.column if number == finding.line else indent
    end = finding.end_column if number == finding.end_line else len(text.rstrip()) + 1
    return " " * _cells(text[: start - 1]) + "^" * max(_cells(text[start - 1 : end - 1]), 1)


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in _shown(text))


def _shown(text: str) -> str:
    """The text without tabs and control characters, which would move the carets or the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text.replace("\t", TAB))


def _remarks(finding: Finding) -> Iterator[tuple[str, str]]:
    if finding.parameters:
        yield "parameters" if finding.code.startswith(SIZES) else "no gradient", effect(finding)
    yield "evidence", EVIDENCE[finding.evidence]
    for other in finding.related:
        yield "also", f"{other.path}:{other.line}:{other.column}: {other.message}"
    if finding.advice:
        yield "help", finding.advice


def effect(finding: Finding) -> str:
    """The starved parameters in groups and their share: `deep.* (22 tensors), 90 % of the elements`."""
    groups = grouped(finding.parameters)
    shown = [name if count == 1 else f"{name} ({count} tensors)" for name, count in groups[:MOST_GROUPS]]
    rest = sum(count for _, count in groups[MOST_GROUPS:])
    more = [f"{rest} more"] if rest else []
    return ", ".join(shown + more + ([_share(finding.parameter_share)] if finding.parameter_share else []))


def grouped(names: Sequence[str]) -> list[tuple[str, int]]:
    """Names by their longest shared prefix: `[("encoder.*", 22), ("scale", 1)]`, in the order of their first member."""
    families: dict[str, list[list[str]]] = {}
    for name in names:
        parts = name.split(".")
        families.setdefault(parts[0], []).append(parts)
    return [(_family(members), len(members)) for members in families.values()]


def _family(members: list[list[str]]) -> str:
    if len(members) == 1:
        return ".".join(members[0])
    shared = next((i for i, parts in enumerate(zip(*members, strict=False)) if len(set(parts)) > 1), len(members[0]))
    return ".".join([*members[0][:shared], "*"])


def _share(share: float) -> str:
    percent = share * 100
    if percent >= 99.5:
        return "all of the elements" if share >= 1 else f"{min(percent, 99.9):.1f} % of the elements"
    return f"{percent:.0f} % of the elements" if percent >= 1 else "under 1 % of the elements"
