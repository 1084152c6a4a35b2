"""The process that has imported torch once and forks a child for every job.

It stays single-threaded: a fork after a multi-threaded OpenMP call leaves the child waiting for threads that are gone.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field

from gradlint import child, kernel, wire

_TICK = 0.05  # seconds between two looks at memory and time
_TAIL = 4096  # bytes of a child's output that are kept
_CHUNK = 1 << 16
_MOST_PROCESSES = 64
_SWEEPS = 200
_SWEEP_PAUSE = 0.005  # seconds

Verdict = tuple[wire.Header, bytes]


class _ParentGoneError(Exception):
    """The parent has closed the pipe: nobody waits for the result."""


@dataclass
class _Task:
    """A running child, and what has been read from it."""

    pid: int
    result: int
    output: int
    seconds: float
    mebibytes: int
    started: float
    shared: int
    inbox: wire.Inbox = field(default_factory=wire.Inbox)
    tail: bytearray = field(default_factory=bytearray)
    exit_code: int | None = None
    next_look: float = 0.0

    def read(self, descriptor: int) -> bool:
        """Takes what a pipe holds; False at its end."""
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        if descriptor == self.result:
            self.inbox.feed(chunk)
        else:
            self.tail += chunk
            del self.tail[:-_TAIL]
        return bool(chunk)

    def has_ended(self) -> bool:
        """Reaps the child when it has ended."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.exit_code = os.waitstatus_to_exitcode(status) if pid else None
        return self.exit_code is not None


def serve() -> None:
    """Answers jobs until the parent closes the pipe; `sys.argv[1]` is JSON with `modules`, `folder` and `forks`."""
    options = json.loads(sys.argv[1])
    jobs, replies = _claim_pipes()
    trouble = _warm_up(options["modules"])
    wire.write_all(replies, wire.READY)
    wire.write_message(replies, {"status": "ready", "message": trouble})
    kernel.adopt_orphans()
    with contextlib.suppress(BrokenPipeError, _ParentGoneError):
        while (message := wire.read_message(jobs)) is not None:
            private = tempfile.mkdtemp(dir=options["folder"])
            if not options["forks"]:
                child.run(message[0], child.Surroundings(replies, None, private))
            wire.write_message(replies, *_attend(message[0], jobs, replies, private))
    shutil.rmtree(options["folder"], ignore_errors=True)


def _claim_pipes() -> tuple[int, int]:
    """Moves the pipes from standard input and output to descriptors that no print can reach."""
    jobs, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return jobs, replies


def _warm_up(modules: list[str]) -> str:
    """Imports what every job needs; when that is impossible, the reason in one line."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            return f"{error.name or name} is not installed, so nothing can be traced: install it or use --source"
        except BaseException as error:
            return f"{name} cannot be imported: {child.describe(error)}"
    _touch_torch()
    gc.collect()
    gc.freeze()
    return ""


def _touch_torch() -> None:
    """Runs the first operations here, so that no child pays for their set-up."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.set_num_threads(1)
    output = torch.nn.Linear(2, 2)(torch.ones(2, 2)).sum()
    if sys.platform != "darwin" and not torch.cuda.is_available():
        # With an accelerator the first backward starts threads, and autograd then refuses to work in a fork.
        output.backward()


def _attend(request: wire.Header, jobs: int, replies: int, private: str) -> Verdict:
    """Forks a child for one job and waits for its message, its end or the end of its limits."""
    task = _fork(request, private, inherited=(jobs, replies))
    try:
        header, body = _watch(task, jobs)
    finally:
        _end(task)
        shutil.rmtree(private, ignore_errors=True)
    return header | {"output_tail": task.tail.decode("utf-8", "replace")}, body


def _fork(request: wire.Header, private: str, inherited: tuple[int, ...]) -> _Task:
    result, result_end = os.pipe()
    output, output_end = os.pipe()
    shared = kernel.resident_bytes(os.getpid())
    pid = os.fork()
    if pid == 0:
        for descriptor in (*inherited, result, output):
            os.close(descriptor)
        child.run(request, child.Surroundings(result_end, output_end, private))
    for descriptor in (result_end, output_end):
        os.close(descriptor)
    for descriptor in (result, output):
        os.set_blocking(descriptor, False)
    return _Task(pid, result, output, request["seconds"], request["mebibytes"], time.monotonic(), shared)


def _watch(task: _Task, jobs: int) -> Verdict:
    poller = select.poll()
    poller.register(jobs, 0)
    for descriptor in (task.result, task.output):
        poller.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poller.poll(_TICK * 1000):
            if descriptor == jobs:
                raise _ParentGoneError
            if not task.read(descriptor):
                poller.unregister(descriptor)
        verdict = _judge(task)
        if verdict is not None:
            return verdict


def _judge(task: _Task) -> Verdict | None:
    """The message when it has arrived, the reason to stop when there is one, else None."""
    if task.inbox.too_large:
        return _stopped("failed", f"the result is larger than {wire.BODY_LIMIT // kernel.MEBIBYTE} MiB")
    if task.inbox.complete:
        return task.inbox.message()
    now = time.monotonic()
    if now - task.started > task.seconds:
        return _stopped("timeout", f"took more than {task.seconds:g} s")
    if task.has_ended():
        return _after_end(task)
    if now < task.next_look:
        return None
    task.next_look = now + _TICK
    return _over_limits(task)


def _over_limits(task: _Task) -> Verdict | None:
    family = [task.pid, *kernel.descendants(task.pid)]
    if len(family) > _MOST_PROCESSES:
        return _stopped("killed", f"started more than {_MOST_PROCESSES} processes")
    # What the child still shares with this process, torch above all, is not of its making.
    used = sum(max(0, kernel.resident_bytes(pid) - task.shared) for pid in family)
    return _stopped("memory", _needed_more(task)) if used > task.mebibytes * kernel.MEBIBYTE else None


def _after_end(task: _Task) -> Verdict:
    while task.read(task.result) and not task.inbox.complete:
        pass
    if task.inbox.complete:
        return task.inbox.message()
    code = task.exit_code or 0
    if code >= 0:
        return _stopped("exited", f"ended the process with exit code {code}")
    if -code == getattr(signal, "SIGXCPU", None):
        return _stopped("timeout", f"took more processor time than {task.seconds:g} s allow")
    return _stopped("killed", f"ended by signal {kernel.signal_name(-code)}")


def _needed_more(task: _Task) -> str:
    return f"needed more than {task.mebibytes} MiB"


def _stopped(status: str, message: str) -> Verdict:
    return {"status": status, "message": message}, b""


def _end(task: _Task) -> None:
    """Kills the child's whole group and every descendant that left it, and keeps the end of the output."""
    for kill in (os.killpg, os.kill):
        if kill is os.killpg or task.exit_code is None:
            with contextlib.suppress(OSError):
                kill(task.pid, signal.SIGKILL)
    if task.exit_code is None:
        os.waitpid(task.pid, 0)
    _sweep()
    with contextlib.suppress(OSError):
        while task.read(task.output):
            pass
    for descriptor in (task.result, task.output):
        os.close(descriptor)


def _sweep() -> None:
    """Kills adopted orphans until none is left; a stopped or dying process may take a moment."""
    for _ in range(_SWEEPS):
        for orphan in kernel.descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(orphan, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_SWEEP_PAUSE)
