"""One job, performed in a process that ends with it: limits first, then the user's code, then one message."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import math
import os
import sys
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

from gradlint import kernel, sandbox, wire

DEFAULT_ENTRY = "gradlint.frontends.recorder.capture:capture"
_MESSAGE_LENGTH = 400  # code points of an exception's text that are kept
_CPU_SLACK = 5  # seconds of processor time allowed beyond every core's share of the wall limit
_NO_MESSAGE = 70  # exit code when not even the message could be written (EX_SOFTWARE)
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc")


@dataclass(frozen=True)
class Surroundings:
    """What the worker hands to a child: descriptors (`output` None drops what is printed) and a private folder."""

    result: int
    output: int | None
    private: str


def run(request: wire.Header, surroundings: Surroundings) -> NoReturn:
    """Performs `request` (keys `job`, `seconds`, `mebibytes`), writes its message and ends the process.

    Never returns into the caller, whatever the user's code does; a process that the user's code forked writes nothing.
    """
    performer = os.getpid()
    try:
        header, body = _perform(request, surroundings)
        if os.getpid() == performer:
            _flush()
            wire.write_message(surroundings.result, header, body)
            os._exit(0)
    finally:
        os._exit(_NO_MESSAGE)


def _perform(request: wire.Header, surroundings: Surroundings) -> tuple[wire.Header, bytes]:
    limit = request["mebibytes"]
    try:
        _enter(request, surroundings)
        module, _, function = request["job"].get("entry", DEFAULT_ENTRY).partition(":")
        payload = getattr(importlib.import_module(module), function)(request["job"])
        return {"status": "ok", "message": ""}, json.dumps(payload).encode()
    except SystemExit as stop:
        return {
            "status": "exited",
            "message": f"called exit({'' if stop.code is None else _line(repr(stop.code))})",
        }, b""
    except BaseException as error:
        if _is_out_of_memory(error):
            return {"status": "memory", "message": f"needed more than {limit} MiB"}, b""
        return {"status": "failed", "message": describe(error)}, b""


def _enter(request: wire.Header, surroundings: Surroundings) -> None:
    job = request["job"]
    _leave_terminal(surroundings.output)
    _guard_forks(surroundings.result)
    os.chdir(job.get("cwd", surroundings.private))
    sys.argv = [job.get("file", "")]
    sys.path[:0] = job.get("sys_path", [])
    kernel.limit_files(request["mebibytes"])
    kernel.limit_data(request["mebibytes"])
    kernel.limit_cpu(math.ceil(request["seconds"]) * (os.cpu_count() or 1) + _CPU_SLACK)
    sandbox.confine(surroundings.private)


def _leave_terminal(output: int | None) -> None:
    if hasattr(os, "setsid"):
        with contextlib.suppress(PermissionError):
            os.setsid()
    sink = os.open(os.devnull, os.O_WRONLY) if output is None else output
    for standard in (1, 2):
        os.dup2(sink, standard)
    os.close(sink)
    sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", encoding="utf-8", errors="replace", closefd=False) for fd in (1, 2))
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))
    faulthandler.enable()


def _guard_forks(result: int) -> None:
    """A process that the user's code forks cannot write the result and ends with its parent."""
    if not hasattr(os, "register_at_fork"):
        return
    kernel.die_with_parent()

    def disown() -> None:
        kernel.die_with_parent()
        with contextlib.suppress(OSError):
            os.close(result)

    os.register_at_fork(after_in_child=disown)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in _text(error) for sign in _OUT_OF_MEMORY)


def describe(error: BaseException) -> str:
    """One line: the exception's type, its text and the `file:line` of the innermost frame."""
    text, place = _line(_text(error)), _place(error)
    return f"{type(error).__name__}{': ' if text else ''}{text}{f' ({place})' if place else ''}"


def _text(error: BaseException) -> str:
    try:
        return str(error.msg) if isinstance(error, SyntaxError) else str(error)
    except Exception:
        return "an exception without a readable text"


def _line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _MESSAGE_LENGTH else words[: _MESSAGE_LENGTH - 1] + "…"


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames: list[Any] = list(traceback.walk_tb(error.__traceback__))
    places = [(frame.f_code.co_filename, line) for frame, line in frames]
    own = [place for place in places if not place[0].startswith("<frozen") and place[0] != __file__]
    return ":".join(map(str, own[-1])) if own else ""
