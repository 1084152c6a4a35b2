"""Edits of a program's text, and the lines that they are to be blamed for."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Replaces the characters from `start` up to `end`; `blamed` when a finding may point at the new lines."""

    start: int
    end: int
    text: str
    blamed: bool = True


class Positions:
    """Character offsets of a text's lines and of its syntax nodes."""

    def __init__(self, text: str) -> None:
        if not text.isascii():
            raise ValueError("a model file must be ASCII, because ast counts columns in bytes")
        self.text = text
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def line_start(self, line: int) -> int:
        """The offset of the first character of a 1-based line; one past the last line is the end."""
        return self._starts[min(line - 1, len(self._starts) - 1)]

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """The offsets at which a node begins and ends."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self.line_start(node.lineno) + node.col_offset, self.line_start(end_line) + end_column

    def source(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def whole_lines(self, node: ast.stmt) -> tuple[int, int]:
        """The offsets of the lines that a statement stands on."""
        return self.line_start(node.lineno), self.line_start((node.end_lineno or node.lineno) + 1)


def apply(text: str, edits: Sequence[Edit]) -> tuple[str, frozenset[int]]:
    """The edited text and the 1-based lines that blamed edits wrote; raises ValueError when edits overlap."""
    pieces: list[str] = []
    blamed: set[int] = set()
    position, line = 0, 1
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if edit.start < position:
            raise ValueError("edits overlap")
        kept = text[position : edit.start]
        line += kept.count("\n")
        pieces += [kept, edit.text]
        height = edit.text.count("\n")
        if edit.blamed:
            last = line + height - (1 if edit.text.endswith("\n") else 0)
            blamed.update(range(line, last + 1))
        line += height
        position = edit.end
    return "".join([*pieces, text[position:]]), frozenset(blamed)


def moved(text: str, edits: Sequence[Edit], lines: Sequence[int]) -> frozenset[int]:
    """Where 1-based lines of the old text stand after the edits."""
    starts = Positions(text)

    def shift(line: int) -> int:
        before = [edit for edit in edits if edit.end <= starts.line_start(line)]
        return sum(edit.text.count("\n") - text[edit.start : edit.end].count("\n") for edit in before)

    return frozenset(line + shift(line) for line in lines)


def indented(text: str, by: int) -> str:
    """Every non-empty line of `text` moved right by `by` columns."""
    return "".join(" " * by + line if line.strip() else line for line in text.splitlines(keepends=True))
