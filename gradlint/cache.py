"""Verdicts of earlier runs, kept beside the project and trusted only while every file behind them is the same.

A verdict is keyed by the program, its rules and settings, the folder it was asked in, the content of its file and of
all files that were read with it. A file counts as unchanged when its size and times are, else its content is compared.
The file is an sqlite database of plain text; a damaged or locked one costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from gradlint.errors import UsageError

FOLDER = ".gradlint_cache"
FILE = "verdicts.sqlite"
SCHEMA = 1
TAG = "CACHEDIR.TAG"
TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is gradlint's cache; see https://bford.info/cachedir/\n"
)
"""The signature that makes backup programs pass by (Bryan Ford, Cache Directory Tagging Specification)."""

MOST_KEYS = 16
"""Combinations of program, settings and folder whose verdicts are kept."""

PATIENCE_SECONDS = 1.0
"""How long another run's write is waited for."""

SETTLED_SECONDS = 0.1
"""A file that changed this recently may change again within one tick of its file system's clock."""

ABSENT = ""
"""The digest of a file that does not exist or cannot be read."""

_PACKAGE = Path(__file__).parent
_CODE = (".py", ".toml", ".json")

TABLES = {
    "files": "path TEXT PRIMARY KEY, size INT, modified INT, changed INT, digest TEXT",
    "keys": "key TEXT PRIMARY KEY, used REAL",
    "verdicts": "key TEXT, path TEXT, digest TEXT, dependencies TEXT, verdict TEXT, PRIMARY KEY(key, path)",
    "runs": "key TEXT PRIMARY KEY, used REAL, behind TEXT, said TEXT",
}
_VERDICTS = (
    "SELECT v.path, v.digest, v.dependencies, v.verdict"
    " FROM json_each(?) AS wanted JOIN verdicts AS v ON v.path = wanted.value WHERE v.key = ?"
)
_FILES = (
    "SELECT f.path, f.size, f.modified, f.changed, f.digest"
    " FROM json_each(?) AS wanted JOIN files AS f ON f.path = wanted.value"
)


class _Known(NamedTuple):
    """A file as it was when its digest was taken; times in nanoseconds."""

    size: int
    modified: int
    changed: int
    digest: str


class _State:
    """What a run has read from the cache and is going to write."""

    def __init__(self) -> None:
        self.files: dict[str, _Known] = {}
        self.digests: dict[str, str] = {}
        self.fresh_files: dict[str, _Known] = {}
        self.fresh_verdicts: dict[str, tuple[str, str, str]] = {}


class Kept(NamedTuple):
    """A verdict that still holds, as text, and the other files that it stands on."""

    verdict: str
    dependencies: tuple[str, ...]


class Cache:
    """The verdicts of one key. `look_up` first, then `keep` what had to be judged; leaving the context writes it."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key
        self._started = time.time_ns()
        self._state = _State()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._state.fresh_files or self._state.fresh_verdicts:
            write(self._folder, self._fill)

    def look_up(self, paths: Iterable[str]) -> dict[str, Kept]:
        """The verdicts that still hold."""
        wanted = list(paths)
        rows = [row for row in ask(self._folder, _VERDICTS, json.dumps(wanted), self._key) if _is_sound(row)]
        behind = {path: _pairs(dependencies) for path, _, dependencies, _ in rows}
        names = {*wanted, *(path for pairs in behind.values() if pairs for path, _ in pairs)}
        self._state.files = {
            path: _Known(*known)
            for path, *known in ask(self._folder, _FILES, json.dumps(sorted(names)))
            if all(map(_plain, known))
        }
        return {
            path: Kept(verdict, tuple(name for name, _ in pairs))
            for path, digest, _, verdict in rows
            if (pairs := behind[path]) is not None and self._holds(path, digest, pairs)
        }

    def keep(self, path: str, verdict: str, dependencies: Iterable[str]) -> None:
        """Remembers a verdict, unless a file behind it changed while it was made."""
        pairs = [(name, self._digest(name)) for name in sorted({*dependencies} - {path, os.path.abspath(path)})]
        if not any(self._is_younger(name) for name in (path, *(name for name, _ in pairs))):
            self._state.fresh_verdicts[path] = (self._digest(path), json.dumps(pairs) if pairs else "", verdict)

    def _holds(self, path: str, digest: str, behind: list[tuple[str, str]]) -> bool:
        same = digest != ABSENT and self._digest(path) == digest
        return same and all(self._digest(name) == then for name, then in behind)

    def _is_younger(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            return os.stat(path).st_mtime_ns > self._started
        return False

    def _digest(self, path: str) -> str:
        """The digest of a file's content, taken anew when its size or times have changed."""
        known = self._state.digests.get(path)
        if known is None:
            known = self._state.digests[path] = self._taken(path)
        return known

    def _taken(self, path: str) -> str:
        try:
            now = os.stat(path)
            before = self._state.files.get(path)
            if before and (before.size, before.modified, before.changed) == (
                now.st_size,
                now.st_mtime_ns,
                now.st_ctime_ns,
            ):
                return before.digest
            digest = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
        except (OSError, ValueError):
            return ABSENT
        settled = now.st_ctime_ns < self._started - SETTLED_SECONDS * 1e9
        modified = now.st_mtime_ns if settled else -1
        self._state.fresh_files[path] = _Known(now.st_size, modified, now.st_ctime_ns, digest)
        return digest

    def _fill(self, base: sqlite3.Connection) -> None:
        base.execute("INSERT OR REPLACE INTO keys VALUES (?, ?)", (self._key, time.time()))
        base.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", self._file_rows())
        base.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)", self._verdict_rows())
        base.execute(f"DELETE FROM keys WHERE key NOT IN (SELECT key FROM keys ORDER BY used DESC LIMIT {MOST_KEYS})")
        base.execute("DELETE FROM verdicts WHERE key NOT IN (SELECT key FROM keys)")

    def _file_rows(self) -> Iterator[tuple[str, int, int, int, str]]:
        for path, known in self._state.fresh_files.items():
            yield path, known.size, known.modified, known.changed, known.digest

    def _verdict_rows(self) -> Iterator[tuple[str, ...]]:
        for path, row in self._state.fresh_verdicts.items():
            yield self._key, path, *row


def ask(folder: Path, query: str, *values: str) -> list[tuple[Any, ...]]:
    """The rows of a query; none when there is no cache, or it cannot be read now."""
    file = folder / FILE
    if not file.is_file():
        return []
    try:
        with contextlib.closing(sqlite3.connect(file, PATIENCE_SECONDS)) as base:
            if base.execute("PRAGMA user_version").fetchone() != (SCHEMA,):
                return []
            return base.execute(query, values).fetchall()
    except (sqlite3.Error, OverflowError, UnicodeError):
        return []


def write(folder: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Fills the cache in one transaction; a damaged one is made anew, a locked one left alone."""
    for _ in range(2):
        try:
            make_folder(folder)
            with contextlib.closing(sqlite3.connect(folder / FILE, PATIENCE_SECONDS)) as base:
                base.execute("PRAGMA synchronous = OFF")
                with base:
                    _open(base)
                    fill(base)
            return
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "readonly" in str(error):
                return
        except (OSError, UnicodeError):
            return
        except sqlite3.Error:
            pass
        _remove_base(folder)


def _open(base: sqlite3.Connection) -> None:
    """Begins a transaction over tables that are as this version wants them."""
    base.execute("BEGIN IMMEDIATE")
    if base.execute("PRAGMA user_version").fetchone() != (SCHEMA,):
        for table in TABLES:
            base.execute(f"DROP TABLE IF EXISTS {table}")
    for table, columns in TABLES.items():
        base.execute(f"CREATE TABLE IF NOT EXISTS {table}({columns}) WITHOUT ROWID")
    base.execute(f"PRAGMA user_version = {SCHEMA}")


def _plain(value: object) -> bool:
    return isinstance(value, int | str)


def _is_sound(row: tuple[Any, ...]) -> bool:
    return all(isinstance(value, str) for value in row)


def _pairs(text: str) -> list[tuple[str, str]] | None:
    """Paths and digests; None when the text is damaged."""
    if not text:
        return []
    try:
        return [(str(path), str(digest)) for path, digest in json.loads(text)]
    except (ValueError, TypeError, RecursionError):
        return None


def key(version: str, *parts: object) -> str:
    """The name of everything but the files that a verdict depends on: the program, the working folder, settings."""
    text = json.dumps([version, _program(), os.getcwd(), *parts], default=str, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _program() -> list[tuple[str, int, int]]:
    """Name, size and time of every file of the program and its rules."""
    folders = [_PACKAGE, *([] if (_PACKAGE / "rules").is_dir() else [_PACKAGE.parent / "rules"])]
    return sorted(entry for folder in folders for entry in _stamps(str(folder)))


def _stamps(folder: str) -> Iterator[tuple[str, int, int]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_CODE):
                now = entry.stat()
                yield entry.path, now.st_size, now.st_mtime_ns
            elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                yield from _stamps(entry.path)


def make_folder(folder: Path) -> None:
    """Makes the cache's folder, marked as such for backup programs and git."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((TAG, TAG_TEXT), (".gitignore", "*\n")):
        if not (folder / name).exists():
            (folder / name).write_text(text, encoding="utf-8")


def _remove_base(folder: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            (folder / (FILE + ending)).unlink()


def clean(folder: Path) -> bool:
    """Removes a cache and says whether there was one; raises `UsageError` for a folder that is none of gradlint's."""
    if not folder.is_dir():
        return False
    if folder.is_symlink() or not (folder / TAG).is_file():
        raise UsageError(f"{folder}: not a cache of gradlint, it has no {TAG}")
    import shutil

    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be removed: {(error.strerror or str(error)).lower()}") from None
    return True
