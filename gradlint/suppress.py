"""Comments that silence findings: `# gradlint: ignore[detached-tensor] -- reason` and `# gradlint: ignore-file[GL3]`.

A comment counts for its own line, for the expression or statement that begins or ends on its line, and, on the header
or a decorator of a `def` or `class`, for the whole body. `# noqa` belongs to other tools. A comment that silences
nothing in a run that could have judged its rules is a finding itself (GL002).
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gradlint.errors import UsageError
from gradlint.finding import Applicability, Edit, Finding, Fix
from gradlint.frame import Frame
from gradlint.registry import RUN_FAMILY, fault, resolve
from gradlint.source import Comment, Source, SourceError

_DIRECTIVE = re.compile(r"#\s*gradlint:\s*ignore(?P<file>-file)?\b\s*(?:\[(?P<words>[^\]]*)\])?")
_WORD = re.compile(r"[^\s,]+")
_NEXT_COMMENT = re.compile(r"#(?=\s*[A-Za-z!])(?<=\s#)")
"""Another comment behind a directive on its line, such as `# noqa`; a number such as `#5` belongs to its reason."""

UNUSED = "GL002"

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Word:
    """One rule as a comment names it, with its 1-based column."""

    text: str
    column: int


@dataclass(frozen=True)
class Ignore:
    """One ignore comment. No `words` mean every rule; `ranges` are the first and last lines that it counts for.

    `column` and `end_column` are those of the directive, its reason not counted.
    """

    line: int
    words: tuple[Word, ...]
    ranges: tuple[tuple[int, int], ...]
    whole_file: bool = False
    column: int = 1
    end_column: int = 1

    def covers(self, finding: Finding) -> bool:
        """Whether a finding stands where this comment counts."""
        if self.whole_file or self.line == finding.end_line:
            return True
        return any(first <= finding.line <= last for first, last in self.ranges)

    @property
    def codes(self) -> frozenset[str] | None:
        """The codes that it silences; None for all of them."""
        return frozenset(code for word in self.words for code in _codes(word.text)) if self.words else None

    def silences(self, finding: Finding) -> bool:
        """Whether this comment takes a finding away; one about idle comments only when it names that rule alone."""
        if finding.code == UNUSED:
            return self.covers(finding) and any(_codes(word.text) == {UNUSED} for word in self.words)
        return self.covers(finding) and (self.codes is None or finding.code in self.codes)


def ignores(source: Source) -> tuple[Ignore, ...]:
    """Every ignore comment of a file, from the top."""
    if "gradlint:" not in source.text:
        return ()
    found = [(comment, match) for comment in source.comments for match in _DIRECTIVE.finditer(comment.text)]
    spans = tuple(_spans(source)) if found else ()
    return tuple(_ignore(comment, match, _ranges(comment.line, spans)) for comment, match in found)


def _ignore(comment: Comment, match: re.Match[str], ranges: tuple[tuple[int, int], ...]) -> Ignore:
    start, end = comment.column + match.start(), comment.column + match.end()
    return Ignore(comment.line, _words(match, comment.column), ranges, bool(match["file"]), start, end)


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
                start = node.lineno, source.column(node.lineno, node.col_offset)
                last = node.end_lineno or node.lineno
                yield Intended(start, (last, source.column(last, node.end_col_offset or 0)))


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


@dataclass(frozen=True)
class Judgement:
    """What a run could say of one file: the codes of the rules that judge every line of it, the codes of those that
    judge models and loops, and the lines that the models and loops they saw were made of."""

    everywhere: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    lines: frozenset[int] = frozenset()

    def covers(self, codes: frozenset[str], blocks: Iterable[tuple[int, int]]) -> bool:
        """Whether rules could have found something in every one of some blocks of lines, had there been anything."""
        if codes <= self.everywhere:
            return True
        seen = (any(first <= line <= last for line in self.lines) for first, last in blocks)
        return codes <= self.everywhere | self.seen and all(seen)


def unused(source: Source, findings: Iterable[Finding], judgement: Judgement) -> Iterator[Finding]:
    """A finding (GL002) for every ignore comment, or code in one, that silences nothing and could have.

    `findings` are all of the file's, those that nobody asked to see too. A code is left alone where its rule did not
    run, and a rule of models and loops where some code that the comment counts for was not part of one: a branch that
    was not taken may be what the comment is about.
    """
    here = tuple(findings)
    for ignore in ignores(source):
        blocks = _blocks(ignore, source)
        covered = frozenset(finding.code for finding in here if ignore.covers(finding))
        if not ignore.words:
            idle = not covered and judgement.covers(_everything(), blocks)
            yield from [_whole(ignore, source)] if idle else []
            continue
        words = [word for word in ignore.words if _is_idle(word, covered, judgement, blocks)]
        if len(words) == len(ignore.words):
            yield _whole(ignore, source)
        else:
            yield from (_partial(ignore, word, source) for word in words)


def _everything() -> frozenset[str]:
    """The codes of all rules but those about the run itself."""
    return frozenset(code for code in resolve("ALL") if not code.startswith(RUN_FAMILY))


def _is_idle(word: Word, covered: frozenset[str], judgement: Judgement, blocks: Iterable[tuple[int, int]]) -> bool:
    codes = _codes(word.text)
    return bool(codes) and UNUSED not in codes and not codes & covered and judgement.covers(codes, blocks)


def _blocks(ignore: Ignore, source: Source) -> list[tuple[int, int]]:
    """The first and last lines of the code that a comment counts for: its statement, and every block inside of it."""
    whole = (1, len(source.lines)) if ignore.whole_file else _widest(ignore.ranges)
    found = [whole]
    with contextlib.suppress(SourceError):
        for node in ast.walk(source.tree):
            for name in ("body", "orelse", "finalbody"):
                body = getattr(node, name, None)
                if isinstance(body, list) and body and not isinstance(node, ast.Module):
                    first, last = _first(body[0]), body[-1].end_lineno or 0
                    found += [(first, last)] if whole[0] < first and last <= whole[1] else []
    return found


def _widest(ranges: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    return min(first for first, _ in ranges), max(last for _, last in ranges)


def _whole(ignore: Ignore, source: Source) -> Finding:
    at = Frame(source.path, ignore.line, ignore.column, ignore.line, ignore.end_column)
    named = ", ".join(f"`{word.text}`" for word in ignore.words) or "this comment"
    verb = "silence" if len(ignore.words) > 1 else "silences"
    return fault(UNUSED, source.path, at, named=named, verb=verb).model_copy(
        update={"fix": _fix(*_without(ignore, source))}
    )


def _partial(ignore: Ignore, word: Word, source: Source) -> Finding:
    end = word.column + len(word.text)
    at = Frame(source.path, ignore.line, word.column, ignore.line, end)
    index = ignore.words.index(word)
    if index + 1 < len(ignore.words):
        place = (word.column, ignore.words[index + 1].column)
    else:
        before = ignore.words[index - 1]
        place = (before.column + len(before.text), end)
    found = fault(UNUSED, source.path, at, named=f"`{word.text}`", verb="silences")
    return found.model_copy(update={"fix": _fix(ignore.line, place[0], ignore.line, place[1])})


def _without(ignore: Ignore, source: Source) -> tuple[int, int, int, int]:
    """The span of a directive with its reason and the blanks before it; of the line when nothing else is on it."""
    text = source.line(ignore.line)
    after = _NEXT_COMMENT.search(text, ignore.end_column - 1)
    before = text[: ignore.column - 1].rstrip()
    if after:
        return ignore.line, ignore.column, ignore.line, after.start() + 1
    if before or ignore.line >= len(source.lines):
        return ignore.line, len(before) + 1, ignore.line, len(text) + 1
    return ignore.line, 1, ignore.line + 1, 1


def _fix(line: int, column: int, end_line: int, end_column: int) -> Fix:
    edit = Edit(line=line, column=column, end_line=end_line, end_column=end_column, text="")
    return Fix(applicability=Applicability.SAFE, edits=(edit,))


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
