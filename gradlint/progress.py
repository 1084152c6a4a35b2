"""What a long run says while it works: a line that is overwritten on a terminal, or one line a step with `-v`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 2.0
"""A run that is over sooner shows nothing."""


class Progress:
    """Called with one line for each step. `write` gets every line (`-v`); without it, `live` shows the newest one."""

    def __init__(self, write: Callable[[str], None] | None, live: bool) -> None:
        self._write = write
        self._newest = ""
        self._status: _Status | None = _Status(self) if live and write is None else None

    def __call__(self, text: str) -> None:
        self._newest = text
        if self._write is not None:
            self._write(text)
        elif self._status is not None:
            self._status.refresh()

    @property
    def newest(self) -> str:
        """The line of the newest step."""
        return self._newest

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()


class _Status:
    """A spinner on stderr that appears after a while."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._timer = threading.Timer(PATIENCE_SECONDS, self._appear)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._stopped = False
        self._spinner: object = None

    def start(self) -> None:
        self._timer.start()

    def _appear(self) -> None:
        from rich.console import Console

        with self._lock:
            if not self._stopped:
                self._spinner = Console(stderr=True).status(self._progress.newest or "working")
                self._spinner.start()

    def refresh(self) -> None:
        with self._lock:
            update = getattr(self._spinner, "update", None)
            if update is not None:
                update(self._progress.newest)

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._stopped = True
            finish = getattr(self._spinner, "stop", None)
            if finish is not None:
                finish()
