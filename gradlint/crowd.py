"""Several processes that judge files side by side. One that dies costs the file that it was at, nothing else."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

END_SECONDS = 1.0
"""What a process may take to be gone when it has closed its pipe."""


class DiedError(Exception):
    """A process ended before it answered."""


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    work: Callable[[Item], Answer], items: Sequence[Item], width: int
) -> Iterator[tuple[Item, Answer | DiedError]]:
    """Every item with its answer, as the answers come, from `width` processes.

    `work` must be importable where processes are not forked, and its answers must travel between processes.
    """
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    waiting = list(reversed(items))
    busy: dict[Connection, tuple[BaseProcess, Item]] = {}
    try:
        for _ in range(min(width, len(items))):
            _employ(context, work, waiting, busy)
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                process, item = busy.pop(connection)
                try:
                    answer = connection.recv()
                except (EOFError, OSError):
                    answer = _death(process)
                    _employ(context, work, waiting, busy)
                else:
                    _hand_over(connection, process, waiting, busy)
                yield item, answer
    finally:
        for process, _ in busy.values():
            process.kill()


def _employ(
    context: BaseContext,
    work: Callable[[Item], Answer],
    waiting: list[Item],
    busy: dict[Connection, tuple[BaseProcess, Item]],
) -> None:
    """Starts a process and hands it the next item, if there is one."""
    if not waiting:
        return
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    _hand_over(ours, process, waiting, busy)


def _hand_over(
    connection: Connection,
    process: BaseProcess,
    waiting: list[Item],
    busy: dict[Connection, tuple[BaseProcess, Item]],
) -> None:
    """Gives a process the next item, or leave to end."""
    with contextlib.suppress(OSError):
        # A process that has just died is noticed when its answer is waited for.
        if waiting:
            busy[connection] = (process, waiting[-1])
            connection.send((waiting.pop(),))
        else:
            connection.send(())


def _death(process: BaseProcess) -> DiedError:
    process.join(END_SECONDS)
    code = process.exitcode or 0
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return DiedError(f"the process that read it ended ({name})")


def _serve(connection: Connection, work: Callable[[Item], Answer]) -> None:
    """The life of one process: answers items until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):
        while message := connection.recv():
            connection.send(work(message[0]))
