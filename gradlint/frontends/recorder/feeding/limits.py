"""Time limits of trials, and the exception of what cannot be found out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from gradlint.frontends.recorder.alarms import alarm

PATIENCE = 4
REPEAT_SECONDS = 0.5
"""How often a time limit that is over by the clock alone is looked at again."""


class Unknown(Exception):  # noqa: N818 - a value that is not known is no error
    """The expression has no value that can be found without running the file."""


class _Overdue(BaseException):
    """The time of a block is over."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Ends the block with Unknown after `seconds` of the process's own time; does nothing off the main thread.

    A machine that is busy with other things gets `PATIENCE` times as long by the clock.
    """
    end = time.process_time() + seconds
    latest = time.monotonic() + PATIENCE * seconds

    def stop() -> None:
        if time.process_time() >= end or time.monotonic() >= latest:
            raise _Overdue

    try:
        with alarm(seconds, stop, repeat=REPEAT_SECONDS):
            yield
    except _Overdue:
        raise Unknown("takes too long") from None
