"""A file's text with its lines, its syntax tree and its comments, all positions 1-based and in code points."""

from __future__ import annotations

import ast
import codecs
import io
import re
import symtable
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from gradlint.errors import GradlintError

_NEWLINE = re.compile(r"\r\n|\r|\n")

Splice = tuple[int, int, str]
"""Start and end of a part of a text, in code points, and what comes in its place."""


class SourceError(GradlintError):
    """A file that cannot be decoded or parsed; `line` and `column` say where (GL001)."""

    def __init__(self, path: str, line: int, column: int, why: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {why}")
        self.path = path
        self.line = max(line, 1)
        self.column = max(column, 1)
        self.why = why


@dataclass(frozen=True)
class Comment:
    """One comment, its `#` included."""

    line: int
    column: int
    text: str


@dataclass(frozen=True)
class Source:
    """The decoded text of one file. Tree and comments are made when they are first asked for.

    `encoding` and `mark` (a byte order mark at the head) are what the text was decoded from.
    """

    path: str
    text: str
    encoding: str = "utf-8"
    mark: bool = False

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines without their ends, split where Python's own tokenizer splits."""
        return tuple(_NEWLINE.split(self.text))

    def line(self, number: int) -> str:
        """The text of a 1-based line; empty behind the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return (0, *(match.end() for match in _NEWLINE.finditer(self.text)))

    def offset(self, line: int, column: int) -> int:
        """The place of a 1-based line and column in `text`; its end for what lies behind it."""
        return min(self._starts[line - 1] + column - 1, len(self.text)) if line <= len(self._starts) else len(self.text)

    def place(self, offset: int) -> tuple[int, int]:
        """The 1-based line and column of an offset in `text`."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line_of(self, cell: int | None, line: int) -> int:
        """The line of this text that a line of a cell is; only notebooks have cells."""
        return line

    @property
    def fixable(self) -> bool:
        """Whether the file can be written again without a change to anything but this text."""
        return True

    @property
    def written(self) -> str:
        """The text as its author wrote it, line by line."""
        return self.text

    def spliced(self, splices: Iterable[Splice]) -> Source:
        """This source with disjoint parts of its text replaced."""
        return replace(self, text=spliced(self.text, splices))

    @property
    def newline(self) -> str:
        """How the file ends its lines, as its first line does."""
        match = _NEWLINE.search(self.text)
        return match.group() if match else "\n"

    def encoded(self) -> bytes:
        """The bytes that this text is in its file; raises `SourceError` when its encoding has no such characters."""
        try:
            return codecs.BOM_UTF8 * self.mark + self.text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise SourceError(self.path, *self.place(error.start), f"not in {self.encoding}") from None

    def column(self, line: int, offset: int) -> int:
        """The 1-based column in code points of a 0-based UTF-8 byte offset, as the syntax tree counts them."""
        text = self.line(line)
        if text.isascii():
            return min(offset, len(text)) + 1
        return len(text.encode()[:offset].decode(errors="ignore")) + 1

    def check_syntax(self) -> None:
        """Raises `SourceError` when the text is not Python; no tree is made where it is."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                symtable.symtable(self.text, self.path, "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            # Its errors are more than the parser's: names that are declared twice, a return outside of a function.
            self.tree  # noqa: B018 - parsing is what may fail

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; raises `SourceError` when the text is not Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.text, self.path)
        except SyntaxError as error:
            raise SourceError(self.path, error.lineno or 1, error.offset or 1, error.msg) from None
        except (ValueError, RecursionError, MemoryError) as error:
            why = str(error) or "the expressions are nested too deeply"
            raise SourceError(self.path, 1, 1, why) from None

    def take_tree(self, other: Source) -> None:
        """Shares the tree of a source with the same text."""
        if "tree" in other.__dict__:
            self.__dict__["tree"] = other.tree

    @cached_property
    def comments(self) -> tuple[Comment, ...]:
        """All comments, as far as the text can be split into tokens."""
        found: list[Comment] = []
        try:
            for token in tokenize.generate_tokens(io.StringIO(self.text, newline=None).readline):
                if token.type == tokenize.COMMENT:
                    found.append(Comment(token.start[0], token.start[1] + 1, token.string))
        except (tokenize.TokenError, SyntaxError):
            pass
        return tuple(found)


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """A text with disjoint parts replaced."""
    behind = len(text)
    parts: list[str] = []
    for start, end, new in sorted(splices, reverse=True):
        parts += [text[end:behind], new]
        behind = start
    return text[:behind] + "".join(reversed(parts))


def decode(path: str, data: bytes) -> Source:
    """A source from its bytes: byte order mark and encoding cookie obeyed; raises `SourceError` when they lie."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as error:
        if "invalid or missing" not in error.msg:
            raise SourceError(path, 1, 1, error.msg) from None
        encoding = "utf-8"
    body, encoding = data.removeprefix(codecs.BOM_UTF8), encoding.removesuffix("-sig")
    try:
        return Source(path, body.decode(encoding), encoding, body != data)
    except UnicodeDecodeError as error:
        line, column = _place(body, error.start)
        raise SourceError(path, line, column, f"byte 0x{body[error.start]:02x} is not {encoding.upper()}") from None


GRAPH_SUFFIXES = (".onnx", ".pt2")
"""Endings of files that hold a graph and no text."""


def is_graph_file(path: str | Path) -> bool:
    """Whether a file holds a graph, by its name."""
    return str(path).lower().endswith(GRAPH_SUFFIXES)


def read(path: str | Path, shown: str | None = None) -> Source:
    """The source of a file, reported as `shown`; raises `SourceError` when it cannot be read or decoded."""
    name = shown or str(path)
    if is_graph_file(name):
        raise SourceError(name, 1, 1, "it holds a graph and no text")
    try:
        return decode(name, Path(path).read_bytes())
    except OSError as error:
        raise SourceError(name, 1, 1, (error.strerror or type(error).__name__).lower()) from None


def line_reader() -> Callable[[str, int], str]:
    """A function from a path and a 1-based line to the line's text, empty where there is none; files are read once."""
    known: dict[str, Source | None] = {}

    def line(path: str, number: int) -> str:
        if path not in known:
            try:
                known[path] = read(path)
            except SourceError:
                known[path] = None
        source = known[path]
        return source.line(number) if source else ""

    return line


def _place(data: bytes, offset: int) -> tuple[int, int]:
    head = data[:offset]
    return head.count(b"\n") + 1, len(head.rpartition(b"\n")[2].decode(errors="replace")) + 1
