"""Where a call stands in the user's code: cheap to take while recording, decoded to lines and columns afterwards."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import linecache
import pathlib
import re
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FrameType

from gradlint.graph import Frame

DEPTH = 60
"""Frames that are looked at from a call outwards."""

KEPT = 16
"""Frames that are kept of one call."""

RawFrame = tuple[CodeType, int]
"""A code object and the offset of its running instruction, in bytes."""

RawFrames = tuple[RawFrame, ...]

_GRADLINT = str(pathlib.Path(__file__).resolve().parents[2])
_TORCH = str(pathlib.Path(importlib.util.find_spec("torch").origin).parent)  # type: ignore[union-attr, arg-type]
_SKIPPED = (_GRADLINT + "/", _TORCH + "/", "<frozen", "<__array_function__", "<eval_with_key>")
_LIBRARIES = tuple(
    {
        *(
            str(pathlib.Path(folder).resolve()) + "/"
            for folder in [*site.getsitepackages(), site.getusersitepackages()]
        ),
        *(sysconfig.get_path(kind) + "/" for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
    }
)

RESUMED = re.compile(r"torch_dynamo_resume_in_(.+)_at_\d+")
"""What Dynamo calls the rest of a function behind a break."""

_skipped: dict[str, bool] = {}
_stands_for: dict[str, Mapping[int, tuple[Frame, ...]]] = {}


@contextlib.contextmanager
def standing_for(lines: Mapping[str, Mapping[int, tuple[Frame, ...]]]) -> Iterator[None]:
    """Inside it, lines of generated code, by file name and number, are told as the frames that they stand for."""
    _stands_for.update(lines)
    _skipped.update(dict.fromkeys(lines, False))
    try:
        yield
    finally:
        for name in lines:
            _stands_for.pop(name, None)
            _skipped.pop(name, None)


def is_skipped(filename: str) -> bool:
    """Whether frames of this file are left out of every chain: torch's own and gradlint's."""
    known = _skipped.get(filename)
    if known is None:
        known = _skipped[filename] = filename.startswith(_SKIPPED) and "/gradlint/demo" not in filename
    return known


@functools.cache
def is_library(filename: str) -> bool:
    """Whether a file belongs to the standard library or to an installed package."""
    return filename.startswith(("<", *_LIBRARIES, sys.prefix + "/lib/", sys.base_prefix + "/lib/"))


def take(frame: FrameType | None) -> RawFrames:
    """The frames from a call outwards, innermost first, torch's and gradlint's own left out."""
    taken: list[RawFrame] = []
    for _ in range(DEPTH):
        if frame is None or len(taken) >= KEPT:
            break
        code = frame.f_code
        if not is_skipped(code.co_filename):
            taken.append((code, frame.f_lasti))
        frame = frame.f_back
    return tuple(taken)


@functools.cache
def _positions(code: CodeType) -> list[tuple[int | None, int | None, int | None, int | None]]:
    return list(code.co_positions())


def code_points(path: str, line: int, offset: int) -> int:
    """The 1-based column in code points of a 0-based offset in UTF-8 bytes."""
    text = linecache.getline(path, line)
    return offset + 1 if text.isascii() else len(text.encode()[:offset].decode(errors="ignore")) + 1


def decode(raw: RawFrame) -> Frame:
    """The source position of a raw frame."""
    code, offset = raw
    if code.co_filename in _stands_for:
        return _behind(code, offset)[0]
    return _decode(code, offset)


def _behind(code: CodeType, offset: int) -> tuple[Frame, ...]:
    """The frames that a line of generated code stands for."""
    position = _decode(code, offset)
    return _stands_for[code.co_filename].get(position.line) or (position,)


@functools.lru_cache(maxsize=65536)
def _decode(code: CodeType, offset: int) -> Frame:
    line, end_line, start, end = _positions(code)[max(offset, 0) // 2] if offset >= 0 else (None, None, None, None)
    line = line or code.co_firstlineno
    end_line = end_line or line
    path = code.co_filename
    return Frame(
        path=path,
        line=line,
        column=code_points(path, line, start or 0),
        end_line=end_line,
        end_column=code_points(path, end_line, end or 0),
        function=code.co_qualname,
        user=not is_library(path),
    )


def decoded(raw: RawFrames) -> tuple[Frame, ...]:
    """The source positions of a chain of raw frames."""
    if not _stands_for:
        return tuple(_decode(code, offset) for code, offset in raw)
    return tuple(
        frame
        for code, offset in raw
        for frame in (_behind(code, offset) if code.co_filename in _stands_for else (_decode(code, offset),))
    )


def of_summaries(stack: Iterable[traceback.FrameSummary]) -> tuple[Frame, ...]:
    """The source positions of a printable stack, innermost first, torch's and gradlint's own left out."""
    return tuple(_summary(entry) for entry in reversed(list(stack)) if not is_skipped(entry.filename))


def _summary(entry: traceback.FrameSummary) -> Frame:
    path, line = entry.filename, entry.lineno or 1
    end_line = getattr(entry, "end_lineno", None) or line
    start, stop = getattr(entry, "colno", None) or 0, getattr(entry, "end_colno", None) or 0
    return Frame(
        path=path,
        line=line,
        column=code_points(path, line, start),
        end_line=end_line,
        end_column=code_points(path, end_line, stop),
        function=RESUMED.sub(r"\1", entry.name),
        user=not is_library(path),
    )


def definition(code: CodeType) -> Frame:
    """The head of a function: the line of its first decorator, else of its `def`."""
    line = code.co_firstlineno
    text = linecache.getline(code.co_filename, line).rstrip("\n")
    start = len(text) - len(text.lstrip())
    return Frame(
        path=code.co_filename,
        line=line,
        column=start + 1,
        end_line=line,
        end_column=len(text.rstrip()) + 1,
        function=code.co_qualname,
        user=not is_library(code.co_filename),
    )
