"""What the operating system can enforce on a process: resource limits, no network, no writes, death with its parent.

Every function says whether the system granted what it asked for and never raises for a refusal, so that the caller can
fall back and `gradlint doctor` can tell. Linux grants all of it, other systems the resource limits at most.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import sys

LINUX = sys.platform.startswith("linux")
MEBIBYTE = 1024**2

# linux/prctl.h, linux/sched.h
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

# linux/landlock.h; the three calls have the same numbers on every architecture
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULESET_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _REMOVE_FILE, _MAKE_REGULAR = 1 << 0, 1 << 1, 1 << 5, 1 << 8
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_REFER_ABI, _TRUNCATE_ABI, _NETWORK_ABI = 2, 3, 4
_BIND_AND_CONNECT_TCP = 3
_WRITABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_SHARED_MEMORY = "/dev/shm"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return LINUX and _libc().prctl(option, value, 0, 0, 0) == 0


def die_with_parent() -> bool:
    """Has the kernel kill this process when the process that forked it ends."""
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> bool:
    """Makes this process the parent of descendants whose own parent ends, so that none escapes."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def limit_data(mebibytes: int) -> bool:
    """Lets private writable memory grow by `mebibytes` from now on; an allocation beyond fails with an ordinary error.

    RLIMIT_AS would also count reserved, never used address space, of which torch and thread stacks take gigabytes.
    """
    used = data_bytes()
    return used is not None and _set_limit("RLIMIT_DATA", used + mebibytes * MEBIBYTE)


def limit_cpu(seconds: int) -> bool:
    """Ends the process by SIGXCPU after so much processor time."""
    return _set_limit("RLIMIT_CPU", seconds)


def limit_files(mebibytes: int) -> bool:
    """Caps the size of every file that is written, and allows no core dumps."""
    return _set_limit("RLIMIT_CORE", 0) and _set_limit("RLIMIT_FSIZE", mebibytes * MEBIBYTE)


def _set_limit(name: str, value: int) -> bool:
    try:
        import resource

        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    except (ImportError, AttributeError, OSError, ValueError):
        return False
    return True


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; the number where it has no name."""
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return str(number)


def data_bytes() -> int | None:
    """Private writable address space of this process in bytes; None where there is no /proc."""
    values = _status("self")
    return values.get("VmData")


def resident_bytes(pid: int) -> int:
    """Memory in bytes that a process holds and no file backs; 0 when it has ended or there is no /proc."""
    values = _status(str(pid))
    return values.get("RssAnon", 0) + values.get("RssShmem", 0)


def _status(pid: str) -> dict[str, int]:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
            fields = (line.split() for line in lines if line.endswith("kB\n"))
            return {field[0][:-1]: int(field[1]) * 1024 for field in fields}
    except OSError:
        return {}


def descendants(pid: int) -> list[int]:
    """The children of a process, their children and so on, without itself; empty where there is no /proc."""
    children = _children_by_task if os.path.exists(f"/proc/self/task/{os.getpid()}/children") else _children_by_scan
    found, waiting = [], children(pid)
    while waiting:
        found.append(waiting.pop())
        waiting += children(found[-1])
    return found


def _children_by_task(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                children += map(int, file.read().split())
    return children


def _children_by_scan(pid: int) -> list[int]:
    """For kernels without CONFIG_PROC_CHILDREN."""
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == pid]
    return []


def _parent(pid: str) -> int | None:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as stat:
        # The name in parentheses may hold anything; the state and the parent follow the last one.
        return int(stat.read().rpartition(b")")[2].split()[1])
    return None


def cut_network() -> bool:
    """Moves this single-threaded process into a network namespace of its own, which has no interface up."""
    if not LINUX:
        return False
    user, group = os.getuid(), os.getgid()
    libc = _libc()
    if libc.unshare(_CLONE_NEWNET) == 0:
        return True
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    _keep_identity(user, group)
    return True


def _keep_identity(user: int, group: int) -> None:
    """In a new user namespace: the user and the group stay what they were."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def forbid_writes(writable: str) -> bool:
    """Has the kernel refuse writes outside of the folder `writable` and the start of any program (Landlock).

    Unlike an audit hook it also sees files that C++ code opens, such as those of `torch.save`.
    """
    if not LINUX:
        return False
    libc = _libc()
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _RULESET_VERSION)
    if version < 1:
        return False
    writing = _WRITE_FILE | _REMOVE_AND_MAKE
    writing |= _REFER if version >= _REFER_ABI else 0
    writing |= _TRUNCATE if version >= _TRUNCATE_ABI else 0
    ruleset = _create_ruleset(libc, writing | _EXECUTE, with_network=version >= _NETWORK_ABI)
    if ruleset < 0:
        return False
    file_access = writing & (_WRITE_FILE | _TRUNCATE)
    _allow(libc, ruleset, writable, writing)
    _allow(libc, ruleset, _SHARED_MEMORY, file_access | _REMOVE_FILE | _MAKE_REGULAR)
    for device in _WRITABLE_DEVICES:
        _allow(libc, ruleset, device, file_access)
    granted = _prctl(_PR_SET_NO_NEW_PRIVS, 1) and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return granted


def _create_ruleset(libc: ctypes.CDLL, files: int, *, with_network: bool) -> int:
    attributes = struct.pack("=QQ", files, _BIND_AND_CONNECT_TCP) if with_network else struct.pack("=Q", files)
    return int(libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, access: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, folder), 0)
    os.close(folder)
