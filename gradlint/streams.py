"""Standard output and standard error."""

from __future__ import annotations

import os
import sys

OUTPUT, NOTES = 1, 2


def prepare() -> None:
    """Lets the streams take every character: what a terminal cannot show is escaped."""
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")


def write(number: int, text: str) -> None:
    """Writes to the output or the notes; a reader that went away (`| head`) is no fault."""
    stream = sys.stderr if number == NOTES else sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
