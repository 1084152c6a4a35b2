"""Comments that silence findings: `# gradlint: ignore[detached-tensor] -- reason` and `# gradlint: ignore-file[GL3]`.

A comment counts for its own line, for the statement that begins or ends on its line, and, on the header or a decorator
of a `def` or `class`, for the whole body. `# noqa` belongs to other tools.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gradlint.errors import UsageError
from gradlint.finding import Finding
from gradlint.graph import Frame
from gradlint.registry import fault, resolve
from gradlint.source import Source, SourceError

_DIRECTIVE = re.compile(r"#\s*gradlint:\s*ignore(?P<file>-file)?\b\s*(?:\[(?P<words>[^\]]*)\])?")
_WORD = re.compile(r"[^\s,]+")

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Word:
    """One rule as a comment names it, with its 1-based column."""

    text: str
    column: int


@dataclass(frozen=True)
class Ignore:
    """One ignore comment. No `words` mean every rule; `ranges` are the first and last lines that it counts for."""

    line: int
    words: tuple[Word, ...]
    ranges: tuple[tuple[int, int], ...]
    whole_file: bool = False

    def covers(self, finding: Finding) -> bool:
        """Whether a finding stands where this comment counts."""
        return self.whole_file or any(first <= finding.line <= last for first, last in self.ranges)

    @property
    def codes(self) -> frozenset[str] | None:
        """The codes that it silences; None for all of them."""
        return frozenset(code for word in self.words for code in _codes(word.text)) if self.words else None

    def silences(self, finding: Finding) -> bool:
        """Whether this comment takes a finding away."""
        return self.covers(finding) and (self.codes is None or finding.code in self.codes)


def ignores(source: Source) -> tuple[Ignore, ...]:
    """Every ignore comment of a file, from the top."""
    if "gradlint:" not in source.text:
        return ()
    found = [(comment, match) for comment in source.comments for match in _DIRECTIVE.finditer(comment.text)]
    spans = tuple(_spans(source)) if found else ()
    return tuple(
        Ignore(comment.line, _words(match, comment.column), _ranges(comment.line, spans), bool(match["file"]))
        for comment, match in found
    )


def apply(findings: Iterable[Finding], sources: Mapping[str, Source]) -> tuple[tuple[Finding, ...], int]:
    """The findings that no comment silences, and how many were silenced. `sources` are keyed by a finding's path."""
    everything = tuple(findings)
    paths = {finding.path for finding in everything} & sources.keys()
    comments: dict[str, tuple[Ignore | Intended, ...]] = {
        path: (*ignores(sources[path]), *_intended(sources[path])) for path in paths
    }
    kept = tuple(f for f in everything if not any(ignore.silences(f) for ignore in comments.get(f.path, ())))
    return kept, len(everything) - len(kept)


@dataclass(frozen=True)
class Intended:
    """A call of `gradlint.intended(...)`: findings inside of it are wanted."""

    start: tuple[int, int]
    end: tuple[int, int]

    def silences(self, finding: Finding) -> bool:
        """Whether a finding's expression stands inside of the call."""
        return self.start <= (finding.line, finding.column) and (finding.end_line, finding.end_column) <= self.end


def _intended(source: Source) -> Iterator[Intended]:
    if "intended(" not in source.text:
        return
    with contextlib.suppress(SourceError):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("intended", "gradlint.intended"):
                end = (node.end_lineno or node.lineno, (node.end_col_offset or 0) + 1)
                yield Intended((node.lineno, node.col_offset + 1), end)


def unknown(source: Source) -> Iterator[Finding]:
    """A finding (GL005) for every word in an ignore comment that names no rule."""
    for ignore in ignores(source):
        for word in ignore.words:
            try:
                resolve(word.text)
            except UsageError as error:
                end = word.column + len(word.text)
                at = Frame(source.path, ignore.line, word.column, ignore.line, end)
                near = str(error).partition('"')[2].partition('"')[2]
                yield fault("GL005", source.path, at, word=word.text, near=near)


def _codes(word: str) -> frozenset[str]:
    try:
        return resolve(word)
    except UsageError:
        return frozenset()


def _words(match: re.Match[str], column: int) -> tuple[Word, ...]:
    if match["words"] is None:
        return ()
    start = column + match.start("words")
    return tuple(Word(word.group(), start + word.start()) for word in _WORD.finditer(match["words"]))


@dataclass(frozen=True)
class _Span:
    """Comments on one of `lines` count for the lines `first` to `last`."""

    lines: frozenset[int]
    first: int
    last: int


def _ranges(line: int, spans: Iterable[_Span]) -> tuple[tuple[int, int], ...]:
    return ((line, line), *((span.first, span.last) for span in spans if line in span.lines))


def _spans(source: Source) -> Iterator[_Span]:
    try:
        nodes = ast.walk(source.tree)
    except SourceError:
        return
    for node in nodes:
        if isinstance(node, ast.stmt):
            first, last = _first(node), _header_end(node, source)
            if isinstance(node, _Definition):
                yield _Span(frozenset(range(first, last + 1)), first, node.end_lineno or last)
            else:
                yield _Span(frozenset({first, last}), first, last)


def _first(node: ast.stmt) -> int:
    """The line of a statement's first decorator or word."""
    decorators = node.decorator_list if isinstance(node, _Definition) else ()
    return min((node.lineno, *(decorator.lineno for decorator in decorators)))


def _header_end(node: ast.stmt, source: Source) -> int:
    """The last line before the body of a compound statement, or of the statement itself."""
    inner = _body_start(node)
    if inner is None:
        return node.end_lineno or node.lineno
    last = inner - 1
    while last > node.lineno and source.line(last).strip()[:1] in ("", "#"):
        last -= 1
    return max(last, node.lineno)


def _body_start(node: ast.stmt) -> int | None:
    match node:
        case ast.Match(cases=[first, *_]):
            return first.pattern.lineno
        case _ if body := getattr(node, "body", None):
            return _first(body[0])
    return None
