"""What this machine grants: each limit of the worker is tried, in a process of its own, before it is claimed."""

from __future__ import annotations

import importlib.metadata
import mmap
import os
import pathlib
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from gradlint import kernel

LIBRARIES = (
    *("torch", "numpy", "torchvision", "timm", "transformers"),
    *("onnx", "libcst", "networkx", "pydantic", "nbformat", "IPython", "pygls", "dask", "ray"),
)
_PROBE_MEBIBYTES = 32
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class Grant:
    """One thing that was tried: whether it is there, and what that means."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class _Limit:
    name: str
    holds: Callable[[], bool]
    granted: str
    refused: str


def granted() -> tuple[Grant, ...]:
    """The limits that a traced file is held to here, and for each that the system refuses, what is left."""
    if not _tried(lambda: True):
        return (
            Grant("fork", False, "every file gets a process that imports torch anew; only its wall time is limited"),
        )
    return (Grant("fork", True, "torch is imported once"), *map(_grant, _LIMITS))


def installed() -> tuple[Grant, ...]:
    """Versions of Python and of every library that gradlint can use; nothing is imported."""
    return (Grant("python", True, f"{platform.python_version()} on {platform.platform()}"), *map(_library, LIBRARIES))


def _library(name: str) -> Grant:
    try:
        return Grant(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Grant(name, False, "not installed")


def _grant(limit: _Limit) -> Grant:
    ok = _tried(limit.holds)
    return Grant(limit.name, ok, limit.granted if ok else limit.refused)


def _tried(probe: Callable[[], bool]) -> bool:
    """Whether `probe` returns True in a forked process, which the limits that it sets die with."""
    if not hasattr(os, "fork"):
        return False
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if probe() else 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _memory_is_capped() -> bool:
    if not kernel.limit_data(_PROBE_MEBIBYTES):
        return False
    try:
        # Not through malloc, which may still hold enough that was freed.
        mmap.mmap(-1, 2 * _PROBE_MEBIBYTES * kernel.MEBIBYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return True
    return False


def _memory_is_seen() -> bool:
    return kernel.resident_bytes(os.getpid()) > 0


def _network_is_cut() -> bool:
    before = os.readlink("/proc/self/ns/net")
    return kernel.cut_network() and os.readlink("/proc/self/ns/net") != before


def _writes_are_refused() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        allowed = pathlib.Path(folder, "allowed")
        allowed.mkdir()
        pid = os.fork()
        if pid == 0:
            refused = kernel.forbid_writes(str(allowed)) and not _can_write(folder) and _can_write(str(allowed))
            os._exit(0 if refused else 1)
        return os.waitpid(pid, 0)[1] == 0


def _can_write(folder: str) -> bool:
    try:
        pathlib.Path(folder, "probe").write_text("")
    except OSError:
        return False
    return True


_LIMITS = (
    _Limit(
        "memory of one process",
        _memory_is_capped,
        "an allocation beyond the limit fails (RLIMIT_DATA)",
        "no hard limit for an allocation",
    ),
    _Limit(
        "memory of all processes",
        _memory_is_seen,
        "watched in /proc",
        "not watched: there is no /proc",
    ),
    _Limit(
        "processor time",
        lambda: kernel.limit_cpu(_PROBE_SECONDS),
        "limited (RLIMIT_CPU), and the wall time by the worker",
        "only the wall time is limited",
    ),
    _Limit(
        "network",
        _network_is_cut,
        "cut off (network namespace)",
        "refused to Python code by an audit hook, not to C code",
    ),
    _Limit(
        "writes and programs",
        _writes_are_refused,
        "refused by the kernel (Landlock) outside of a private temporary folder",
        "refused to Python code by an audit hook, not to C code",
    ),
    _Limit(
        "processes",
        lambda: kernel.die_with_parent() and kernel.adopt_orphans(),
        "none outlives its file's trace",
        "a process that leaves its group may outlive the trace",
    ),
)
