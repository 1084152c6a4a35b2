"""What reaches the user: text on stdout, notes on stderr, reports in files."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlint import streams
from gradlint.errors import UsageError

if TYPE_CHECKING:
    from gradlint.config import Settings
    from gradlint.encore import Basis
    from gradlint.finding import Report

INTERNAL = "internal"
"""The code of a failure in a report that is gradlint's own fault."""

ISSUES = "https://github.com/gradlint/gradlint/issues"


@dataclass
class Session:
    """One command line: when it began (nanoseconds), what it said and, if that may be said again, what it rests on."""

    started: int = field(default_factory=time.time_ns)
    said: list[tuple[int, str]] = field(default_factory=list)
    basis: Basis | None = None
    cache: Path = Path()


_SESSION: ContextVar[Session | None] = ContextVar("session", default=None)


@contextmanager
def session() -> Iterator[Session]:
    """Remembers what is said inside."""
    fresh = Session()
    token = _SESSION.set(fresh)
    try:
        yield fresh
    finally:
        _SESSION.reset(token)


def rest_on(files: frozenset[str], folders: tuple[str, ...], cache: Path) -> None:
    """Allows that this run's words are said again as long as some files and folders stay as they are."""
    now = _SESSION.get()
    if now is not None:
        from gradlint.encore import basis

        now.basis, now.cache = basis(files, folders, now.started), cache


def _write(number: int, text: str) -> None:
    now = _SESSION.get()
    if now is not None:
        now.said.append((number, text))
    streams.write(number, text)


def publish(report: Report, settings: Settings) -> None:
    from gradlint.report import render

    for text in settings.output:
        form, file = split_output(text)
        write_file(Path(file), render(form, report, view(settings, color=False)))
    say(render(settings.output_format, report, view(settings)))
    note_failures(report, settings)
    if not settings.quiet:
        from gradlint.report.summary import summary

        for item in report.skipped:
            note(f"{item.path} is left out: {item.why}")
        for remark in report.remarks:
            note(remark)
        for line in summary(report):
            note(line)


def note_failures(report: Report, settings: Settings) -> None:
    """Says what went wrong on the way, one line each."""
    for failure in report.failures:
        if failure.code == INTERNAL:
            note(f"internal error on {failure.path}: {failure.message}; please report it at {ISSUES}")
        elif settings.require_trace:
            note(f"not traced, and --require-trace asks for it: {failure.path}: {failure.message}")


def view(settings: Settings, color: bool | None = None) -> Any:
    from gradlint.notebook import cell_reader
    from gradlint.report import View
    from gradlint.source import line_reader

    wanted = colored(settings.color) if color is None else color
    return View(line_reader(), wanted, cell_reader())


def colored(wish: str) -> bool:
    if wish != "auto":
        return wish == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def split_output(text: str) -> tuple[str, str]:
    form, colon, file = text.partition(":")
    if not colon or not file:
        raise UsageError(f"--output {text}: write it as FORMAT:FILE, such as json:report.json")
    return form, file


def write_file(path: Path, text: str | bytes) -> None:
    """Writes a file at once: a reader sees the old text or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(text if isinstance(text, bytes) else text.encode())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None


def say(text: str) -> None:
    """Writes to stdout; a reader that went away (`| head`) is no fault."""
    _write(streams.OUTPUT, text)


def emit(data: bytes) -> None:
    """Writes bytes to stdout as they are."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note(text: str) -> None:
    """Writes one line to stderr."""
    _write(streams.NOTES, f"gradlint: {text}\n")
