"""What a user's code may not do while it is traced: an audit hook that refuses, with the kernel's help where granted.

Refused are the network, other programs, signals to other processes, and writes outside of a private temporary folder.
A refusal is an ordinary `PermissionError` or `OSError`, which a file that expects failure can handle.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NoReturn

from gradlint import kernel

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/stdout", "/dev/stderr", "nul", "NUL"})
_PROGRAMS = frozenset(
    ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn")
)
_NETWORK = frozenset(
    f"socket.{name}"
    for name in ("connect", "bind", "sendto", "sendmsg", "getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo")
)
# Event: (index of the path, index of its folder's descriptor) for each path that must lie in the private folder.
_ENTRIES = {
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
}
_CONTENTS = {
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.chflags": ((0, None),),
    "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
}
_F_GETPATH = 50  # fcntl on macOS
_NO_FOLDER = -1  # what audit events carry for "no dir_fd"

Check = Callable[[str, tuple[Any, ...]], None]


def confine(private: str) -> None:
    """Takes this process's rights away for good; `private` is the only folder that it may still write to.

    Call it in the forked child, before the user's code, with a single thread.
    """
    network_is_cut = kernel.cut_network()
    kernel.forbid_writes(private)
    _use_private_folder(private)
    policy = Policy(os.path.realpath(private), network_is_cut=network_is_cut)
    _guard_native_calls(policy)
    sys.dont_write_bytecode = True
    checks = policy.checks()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        check = checks.get(event)
        if check is not None:
            check(event, arguments)

    sys.addaudithook(hook)


class Policy:
    """Judges audit events (https://docs.python.org/3/library/audit_events.html)."""

    def __init__(self, private: str, *, network_is_cut: bool) -> None:
        self._private = private
        self._network_is_cut = network_is_cut

    def checks(self) -> dict[str, Check]:
        """The check of every event that is looked at."""
        named: dict[str, Check] = {
            "open": self._open,
            "sqlite3.connect": self._database,
            "os.kill": self._signal,
            "os.killpg": self._signal,
        }
        entries = dict.fromkeys([*_ENTRIES, *_CONTENTS], self._change)
        return named | entries | dict.fromkeys(_PROGRAMS, self._program) | dict.fromkeys(_NETWORK, self._network)

    def require_private(self, path: Any, action: str) -> None:
        """Raises `PermissionError` unless `path` (links followed) lies in the private folder or is a null device."""
        name = os.fsdecode(path)
        if name not in _DEVICES and not self._holds(os.path.realpath(name)):
            refuse(f"{action} {name!r}")

    def _holds(self, path: str) -> bool:
        return path == self._private or path.startswith(self._private + os.sep)

    def _open(self, _event: str, arguments: tuple[Any, ...]) -> None:
        path, _mode, flags = arguments
        if isinstance(flags, int) and flags & _WRITING and not isinstance(path, int):
            self.require_private(path, "open for writing")

    def _change(self, event: str, arguments: tuple[Any, ...]) -> None:
        for path_at, folder_at in (_ENTRIES | _CONTENTS)[event]:
            path = arguments[path_at]
            if isinstance(path, int):
                continue  # a descriptor that was opened under the same policy
            name = os.path.join(_folder(arguments, folder_at), os.fsdecode(path))
            if event in _CONTENTS:
                self.require_private(name, event)
            elif not self._holds(os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))):
                refuse(f"{event} {name!r}")

    def _database(self, _event: str, arguments: tuple[Any, ...]) -> None:
        name = os.fsdecode(arguments[0])
        if name not in ("", ":memory:") and "mode=ro" not in name and "mode=memory" not in name:
            self.require_private(name, "open a database for writing:")

    def _signal(self, event: str, arguments: tuple[Any, ...]) -> None:
        if arguments[0] > 0 and _session(arguments[0]) != _session(0):
            refuse(f"{event} of another process")

    def _program(self, event: str, arguments: tuple[Any, ...]) -> None:
        refuse(f"{event} {arguments[0] if arguments else ''}".rstrip())

    def _network(self, event: str, arguments: tuple[Any, ...]) -> None:
        address = arguments[1] if event in ("socket.connect", "socket.bind") else None
        path = _socket_file(address)
        allowed = self._network_is_cut if path is None else self._holds(os.path.realpath(path))
        if not allowed:
            raise OSError(errno.ENETUNREACH, f"gradlint: no network while tracing: {event}")


def _socket_file(address: object) -> str | None:
    """The file behind the address of a local socket; a network namespace does not cover it."""
    name = os.fsdecode(address) if isinstance(address, (str, bytes)) else ""
    return name if name.strip("\0") == name != "" else None


def refuse(action: str) -> NoReturn:
    """Raises the `PermissionError` that a refused action gets."""
    raise PermissionError(errno.EPERM, f"gradlint: not allowed while tracing: {action}")


def _folder(arguments: tuple[Any, ...], index: int | None) -> str:
    descriptor = arguments[index] if index is not None and index < len(arguments) else None
    if descriptor is None or descriptor == _NO_FOLDER:
        return ""
    if sys.platform == "darwin":
        import fcntl

        return os.fsdecode(fcntl.fcntl(descriptor, _F_GETPATH, bytes(1024)).rstrip(b"\0"))
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _session(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return None


def _use_private_folder(private: str) -> None:
    for name in ("TMPDIR", "TEMP", "TMP", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        os.environ[name] = private
    tempfile.tempdir = private


def _guard_native_calls(policy: Policy) -> None:
    """Covers two calls that raise no audit event: a spawned `multiprocessing` child and `torch.save` to a path."""
    with contextlib.suppress(ImportError):
        import _posixsubprocess

        _posixsubprocess.fork_exec = lambda *_: refuse("start a program")
    torch = sys.modules.get("torch")
    if torch is None:
        return
    native = torch._C.PyTorchFileWriter

    class Writer(native):  # type: ignore[misc, valid-type]
        def __init__(self, target: Any, *arguments: Any, **options: Any) -> None:
            if isinstance(target, (str, bytes, os.PathLike)):
                policy.require_private(target, "open for writing")
            super().__init__(target, *arguments, **options)

    torch._C.PyTorchFileWriter = Writer
