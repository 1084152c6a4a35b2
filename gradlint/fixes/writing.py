"""Fixed files on disk: all at once or not at all, with the mode, the owner and the bytes that nobody changed."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from gradlint.errors import UsageError
from gradlint.source import Source

WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def check_writable(path: str) -> None:
    """Raises `UsageError` for a file that nobody may write, or whose folder takes no file."""
    real = os.path.realpath(path)
    if not os.stat(real).st_mode & WRITABLE or not os.access(real, os.W_OK):
        raise UsageError(f"{path}: cannot be fixed: the file is read-only")
    if not os.access(os.path.dirname(real), os.W_OK):
        raise UsageError(f"{path}: cannot be fixed: its folder is read-only")


def write(path: str, old: Source, new: Source) -> None:
    """Replaces a file that still is `old`, behind symbolic links; raises `UsageError` when that cannot be."""
    real = Path(os.path.realpath(path))
    try:
        if real.read_bytes() != old.encoded():
            raise UsageError(f"{path}: not fixed, since it changed while it was linted: run gradlint again")
        _replace(real, new.encoded())
    except OSError as error:
        raise UsageError(f"{path}: cannot be fixed: {(error.strerror or str(error)).lower()}") from None


def _replace(path: Path, data: bytes) -> None:
    held = path.stat()
    number, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        with contextlib.suppress(OSError):
            os.chown(draft, held.st_uid, held.st_gid)
        os.chmod(draft, stat.S_IMODE(held.st_mode))
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
