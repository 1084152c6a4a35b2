"""Which lines were changed since a revision, as git tells it; files that git does not know are new as a whole."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gradlint import git, notebook
from gradlint.errors import GradlintError, UsageError
from gradlint.notebook import Notebook
from gradlint.source import Source

_HUNK = re.compile(rb"@@ -\S+ \+(?P<first>\d+)(?:,(?P<count>\d+))? @@")
_DIFF = (
    "diff",
    "--unified=0",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--find-renames",
    "--inter-hunk-context=0",
)
_PREFIXES = ("--src-prefix=a/", "--dst-prefix=b/", "--diff-filter=d", "--ignore-submodules")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}

Lines = tuple[range, ...]


@dataclass(frozen=True)
class Changes:
    """Changed lines of files by their real path; `new` are files that are new as a whole."""

    root: str
    revision: str
    lines: Mapping[str, Lines]
    new: frozenset[str]
    before: Mapping[str, str] = field(default_factory=dict)

    def touch(self, path: str, first: int, last: int, source: Source | None = None) -> bool:
        """Whether one of some lines, 1-based and the last one included, was changed."""
        real = os.path.realpath(path)
        if real in self.new:
            return True
        if isinstance(source, Notebook):
            return real in self.lines and _overlap(self._cells(real, source), first, last)
        return _overlap(self.lines.get(real, ()), first, last)

    def _cells(self, real: str, source: Notebook) -> Lines:
        """The changed lines of a notebook's code: its file's lines are those of JSON."""
        name = self.before.get(real, os.path.relpath(real, self.root)).replace(os.sep, "/")
        try:
            old = notebook.decode(source.path, git.ask(self.root, "show", f"{self.revision}:{name}")).lines
        except GradlintError:
            return (range(1, len(source.lines) + 1),)
        matcher = difflib.SequenceMatcher(None, old, source.lines, autojunk=False)
        return tuple(range(j + 1, k + 1) for tag, _, _, j, k in matcher.get_opcodes() if tag != "equal")


def _overlap(lines: Lines, first: int, last: int) -> bool:
    return any(changed.start <= last and first < changed.stop for changed in lines)


def since(revision: str, folder: str = "") -> Changes:
    """What was changed in the working tree around a folder; raises `UsageError` when git cannot say."""
    try:
        root = git.repository(folder)
    except git.GitError:
        raise UsageError(f"--diff-base {revision}: {folder or 'the working folder'} is in no git repository") from None
    try:
        commit = git.ask(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except git.GitError:
        raise UsageError(f"--diff-base {revision}: git knows no such revision") from None
    try:
        name = commit.decode().strip()
        hunks = git.ask(root, *_DIFF, *_PREFIXES, name, "--")
        new = git.names(root, "ls-files", "--others", "--exclude-standard", "-z")
    except git.GitError as error:
        raise UsageError(f"--diff-base {revision}: {error}") from None
    lines: dict[str, list[range]] = {}
    before: dict[str, str] = {}
    for path, old, changed in _hunks(hunks):
        real = os.path.realpath(os.path.join(root, path))
        lines.setdefault(real, []).append(changed)
        before[real] = old
    whole = frozenset(os.path.realpath(os.path.join(root, path)) for path in new)
    return Changes(root, name, {path: tuple(found) for path, found in lines.items()}, whole, before)


def _hunks(diff: bytes) -> Iterator[tuple[str, str, range]]:
    """The new and the old name of a file with one range of changed lines, empty where some were only taken away."""
    old = new = ""
    header = False
    for line in diff.split(b"\n"):
        if line.startswith(b"diff --git "):
            header = True
        elif header and line.startswith(b"--- "):
            old = _name(line[4:])
        elif header and line.startswith(b"+++ "):
            new = _name(line[4:])
        elif match := _HUNK.match(line):
            header = False
            first, count = int(match["first"]), int(match["count"] or 1)
            yield new, old, range(first, first + count)


def _name(text: bytes) -> str:
    """The file name of a header line: without its prefix, and unquoted."""
    name = text.split(b"\t")[0]
    if name.startswith(b'"'):
        name = _ESCAPE.sub(_unescaped, name.strip(b'"'))
    return os.fsdecode(name[2:])


def _unescaped(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    return bytes([int(escaped, 8)]) if len(escaped) > 1 else _LETTERS.get(escaped, escaped)
