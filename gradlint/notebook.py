"""Notebooks as sources: all code cells below one another, with what only IPython understands masked in place.

Masked text keeps its length, so a position in the source is the same position in its cell. A cell that is no Python is
blank, and its fault is kept.
"""

from __future__ import annotations

import ast
import bisect
import importlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from gradlint import magics, source
from gradlint.errors import GradlintError
from gradlint.notebook_cells import is_writable, rewritten
from gradlint.source import Source, SourceError, Splice, spliced

SUFFIX = ".ipynb"
LANGUAGE = "python"
HEAD = "if True:\n"
"""The line before an indented cell, so that its text can stay as it is."""

OLDEST_READ_HERE = 4
"""Major version of the format that is read without nbformat."""


class OtherLanguageError(GradlintError):
    """A notebook that is written in another language than Python; `why` says so without its path."""

    def __init__(self, path: str, language: str) -> None:
        self.why = f"the notebook is written in {language}"
        super().__init__(f"{path}: {self.why}")


@dataclass(frozen=True)
class Cell:
    """One code cell: its 1-based number among all cells, the line of the notebook's source it begins on, its text."""

    number: int
    first: int
    text: str


@dataclass(frozen=True)
class CellFault:
    """Why a cell is no Python, at a line of the notebook's source."""

    line: int
    column: int
    why: str


@dataclass(frozen=True)
class Notebook(Source):
    """The source of a notebook's code cells; `data` are the bytes of its file."""

    cells: tuple[Cell, ...] = ()
    faults: tuple[CellFault, ...] = ()
    data: bytes = b""

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; `await` may stand outside of functions."""
        try:
            return _parsed(self.text, self.path)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise SourceError(self.path, getattr(error, "lineno", None) or 1, 1, str(error)) from None

    @cached_property
    def _firsts(self) -> tuple[int, ...]:
        return tuple(cell.first for cell in self.cells)

    def cell_at(self, line: int) -> tuple[int, int]:
        """The number of the cell that a line of the source stands in, and its 1-based line in there."""
        if not self.cells:
            return 1, 1
        cell = self.cells[max(bisect.bisect_right(self._firsts, line) - 1, 0)]
        return cell.number, max(line - cell.first + 1, 1)

    def line_of(self, cell: int | None, line: int) -> int:
        """The line of the source that a line of a cell is."""
        return next((known.first + line - 1 for known in self.cells if known.number == cell), line)

    @cached_property
    def fixable(self) -> bool:
        """Whether the notebook's JSON can be written again as it is."""
        return is_writable(self.data)

    @property
    def written(self) -> str:
        """All code cells as the user wrote them."""
        return "".join(cell.text + "\n" for cell in self.cells)

    def encoded(self) -> bytes:
        """The bytes of the notebook's file."""
        return self.data

    def spliced(self, splices: Iterable[Splice]) -> Source:
        """The notebook with parts of its cells replaced; all else in the file stays as it is."""
        starts = [self.offset(cell.first, 1) for cell in self.cells]
        own: dict[int, list[Splice]] = {}
        for start, end, text in splices:
            at = max(bisect.bisect_right(starts, start) - 1, 0)
            own.setdefault(at, []).append((start - starts[at], end - starts[at], text))
        texts = {self.cells[at].number: spliced(self.cells[at].text, parts) for at, parts in own.items()}
        return decode(self.path, rewritten(self.data, texts))

    def cell_line(self, number: int, line: int) -> str:
        """The text of a 1-based line of a cell as the user wrote it; empty where there is none."""
        cell = next((cell for cell in self.cells if cell.number == number), None)
        lines = cell.text.split("\n") if cell else []
        return lines[line - 1] if 0 < line <= len(lines) else ""


def decode(path: str, data: bytes) -> Source:
    """The source of a file's bytes, of a notebook when its name says so; raises `SourceError`."""
    return _notebook(path, data) if path.endswith(SUFFIX) else source.decode(path, data)


def read(path: str | Path, shown: str | None = None) -> Source:
    """The source of a file, reported as `shown`; raises `SourceError` when it cannot be read."""
    name = shown or str(path)
    if not str(path).endswith(SUFFIX):
        return source.read(path, name)
    try:
        return _notebook(name, Path(path).read_bytes())
    except OSError as error:
        raise SourceError(name, 1, 1, (error.strerror or type(error).__name__).lower()) from None


def cell_reader() -> Callable[[str, int, int], str]:
    """A function from a path, a cell's number and a 1-based line in it to its text; empty where there is none."""

    @cache
    def known(path: str) -> Source | None:
        try:
            return read(path)
        except GradlintError:
            return None

    def line(path: str, number: int, line: int) -> str:
        source = known(path)
        return source.cell_line(number, line) if isinstance(source, Notebook) else ""

    return line


def _notebook(path: str, data: bytes) -> Notebook:
    content = _content(path, data)
    language = _language(content)
    if language != LANGUAGE:
        raise OtherLanguageError(path, language)
    texts: list[str] = []
    cells: list[Cell] = []
    faults: list[CellFault] = []
    line = 1
    for number, text in _code(content):
        head = HEAD if _is_indented(text) else ""
        line += head.count("\n")
        cells.append(Cell(number, line, text))
        python, fault = _python(text, head)
        texts.append(python)
        if fault is not None:
            faults.append(CellFault(line + fault.line - 1, fault.column, fault.why))
        line += text.count("\n") + 1
    return Notebook(path, "\n".join(texts), cells=tuple(cells), faults=tuple(faults), data=data)


def _content(path: str, data: bytes) -> dict[str, Any]:
    """The JSON of a notebook in the format of today."""
    try:
        content = json.loads(data) if data.strip() else {"nbformat": OLDEST_READ_HERE, "cells": []}
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, error) from None
    if not isinstance(content, dict):
        raise SourceError(path, 1, 1, "the notebook is no JSON object")
    version = content.get("nbformat", OLDEST_READ_HERE)
    if isinstance(version, int) and version < OLDEST_READ_HERE:
        content = _upgraded(path, content, version)
    if not isinstance(content.get("cells"), list):
        raise SourceError(path, 1, 1, "the notebook has no list of cells")
    return content


def _corrupt(path: str, error: Exception) -> SourceError:
    if isinstance(error, json.JSONDecodeError):
        return SourceError(path, error.lineno, error.colno, f"the notebook is no JSON: {error.msg.lower()}")
    return SourceError(path, 1, 1, f"the notebook is no JSON: {' '.join(str(error).split())}")


def _upgraded(path: str, content: dict[str, Any], version: int) -> dict[str, Any]:
    try:
        nbformat: Any = importlib.import_module("nbformat")
    except ImportError:
        why = f"the notebook has format {version}; pip install gradlint-nn[notebook] to read formats before 4"
        raise SourceError(path, 1, 1, why) from None
    try:
        return dict(nbformat.convert(nbformat.reader.reads(json.dumps(content)), OLDEST_READ_HERE))
    except Exception as error:
        # Converters meet whatever a damaged file holds.
        raise SourceError(path, 1, 1, f"the notebook cannot be converted: {type(error).__name__}") from None


def _language(content: dict[str, Any]) -> str:
    """The kernel's language, Python when the notebook says nothing."""
    metadata = content.get("metadata")
    parts = [metadata.get(key) for key in ("kernelspec", "language_info")] if isinstance(metadata, dict) else []
    spec, info = [part if isinstance(part, dict) else {} for part in parts] or ({}, {})
    named = spec.get("language") or info.get("name") or LANGUAGE
    return LANGUAGE if str(named).lower() in (LANGUAGE, "ipython", "python3") else str(named)


def _code(content: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Number and text of each code cell; line ends are those of Unix, as everywhere in Jupyter."""
    for number, cell in enumerate(content["cells"], start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        text = cell.get("source", "")
        lines = text if isinstance(text, list) else [text]
        joined = "".join(part for part in lines if isinstance(part, str))
        yield number, joined.replace("\r\n", "\n").replace("\r", "\n")


def _is_indented(text: str) -> bool:
    """Whether the first line of a cell that is no comment is indented; IPython takes such an indent away."""
    first = next((line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")), "")
    return first[:1] in (" ", "\t")


def _python(text: str, head: str) -> tuple[str, CellFault | None]:
    """A cell's Python behind the line that takes its indent, blank with its fault when there is none."""
    first = _fault(text, head)
    if first is None:
        return head + text, None
    masked = magics.masked(text)
    fault = first if masked == text else _fault(masked, head)
    return (head + masked, None) if fault is None else (magics.blank(head + text), fault)


def _fault(text: str, head: str) -> CellFault | None:
    try:
        _parsed(head + text, "<cell>")
    except SyntaxError as error:
        line = (error.lineno or 1) - head.count("\n")
        return CellFault(max(line, 1), max(error.offset or 1, 1), error.msg)
    except (ValueError, RecursionError, MemoryError) as error:
        return CellFault(1, 1, str(error) or "the expressions are nested too deeply")
    return None


def _parsed(text: str, path: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree: ast.Module = compile(text, path, "exec", flags, dont_inherit=True)
    return tree
