"""A file with one expression that a fix is wanted for, written for tests of fixes."""

from __future__ import annotations

import ast
from collections.abc import Callable

from gradlint.code import Edits
from gradlint.finding import Evidence, Finding, Fix, Severity
from gradlint.fixes.edits import Span, edited
from gradlint.fixes.repair import Repair, surroundings
from gradlint.source import Source

Maker = Callable[[Repair], Fix | Edits]


def finding_at(source: Source, place: Span, code: str = "GL110", **more: object) -> Finding:
    """A finding that spans a part of a source."""
    (line, column), (end_line, end_column) = source.place(place.start), source.place(place.end)
    facts = {"code": code, "name": "n", "severity": Severity.ERROR, "evidence": Evidence.SOURCE, "message": "m"}
    position = {"line": line, "column": column, "end_line": end_line, "end_column": end_column}
    return Finding.model_validate(facts | position | {"path": source.path} | more)


def repair(text: str, needle: str) -> Repair:
    """The surroundings of the first place of a text where another one stands."""
    source = Source("m.py", text)
    start = text.index(needle)
    return Repair(surroundings(source), finding_at(source, Span(start, start + len(needle))))


def made(text: str, needle: str, maker: Maker) -> str:
    """A text after a fix of the expression in it; it has to be Python before and after."""
    code = repair(text, needle)
    fix = maker(code)
    source = edited(code.around.source, fix.edits if isinstance(fix, Fix) else fix)
    assert ast.parse(source.text)
    return source.text
