"""The words of an earlier run, said again when nothing that they rest on has changed.

What a run rests on: the command line, the program, the terminal's kind, the list of files, and size and times of every
file that was read or looked for in vain. Imports next to nothing: most runs in a project change nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gradlint import __version__, cache, streams
from gradlint.errors import GradlintError
from gradlint.git import above
from gradlint.listing import candidates

MOST_RUNS = 32
"""Command lines whose words are kept."""

VARIABLES = ("CI", "NO_COLOR", "TERM", "PYTHONIOENCODING")
"""What else decides over a run's words."""

_WORDS = "SELECT behind, said FROM runs WHERE key = ?"

Said = Sequence[tuple[int, str]]
"""Number of a stream, 1 for output and 2 for notes, and what was written there."""

Stamp = list[int]
"""Size in bytes, and the times of the last change of content and of metadata in nanoseconds."""


class Basis(NamedTuple):
    """What a run's words rest on: files with their stamps (None: not there), folders with the digest of their list."""

    files: dict[str, Stamp | None]
    folders: dict[str, str]


def again(arguments: Sequence[str]) -> int | None:
    """Says what an earlier run of the same command said and returns its exit code; None when something has changed."""
    key = _key(arguments)
    for place in above(os.getcwd()):
        folder = Path(place, cache.FOLDER)
        for behind, said in cache.ask(folder, _WORDS, key) if folder.is_dir() else ():
            words = _words(behind, said)
            if words is not None:
                code, spoken = words
                streams.prepare()
                for number, text in spoken:
                    streams.write(number, text)
                return code
    return None


def _words(behind: Any, said: Any) -> tuple[int, Said] | None:
    try:
        files, folders = json.loads(behind)
        code, spoken = json.loads(said)
        same = all(_stamp(path) == stamp for path, stamp in files.items())
        if same and all(_listed(folder) == digest for folder, digest in folders.items()):
            return int(code), [(int(number), str(text)) for number, text in spoken]
    except (ValueError, TypeError, AttributeError, RecursionError, GradlintError):
        pass
    return None


def basis(files: Iterable[str], folders: Iterable[str], started: int) -> Basis | None:
    """What a run that began at a time in nanoseconds rests on; None when one of its files changed since or just before.

    A file that changed within one tick of its file system's clock could change again unnoticed.
    """
    stamps = {path: _stamp(path) for path in files}
    latest = started - int(cache.SETTLED_SECONDS * 1e9)
    if any(stamp is not None and max(stamp[1:]) > latest for stamp in stamps.values()):
        return None
    return Basis(stamps, {folder: _listed(folder) for folder in folders})


def remember(folder: Path, arguments: Sequence[str], rests_on: Basis, code: int, said: Said) -> None:
    """Keeps a run's words in a cache."""
    row = (_key(arguments), time.time(), json.dumps(rests_on), json.dumps([code, list(said)]))

    def fill(base: Any) -> None:
        base.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", row)
        base.execute(f"DELETE FROM runs WHERE key NOT IN (SELECT key FROM runs ORDER BY used DESC LIMIT {MOST_RUNS})")

    cache.write(folder, fill)


def _key(arguments: Sequence[str]) -> str:
    surroundings = [os.environ.get(name) for name in VARIABLES]
    terminals = [stream.isatty() for stream in (sys.stdout, sys.stderr)]
    return cache.key(__version__, "run", list(arguments), surroundings, terminals)


def _stamp(path: str) -> Stamp | None:
    """What tells that a file is the same; None when it is not there."""
    try:
        now = os.stat(path)
    except (OSError, ValueError):
        return None
    return [now.st_size, now.st_mtime_ns, now.st_ctime_ns]


def _listed(folder: str) -> str:
    """The digest of the names of all files below a folder."""
    names = "\0".join(sorted(candidates(folder, lambda path, why: None)))
    return hashlib.blake2b(os.fsencode(names), digest_size=16).hexdigest()
