"""The limits one by one: what the audit hook refuses without the kernel's help, and what `granted` says."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Callable

import pytest

from gradlint import kernel, machine, sandbox, wire

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="limits are set in a forked process")


def in_child(action: Callable[[], bool | None]) -> bool:
    """Whether `action` returns something true in a forked process."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if action() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def hooked(folder: pathlib.Path, code: str) -> bool:
    """Whether `code` is refused where the system grants neither Landlock nor a network namespace."""
    allowed = folder / "allowed"
    allowed.mkdir(exist_ok=True)

    def action() -> bool:
        kernel.cut_network = lambda: False
        kernel.forbid_writes = lambda _: False
        os.chdir(folder)
        if "torch" in code:
            import torch  # noqa: F401 - as in the worker, before the limits
        sandbox.confine(str(allowed))
        try:
            exec(code, {})
        except OSError as error:
            return "gradlint" in str(error)
        return False

    return in_child(action)


@pytest.mark.parametrize(
    "code",
    [
        "open('new', 'w')",
        "open(b'new', 'wb')",
        "open('allowed/../new', 'w')",
        "import io; io.FileIO('new', 'w')",
        "import os; os.open('new', os.O_CREAT | os.O_RDWR)",
        "import os; os.mkdir('new')",
        "import os; os.mkdir('new', dir_fd=os.open('.', os.O_RDONLY))",
        "import os; os.remove('kept')",
        "import os; os.replace('kept', 'allowed/kept')",
        "import os; os.chmod('kept', 0)",
        "import os; os.truncate('kept', 0)",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import multiprocessing as m; m.get_context('spawn').Process(target=print).start()",
        "import os; os.kill(os.getppid(), 0)",
        "import os; os.killpg(os.getpgid(os.getppid()), 0)",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.socket().bind(('127.0.0.1', 0))",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import socket; socket.gethostbyname('localhost')",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
        "import socket; socket.socket(socket.AF_UNIX).connect('/run/any')",
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0abstract')",
        "import sqlite3; sqlite3.connect('new')",
        "import torch; torch.save(torch.ones(1), 'new')",
    ],
)
def test_audit_hook_alone_refuses(tmp_path: pathlib.Path, code: str) -> None:
    (tmp_path / "kept").write_text("precious")
    if "killpg" in code or "getppid" in code:
        code = f"import os; os.setsid(); {code}"
    assert hooked(tmp_path, code)
    assert (tmp_path / "kept").read_text() == "precious"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "code",
    [
        "open('kept').read()",
        "open('allowed/new', 'w').write('x')",
        "import os; os.mkdir('allowed/new'); os.rmdir('allowed/new')",
        "open('/dev/null', 'w').write('x')",
        "import os; os.kill(os.getpid(), 0)",
        "import sqlite3; sqlite3.connect(':memory:').execute('create table t (x)')",
        "import sqlite3; sqlite3.connect('file:kept?mode=ro', uri=True)",
        "import socket; socket.socketpair()",
        "import os; r, w = os.pipe(); open(w, 'wb').write(b'x')",
        "import tempfile, shutil; shutil.rmtree(tempfile.mkdtemp())",
        "import tempfile; tempfile.TemporaryFile().write(b'x')",
    ],
)
def test_audit_hook_allows(tmp_path: pathlib.Path, code: str) -> None:
    (tmp_path / "kept").write_text("")
    assert not hooked(tmp_path, code)
    # A refusal and an error of its own both end the child; only a clean run reaches the last statement.
    marked = f"{code}\nraise OSError('gradlint: reached')"
    assert hooked(tmp_path, marked)


def test_data_limit_fails_the_allocation_not_the_process() -> None:
    def action() -> bool:
        if not kernel.limit_data(32):
            return True
        with pytest.raises(MemoryError):
            bytearray(512 * kernel.MEBIBYTE)
        return bool(bytearray(8 * kernel.MEBIBYTE))

    assert in_child(action)


def test_file_size_is_limited(tmp_path: pathlib.Path) -> None:
    def action() -> bool:
        kernel.limit_files(1)
        with open(tmp_path / "big", "wb", buffering=0) as file:
            file.write(bytes(kernel.MEBIBYTE))
            with pytest.raises(OSError, match="large"):
                file.write(b"x")
        return True

    assert in_child(action)


def test_descendants_finds_grandchildren() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        grandchild = os.fork()
        if grandchild == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        os.close(read)
        os.close(write)
        os.waitpid(grandchild, 0)
        os._exit(0)
    try:
        for _ in range(1000):
            if len(kernel.descendants(pid)) == 1:
                break
            time.sleep(0.01)
        assert len(kernel.descendants(pid)) == 1
        assert set(kernel.descendants(os.getpid())) >= {pid, *kernel.descendants(pid)}
    finally:
        os.close(read)
        os.close(write)
        os.waitpid(pid, 0)


def test_scan_and_task_files_agree() -> None:
    pid = os.fork()
    if pid == 0:
        os.read(os.pipe()[0], 1)
    try:
        assert pid in kernel._children_by_scan(os.getpid())
        if kernel._children_by_task(os.getpid()):
            assert sorted(kernel._children_by_task(os.getpid())) == sorted(kernel._children_by_scan(os.getpid()))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_limits_of_this_process_stay_as_they_are(tmp_path: pathlib.Path) -> None:
    machine.granted()
    assert len(bytearray(128 * kernel.MEBIBYTE)) == 128 * kernel.MEBIBYTE
    (tmp_path / "new").write_text("")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux grants these")
def test_granted_names_every_limit_once() -> None:
    grants = machine.granted()
    assert [grant.name for grant in grants] == list(dict.fromkeys(grant.name for grant in grants))
    assert {grant.name for grant in grants if grant.ok} >= {"fork", "memory of one process", "processor time"}


def test_a_refused_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "cut_network", lambda: False)
    monkeypatch.setattr(kernel, "limit_data", lambda _: True)  # claims success, does nothing
    grants = {grant.name: grant for grant in machine.granted()}
    assert not grants["network"].ok
    assert "audit hook" in grants["network"].detail
    assert not grants["memory of one process"].ok


def test_installed_versions() -> None:
    versions = {grant.name: grant for grant in machine.installed()}
    assert versions["python"].detail.startswith(".".join(map(str, sys.version_info[:3])))
    assert versions["pydantic"].ok
    assert machine._library("no-such-library") == machine.Grant("no-such-library", False, "not installed")


def test_message_survives_any_split() -> None:
    read, write = os.pipe()
    wire.write_message(write, {"status": "ok"}, b"body")
    data = os.read(read, 1000)
    inbox = wire.Inbox()
    for index in range(len(data)):
        assert not inbox.complete
        inbox.feed(data[index : index + 1])
    assert inbox.message() == ({"status": "ok"}, b"body")
    os.close(write)
    assert wire.read_message(read) is None
    os.close(read)


def test_message_that_claims_too_much_is_refused() -> None:
    inbox = wire.Inbox()
    inbox.feed(b"\xff" * 16)
    assert inbox.too_large
