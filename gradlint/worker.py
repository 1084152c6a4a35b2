"""The parent's side of the process that runs a user's code, and its limits; imports no torch.

```python
with Worker() as worker:
    outcome = worker.run({"file": "model.py", "cwd": "."}, Limits(seconds=60, mebibytes=4096))
```
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from gradlint import kernel, wire

DEFAULT_MODULES = ("torch", "gradlint.frontends.recorder.capture")
FORKS = hasattr(os, "fork")
_START_SECONDS = 300.0  # for the import of torch on a cold disk
_GRACE_SECONDS = 15.0  # what the server may take beyond a job's limit before it is given up
_CLOSE_SECONDS = 5.0
_EXIT_SECONDS = 1.0  # for a server that has closed its pipe to be gone
_BOOT = "import sys; sys.path.append({root!r}); from gradlint.fork_server import serve; serve()"
_ENVIRONMENT = {
    # One thread: a fork after a multi-threaded call hangs, and the cores belong to parallel workers.
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "VECLIB_MAXIMUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Nothing may wait for a person, a device or a server, and two runs must do the same.
    "PYTHONBREAKPOINT": "0",
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "Agg",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "WANDB_MODE": "disabled",
}

Status = Literal["ok", "failed", "timeout", "memory", "killed", "exited"]


@dataclass(frozen=True)
class Limits:
    """What one job may take: wall time in seconds, memory in MiB beyond what torch itself holds."""

    seconds: float = 60.0
    mebibytes: int = 4096


@dataclass(frozen=True)
class Outcome:
    """How a job ended; `payload` is set when `status` is "ok", `message` is one line otherwise."""

    status: Status
    payload: dict[str, Any] | None
    message: str = ""
    output_tail: str = ""


def torch_available() -> bool:
    """Whether torch is installed, without importing it."""
    with contextlib.suppress(ValueError, ImportError):
        return importlib.util.find_spec("torch") is not None
    return False


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    folder: pathlib.Path
    ready: threading.Event

    @property
    def jobs(self) -> int:
        assert self.process.stdin is not None
        return self.process.stdin.fileno()

    @property
    def replies(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def log(self) -> str:
        """The last line that the server itself wrote to its standard error."""
        with contextlib.suppress(OSError):
            lines = (self.folder / "log").read_text(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""


class Worker:
    """Starts the server when needed, hands it one job at a time and restarts it after its death. Not thread-safe.

    `modules` are imported once, before the first job. Without `forks` every job gets a server of its own.
    """

    def __init__(self, modules: Sequence[str] = DEFAULT_MODULES, *, forks: bool = FORKS) -> None:
        self._modules = tuple(modules)
        self._forks = forks
        self._server: _Server | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Starts the server and returns at once; torch is imported while the caller does other things."""
        if self._server is not None and self._server.process.poll() is not None:
            self.close()
        if self._server is None:
            self._server = _launch(self._modules, forks=self._forks)

    def run(self, job: dict[str, Any], limits: Limits | None = None) -> Outcome:
        """Performs one job: calls `job["entry"]` ("module:function") with `job` in a confined child.

        `job` is JSON-able; `file` becomes `sys.argv[0]`, `cwd` the working directory, `sys_path` (a list) goes before
        `sys.path`. The function's return value, a JSON-able dict, becomes the payload.
        """
        limits = limits or Limits()
        try:
            return self._ask(job, limits)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the server and every process below it, and removes their files."""
        server, self._server = self._server, None
        if server is not None:
            _shut(server, _CLOSE_SECONDS if self._forks else 0)

    def _ask(self, job: dict[str, Any], limits: Limits) -> Outcome:
        request = {"job": job, "seconds": limits.seconds, "mebibytes": limits.mebibytes}
        server, trouble = self._ready_server()
        if trouble:
            return Outcome("failed", None, trouble)
        allowed = limits.seconds + (_GRACE_SECONDS if self._forks else 0)
        with _deadline(server, allowed) as expired:
            reply = _exchange(server, request)
        if not self._forks or reply is None:
            self._server = None
            _shut(server, _EXIT_SECONDS)
        if reply is not None:
            return _outcome(*reply)
        if expired.is_set():
            return Outcome("timeout", None, f"took more than {limits.seconds:g} s")
        return _outcome_of_death(server.process.returncode)

    def _ready_server(self) -> tuple[_Server, str]:
        """A server that waits for a job, and the reason when it cannot take one."""
        self.start()
        assert self._server is not None
        server = self._server
        if server.ready.is_set():
            return server, ""
        with _deadline(server, _START_SECONDS):
            message = wire.read_message(server.replies) if wire.skip_to_ready(server.replies) else None
        trouble = (
            f"the worker did not start: {server.log() or 'no message'}" if message is None else message[0]["message"]
        )
        if trouble:
            self.close()
        server.ready.set()
        return server, trouble


def _launch(modules: Sequence[str], *, forks: bool) -> _Server:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gradlint-"))
    root = str(pathlib.Path(__file__).resolve().parent.parent)
    options = json.dumps({"modules": modules, "folder": str(folder), "forks": forks})
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            # -P: a file in the working directory must not shadow a module of the standard library.
            [sys.executable, "-P", "-c", _BOOT.format(root=root), options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            cwd=folder,
            env=os.environ | _ENVIRONMENT,
            start_new_session=True,
        )
    return _Server(process, folder, threading.Event())


def _exchange(server: _Server, request: wire.Header) -> tuple[wire.Header, bytes] | None:
    with contextlib.suppress(BrokenPipeError):
        wire.write_message(server.jobs, request)
        return wire.read_message(server.replies)
    return None


@contextlib.contextmanager
def _deadline(server: _Server, seconds: float) -> Iterator[threading.Event]:
    """Kills the server after so long, which ends every wait for it; yields whether that happened."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        server.process.kill()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _shut(server: _Server, patience: float) -> None:
    """Closes the pipe, upon which the server kills its child and ends; kills it when it does not."""
    assert server.process.stdin is not None
    assert server.process.stdout is not None
    try:
        server.process.stdin.close()
        server.process.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    finally:
        server.process.kill()
        server.process.wait()
        server.process.stdout.close()
        shutil.rmtree(server.folder, ignore_errors=True)


def _outcome(header: wire.Header, body: bytes) -> Outcome:
    if header["status"] != "ok":
        return Outcome(header["status"], None, header["message"], header.get("output_tail", ""))
    payload = json.loads(body)
    if not isinstance(payload, dict):
        return Outcome("failed", None, "the entry did not return a dict", header.get("output_tail", ""))
    return Outcome("ok", payload, "", header.get("output_tail", ""))


def _outcome_of_death(code: int) -> Outcome:
    if code >= 0:
        return Outcome("exited", None, f"ended the process with exit code {code}")
    return Outcome("killed", None, f"ended by signal {kernel.signal_name(-code)}")
