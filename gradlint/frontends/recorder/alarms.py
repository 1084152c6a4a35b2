"""Time limits inside of one process, one within the other."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

SOON = 1e-3
"""Seconds after which an outer alarm rings that came due while an inner one was set."""


@contextlib.contextmanager
def alarm(seconds: float, ring: Callable[[], None], repeat: float = 0.0) -> Iterator[None]:
    """Calls `ring`, which raises, in the block after `seconds`, and again each `repeat` seconds.

    An alarm around it keeps its time. Does nothing off the main thread and where there are no timers.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, lambda *_: ring())
    started = time.monotonic()
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds, repeat)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), SOON), again)
