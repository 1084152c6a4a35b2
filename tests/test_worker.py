"""Every way in which a user's code can misbehave, in a real worker; the run goes on after each."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gradlint import kernel
from gradlint.worker import Limits, Outcome, Worker, torch_available

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the fork server needs fork")
LIMITS = Limits(seconds=20, mebibytes=1024)
Perform = Callable[..., Outcome]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(modules=("torch",)) as running:
        yield running


@pytest.fixture
def perform(worker: Worker, tmp_path: pathlib.Path) -> Perform:
    """Runs the body of a function `entry(job)`; the next job must succeed, whatever this one did."""

    def run(body: str, limits: Limits = LIMITS, **job: Any) -> Outcome:
        outcome = run_body(worker, tmp_path, body, limits, **job)
        assert run_body(worker, tmp_path, "return {'next': True}").payload == {"next": True}
        return outcome

    return run


def run_body(worker: Worker, folder: pathlib.Path, body: str, limits: Limits = LIMITS, **job: Any) -> Outcome:
    (folder / "entries.py").write_text("def entry(job):\n" + textwrap.indent(textwrap.dedent(body), "    "))
    return worker.run({"entry": "entries:entry", "sys_path": [str(folder)], "cwd": str(folder), **job}, limits)


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], bool]) -> bool:
    """Gives a condition that the kernel brings about ten seconds."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_payload_comes_back(perform: Perform) -> None:
    outcome = perform("return {'sum': job['numbers'][0] + job['numbers'][1]}", numbers=[2, 3])
    assert outcome == Outcome("ok", {"sum": 5})


def test_backward_works_in_the_child(perform: Perform) -> None:
    body = """
        import torch
        x = torch.ones(2, 3, requires_grad=True)
        (x * 2).sum().backward()
        return {'grad': x.grad.tolist(), 'threads': torch.get_num_threads()}
    """
    assert perform(body).payload == {"grad": [[2.0] * 3] * 2, "threads": 1}


def test_large_payload(perform: Perform) -> None:
    payload = perform("return {'text': 'x' * 30_000_000}").payload
    assert payload is not None
    assert len(payload["text"]) == 30_000_000


def test_payload_that_is_no_json(perform: Perform) -> None:
    outcome = perform("return {'x': object()}")
    assert outcome.status == "failed"
    assert "not JSON serializable" in outcome.message


def test_payload_that_is_no_dict(perform: Perform) -> None:
    assert perform("return [1]").status == "failed"


def test_exception_names_type_text_and_innermost_line(perform: Perform, tmp_path: pathlib.Path) -> None:
    body = """
        def inner():
            raise ValueError("two\\nlines")
        inner()
    """
    outcome = perform(body)
    assert outcome.status == "failed"
    assert outcome.message == f"ValueError: two lines ({tmp_path}/entries.py:4)"


def test_exception_without_a_text(perform: Perform) -> None:
    body = """
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError
        raise Odd
    """
    assert perform(body).message.startswith("Odd: an exception without a readable text")


def test_syntax_error_names_its_own_line(perform: Perform, tmp_path: pathlib.Path) -> None:
    (tmp_path / "broken.py").write_text("x = 1\ny = (\n")
    assert f"({tmp_path}/broken.py:2)" in perform("import broken").message


def test_missing_entry(worker: Worker) -> None:
    outcome = worker.run({"entry": "no_such_module:f"}, LIMITS)
    assert outcome.status == "failed"
    assert "no_such_module" in outcome.message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("exit(3)", "called exit(3)"),
        ("import sys; sys.exit('no data')", "called exit('no data')"),
        ("raise SystemExit", "called exit()"),
        ("import os; os._exit(4)", "ended the process with exit code 4"),
    ],
)
def test_exit(perform: Perform, call: str, message: str) -> None:
    assert perform(call) == Outcome("exited", None, message)


def test_segfault(perform: Perform) -> None:
    outcome = perform("import ctypes; ctypes.string_at(0)")
    assert (outcome.status, outcome.message) == ("killed", "ended by signal SIGSEGV")
    assert "entries.py" in outcome.output_tail  # where it happened


def test_keyboard_interrupt_in_the_code_is_an_ordinary_failure(perform: Perform) -> None:
    assert perform("raise KeyboardInterrupt").status == "failed"


def test_infinite_loop(perform: Perform) -> None:
    assert perform("while True: pass", Limits(seconds=1)) == Outcome("timeout", None, "took more than 1 s")


def test_loop_that_swallows_everything(perform: Perform) -> None:
    body = """
        import signal
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                while True: pass
            except BaseException: pass
    """
    assert perform(body, Limits(seconds=1)).status == "timeout"


def test_stopped_process_times_out(perform: Perform) -> None:
    assert perform("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", Limits(seconds=1)).status == "timeout"


def test_endless_thread_does_not_hold_the_result_back(perform: Perform) -> None:
    body = """
        import threading, time
        threading.Thread(target=time.sleep, args=(1000,)).start()
        return {}
    """
    assert perform(body).status == "ok"


@pytest.mark.parametrize(
    "hog",
    [
        "import torch; torch.nn.Linear(40_000, 40_000)",
        "import torch; held = [torch.ones(1_000_000) for _ in range(400)]",
        "held = [bytes([1]) * 1_000_000 for _ in range(800)]",
    ],
)
def test_memory(perform: Perform, hog: str) -> None:
    outcome = perform(hog, Limits(seconds=20, mebibytes=300))
    assert (outcome.status, outcome.message) == ("memory", "needed more than 300 MiB")


def test_memory_of_all_processes_counts(perform: Perform) -> None:
    body = """
        import os, time
        for _ in range(3):
            if os.fork() == 0:
                held = b"x" * 150_000_000
                time.sleep(1000)
        time.sleep(1000)
    """
    assert perform(body, Limits(seconds=20, mebibytes=300)).status == "memory"


def test_modest_memory_is_granted(perform: Perform) -> None:
    assert perform("held = b'x' * 150_000_000; return {}", Limits(seconds=20, mebibytes=300)).status == "ok"


def test_fork_bomb(perform: Perform) -> None:
    outcome = perform("import os\nwhile True: os.fork()")
    assert (outcome.status, outcome.message) == ("killed", "started more than 64 processes")


def test_forked_grandchild_cannot_answer_and_ends_with_the_job(perform: Perform) -> None:
    body = """
        import os, time
        pid = os.fork()
        if pid == 0:
            return {'from': 'grandchild'}
        os.waitpid(pid, 0)
        pid = os.fork()
        if pid == 0:
            os.setsid()  # leaves the group
            time.sleep(1000)
        return {'from': 'child', 'pid': pid}
    """
    payload = perform(body).payload
    assert payload is not None
    assert payload["from"] == "child"
    assert not alive(payload["pid"])


def test_orphan_that_left_the_group_is_killed(perform: Perform) -> None:
    body = """
        import os, time
        read, write = os.pipe()
        if os.fork() == 0:
            import ctypes
            if os.fork() == 0:
                os.setsid()
                ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)  # no longer dies with its parent
                os.write(write, str(os.getpid()).encode())
                time.sleep(1000)
            time.sleep(0.5)
            os._exit(0)
        pid = int(os.read(read, 20))
        os.wait()
        return {'pid': pid}
    """
    payload = perform(body).payload
    assert payload is not None
    assert not alive(payload["pid"])


def test_output_is_drained_and_its_tail_kept(perform: Perform) -> None:
    body = """
        import sys
        for _ in range(500):
            print('x' * 100_000)
        print('last words', file=sys.stderr)
        return {}
    """
    outcome = perform(body)
    assert outcome.status == "ok"
    assert outcome.output_tail.endswith("last words\n")
    assert len(outcome.output_tail) <= 4096


def test_print_of_any_text(perform: Perform) -> None:
    assert perform("print('\\N{GRINNING FACE} \\udcff'); return {}").status == "ok"


def test_input_finds_the_end_of_the_file(perform: Perform) -> None:
    assert perform("input('name? ')").message.startswith("EOFError")


def test_breakpoint_does_not_stop(perform: Perform) -> None:
    assert perform("breakpoint(); return {}").status == "ok"


def test_arguments_are_those_of_the_file(perform: Perform) -> None:
    payload = perform(
        "import sys, argparse; argparse.ArgumentParser().parse_args(); return {'argv': sys.argv}", file="m.py"
    )
    assert payload.payload == {"argv": ["m.py"]}


def test_working_directory(perform: Perform, tmp_path: pathlib.Path) -> None:
    assert perform("import os; return {'cwd': os.getcwd()}").payload == {"cwd": str(tmp_path)}


def test_missing_working_directory(perform: Perform) -> None:
    assert perform("return {}", cwd="/no/such/folder").status == "failed"


def test_no_controlling_terminal(perform: Perform) -> None:
    assert perform("open('/dev/tty')").status == "failed"


@pytest.mark.parametrize(
    "call",
    [
        "import socket; socket.create_connection(('127.0.0.1', PORT), timeout=5)",
        "import socket; socket.create_connection(('93.184.216.34', 80), timeout=5)",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:PORT', timeout=5)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))",
        "import socket; socket.socket(socket.AF_UNIX).connect('PLACE')",
    ],
)
def test_network_is_refused(perform: Perform, tmp_path: pathlib.Path, call: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "local"))
        local.listen()
        call = call.replace("PORT", str(server.getsockname()[1])).replace("PLACE", str(tmp_path / "local"))
        body = (
            f"try:\n    {call}\nexcept OSError as error:\n    return {{'refused': True}}\nreturn {{'refused': False}}"
        )
        assert perform(body).payload == {"refused": True}


OUTSIDE = {
    "open(P + '/new', 'w')": "new",
    "open(P + '/kept', 'a')": "",
    "open(P + '/kept', 'r+')": "",
    "import os; os.open(P + '/new', os.O_CREAT | os.O_WRONLY)": "new",
    "import pathlib; pathlib.Path(P, 'new').write_bytes(b'x')": "new",
    "import os; os.remove(P + '/kept')": "",
    "import os; os.rename(P + '/kept', P + '/new')": "new",
    "import os; os.mkdir(P + '/new')": "new",
    "import os; os.rmdir(P + '/folder')": "",
    "import os; os.truncate(P + '/kept', 0)": "",
    "import os; os.chmod(P + '/kept', 0)": "",
    "import os; os.utime(P + '/kept', (0, 0))": "",
    "import os; os.symlink('kept', P + '/new')": "new",
    "import os; os.link(P + '/kept', P + '/new')": "new",
    "import os, tempfile; d = tempfile.mkdtemp(); os.link(P + '/kept', d + '/x'); open(d + '/x', 'w')": "",
    "import os, tempfile; d = tempfile.mkdtemp(); os.symlink(P, d + '/x'); open(d + '/x/new', 'w')": "new",
    "import shutil; shutil.rmtree(P + '/folder')": "",
    "import sqlite3; sqlite3.connect(P + '/new').execute('create table t (x)')": "new",
    "import torch; torch.save(torch.ones(2), P + '/new')": "new",
}


@pytest.mark.parametrize("call", OUTSIDE)
def test_write_outside_is_refused(perform: Perform, tmp_path: pathlib.Path, call: str) -> None:
    place = tmp_path / "project"
    (place / "folder").mkdir(parents=True)
    (place / "kept").write_text("precious")
    before = (place / "kept").stat()
    outcome = perform(f"P = {str(place)!r}\n{call}")
    assert outcome.status == "failed"
    assert "PermissionError: [Errno 1] gradlint: not allowed while tracing" in outcome.message
    assert sorted(os.listdir(place)) == ["folder", "kept"]
    assert (place / "kept").read_text() == "precious"
    assert (place / "kept").stat().st_mode == before.st_mode


def test_write_by_c_code_is_refused(perform: Perform, tmp_path: pathlib.Path) -> None:
    if not kernel_refuses_writes():
        pytest.skip("the kernel has no Landlock")
    body = """
        import ctypes, ctypes.util
        libc = ctypes.CDLL(None)
        return {'fd': libc.creat(b"new", 0o600), 'exec': libc.execv(b"/bin/true", (ctypes.c_char_p * 2)(b"true", None))}
    """
    assert perform(body).payload == {"fd": -1, "exec": -1}
    assert not (tmp_path / "new").exists()


def kernel_refuses_writes() -> bool:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if kernel.forbid_writes("/tmp") else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_temporary_folder_is_writable_and_removed(perform: Perform) -> None:
    body = """
        import multiprocessing, os, pathlib, sqlite3, tempfile, torch
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, 'a').mkdir()
            pathlib.Path(folder, 'a', 'b').write_text('x')
            pathlib.Path(folder, 'a', 'b').rename(pathlib.Path(folder, 'c'))
            torch.save(torch.ones(2), pathlib.Path(folder, 'w.pt'))
            size = torch.load(pathlib.Path(folder, 'w.pt')).numel()
            sqlite3.connect(folder + '/d').execute('create table t (x)')
        open(os.devnull, 'w').write('x')
        kept = tempfile.NamedTemporaryFile(delete=False)
        multiprocessing.get_context('fork').Lock()
        return {'size': size, 'kept': kept.name, 'dir': os.environ['TMPDIR']}
    """
    outcome = perform(body)
    assert outcome.payload is not None, outcome
    assert outcome.payload["size"] == 2
    assert not os.path.exists(outcome.payload["kept"])
    assert not os.path.exists(outcome.payload["dir"])


def test_import_leaves_no_bytecode(perform: Perform, tmp_path: pathlib.Path) -> None:
    (tmp_path / "helper.py").write_text("")
    assert perform("import helper; return {}").status == "ok"
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize(
    "call",
    [
        "import subprocess; subprocess.run(['touch', 'new'])",
        "import os; os.system('touch new')",
        "import os; os.popen('touch new').read()",
        "import os; os.execvp('touch', ['touch', 'new'])",
        "import os; os.posix_spawn('/usr/bin/touch', ['touch', 'new'], {})",
        "import pty; pty.spawn(['touch', 'new'])",
        "import multiprocessing as m; m.get_context('spawn').Process(target=print).start()",
    ],
)
def test_programs_are_refused(perform: Perform, tmp_path: pathlib.Path, call: str) -> None:
    outcome = perform(call)
    assert outcome.status == "failed"
    assert "gradlint: not allowed while tracing" in outcome.message
    assert not (tmp_path / "new").exists()


def test_other_processes_get_no_signal(perform: Perform) -> None:
    outcome = perform(f"import os; os.kill({os.getpid()}, 15)")
    assert "PermissionError" in outcome.message


def test_own_forks_get_signals(perform: Perform) -> None:
    body = """
        import os, signal, time
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
        os.kill(pid, signal.SIGTERM)
        return {'code': os.waitstatus_to_exitcode(os.wait()[1])}
    """
    assert perform(body).payload == {"code": -15}


def test_data_loader_with_forked_workers(perform: Perform) -> None:
    body = """
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        loader = DataLoader(TensorDataset(torch.ones(8, 3)), batch_size=4, num_workers=2)
        return {'shapes': [list(batch[0].shape) for batch in loader]}
    """
    assert perform(body).payload == {"shapes": [[4, 3], [4, 3]]}


def test_close_leaves_no_process_and_no_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with Worker(modules=()) as worker:
        payload = run_body(worker, tmp_path, "import os; return {'server': os.getppid()}").payload
        assert payload is not None
        assert alive(payload["server"])
    assert not alive(payload["server"])
    assert not list(scratch.iterdir())


def test_dead_server_is_replaced(tmp_path: pathlib.Path) -> None:
    with Worker(modules=()) as worker:
        first = run_body(worker, tmp_path, "import os; return {'server': os.getppid()}").payload
        assert first is not None
        os.kill(first["server"], signal.SIGKILL)
        assert wait_for(lambda: not alive(first["server"]))
        second = run_body(worker, tmp_path, "import os; return {'server': os.getppid()}").payload
        assert second is not None
        assert second["server"] != first["server"]


PARENT = """
import sys
from gradlint.worker import Limits, Worker
worker = Worker(modules=())
worker.run({{"entry": "entries:entry", "sys_path": [{folder!r}], "cwd": {folder!r}}}, Limits(seconds=100))
"""


def heeds_interrupts() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_parent(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    (tmp_path / "entries.py").write_text(
        "import os, tempfile, time\n"
        "def entry(job):\n"
        "    grandchild = os.fork()\n"
        "    if grandchild:\n"
        "        name = tempfile.mkdtemp()\n"
        "        os.mkdir(os.path.join(name, f'{os.getppid()}-{os.getpid()}-{grandchild}'))\n"
        "    time.sleep(1000)\n"
    )
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(folder=str(tmp_path))],
        env=os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": str(pathlib.Path(__file__).parent.parent)},
        stderr=subprocess.DEVNULL,
        preexec_fn=heeds_interrupts,
    )
    assert wait_for(lambda: bool(list(scratch.glob("*/*/*/*-*"))))
    pids = [int(pid) for pid in next(scratch.glob("*/*/*/*-*")).name.split("-")]
    assert all(map(alive, pids))
    parent.send_signal(number)
    parent.wait(20)
    assert wait_for(lambda: not any(map(alive, pids)))
    assert wait_for(lambda: not list(scratch.iterdir()))


def test_torch_that_is_missing_or_broken(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for text, message in (
        ("raise ModuleNotFoundError('no', name='torch')", "torch is not installed"),
        ("raise OSError('libcudart.so is missing')", "torch cannot be imported: OSError: libcudart.so is missing"),
        ("import os; os._exit(1)", "the worker did not start"),
    ):
        (tmp_path / "torch.py").write_text(text)
        with Worker(modules=("torch",)) as worker:
            outcome = worker.run({}, LIMITS)
        assert outcome.status == "failed"
        assert outcome.message.startswith(message)


def test_start_up_noise_does_not_disturb(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello from site')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Worker(modules=()) as worker:
        assert run_body(worker, tmp_path, "return {'x': 1}").payload == {"x": 1}


def test_module_of_the_working_directory_shadows_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    with Worker(modules=()) as worker:
        assert worker.run({"entry": "json:loads"}, LIMITS).message.startswith("TypeError")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return {'x': 1}", Outcome("ok", {"x": 1})),
        ("exit(3)", Outcome("exited", None, "called exit(3)")),
        ("import os; os._exit(4)", Outcome("exited", None, "ended the process with exit code 4")),
        ("while True: pass", Outcome("timeout", None, "took more than 1 s")),
        ("import ctypes; ctypes.string_at(0)", Outcome("killed", None, "ended by signal SIGSEGV")),
        ("print('x' * 10_000_000); return {}", Outcome("ok", {})),
        ("held = b'x' * 2_000_000_000", Outcome("memory", None, "needed more than 1024 MiB")),
    ],
)
def test_without_fork_every_job_has_a_server(tmp_path: pathlib.Path, body: str, expected: Outcome) -> None:
    with Worker(modules=(), forks=False) as worker:
        assert run_body(worker, tmp_path, body, Limits(seconds=1, mebibytes=1024)) == expected
        assert run_body(worker, tmp_path, "return {}").status == "ok"


def test_parent_imports_no_torch() -> None:
    code = "import sys, gradlint.worker, gradlint.machine; print(sorted({'torch', 'numpy', 'onnx'} & set(sys.modules)))"
    root = pathlib.Path(__file__).parent.parent
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert result.stdout.strip() == "[]"


def test_torch_available_asks_without_importing() -> None:
    code = "import sys; from gradlint.worker import torch_available as t; print(t(), 'torch' in sys.modules)"
    root = pathlib.Path(__file__).parent.parent
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert result.stdout.split() == [str(torch_available()), "False"]


def test_close_from_another_thread_ends_the_job(tmp_path: pathlib.Path) -> None:
    with Worker(modules=()) as worker, ThreadPoolExecutor(1) as pool:
        payload = run_body(worker, tmp_path, "import os; return {'server': os.getppid()}").payload
        assert payload is not None
        outcome = pool.submit(run_body, worker, tmp_path, "while True: pass", Limits(seconds=100))
        assert wait_for(lambda: bool(kernel.descendants(payload["server"])))
        worker.close()
        assert outcome.result(timeout=20).status in ("killed", "exited")
        assert not alive(payload["server"])
