"""The cache: a verdict holds while every file behind it is the same; a damaged or locked one costs time only."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlint import cache, encore
from gradlint.errors import UsageError
from tests.command import Done, environment, gradlint

UNKNOWN = "a = 1  # gradlint: ignore[not-tracd]\n"
HEAVY = ("torch", "networkx", "libcst", "pydantic", "typer", "rich", "pathspec", "onnx")
YEAR_NS = 365 * 24 * 3600 * 10**9


def put(path: Path, text: str) -> None:
    """Writes a file of some time ago, so that its times are trusted at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusts files that were written a moment ago; no test changes one twice within a tick."""
    monkeypatch.setattr(cache, "SETTLED_SECONDS", 0.0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.py", "a = 1\n")
    put(tmp_path / "b.py", "b = 1\n")
    return tmp_path


def look_up(*paths: str, key: str = "k") -> dict[str, str]:
    with cache.Cache(Path(cache.FOLDER), key) as kept:
        return {path: found.verdict for path, found in kept.look_up(paths).items()}


def keep(path: str, verdict: str, *dependencies: str, key: str = "k") -> None:
    with cache.Cache(Path(cache.FOLDER), key) as kept:
        kept.look_up([path])
        kept.keep(path, verdict, dependencies)


@pytest.mark.usefixtures("here")
def test_a_verdict_is_kept_by_key() -> None:
    assert look_up("a.py") == {}
    keep("a.py", "one")
    keep("a.py", "other", key="l")
    assert look_up("a.py", "b.py") == {"a.py": "one"}
    assert look_up("a.py", key="l") == {"a.py": "other"}


def test_content_decides(here: Path) -> None:
    keep("a.py", "one")
    os.utime("a.py", ns=(0, YEAR_NS))
    assert look_up("a.py") == {"a.py": "one"}
    put(here / "a.py", "a = 2\n")
    assert look_up("a.py") == {}
    put(here / "a.py", "a = 1\n")
    assert look_up("a.py") == {"a.py": "one"}


def test_the_same_size_and_time_with_other_content(here: Path) -> None:
    keep("a.py", "one")
    before = os.stat("a.py")
    put(here / "a.py", "a = 3\n")
    os.utime("a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look_up("a.py") == {}


def test_what_is_imported_decides_too(here: Path) -> None:
    keep("a.py", "one", "b.py", "missing.py")
    assert look_up("a.py") == {"a.py": "one"}
    put(here / "b.py", "b = 2\n")
    assert look_up("a.py") == {}
    put(here / "b.py", "b = 1\n")
    assert look_up("a.py") == {"a.py": "one"}
    put(here / "missing.py", "")
    assert look_up("a.py") == {}


def test_a_file_that_changes_during_the_run_is_not_kept(here: Path) -> None:
    with cache.Cache(Path(cache.FOLDER), "k") as kept:
        kept.look_up(["a.py"])
        put(here / "b.py", "b = 2\n")
        later = os.stat("b.py").st_mtime_ns + 10**9
        os.utime("b.py", ns=(later, later))
        kept.keep("a.py", "one", ["b.py"])
    assert look_up("a.py") == {}


@pytest.mark.usefixtures("here")
def test_the_oldest_keys_are_forgotten() -> None:
    for number in range(cache.MOST_KEYS + 3):
        keep("a.py", "one", key=f"k{number}")
    assert look_up("a.py", key="k0") == {}
    assert look_up("a.py", key=f"k{cache.MOST_KEYS + 2}") == {"a.py": "one"}


names = st.sampled_from(["a.py", "b.py", "c.py", "d.py"])
texts = st.sampled_from(["x = 1\n", "x = 2\n", "x = 10\n"])
steps = st.lists(st.tuples(names, texts | st.none()), max_size=8)


@settings(max_examples=40, deadline=None)
@given(steps, st.dictionaries(names, st.sets(names), max_size=4))
def test_a_stale_verdict_is_never_given(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str | None]], imports: dict[str, set[str]]
) -> None:
    """Whatever is written and removed in between, a verdict found is the one of today's files."""
    top = tmp_path_factory.mktemp("tree")

    def verdict(path: str) -> str:
        behind = [top / name for name in sorted({path, *imports.get(path, ())})]
        return repr([file.read_text() if file.exists() else None for file in behind])

    for name, text in [("a.py", "x = 1\n"), *steps]:
        (top / name).unlink(missing_ok=True)
        if text is not None:
            (top / name).write_text(text)
        for path in sorted(imports):
            file = str(top / path)
            with cache.Cache(top / cache.FOLDER, "k") as kept:
                found = kept.look_up([file]).get(file)
                if found is None:
                    kept.keep(file, verdict(path), [str(top / name) for name in imports[path]])
                else:
                    assert found.verdict == verdict(path)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"nonsense" * 1000,
        b"SQLite format 3\0" + b"\xff" * 4000,
    ],
)
def test_a_damaged_cache_is_made_anew(here: Path, damage: bytes) -> None:
    keep("a.py", "one")
    (here / cache.FOLDER / cache.FILE).write_bytes(damage)
    assert look_up("a.py") == {}
    keep("a.py", "two")
    assert look_up("a.py") == {"a.py": "two"}


@given(st.integers(0, 20_000), st.binary(min_size=1, max_size=64))
@settings(max_examples=40, deadline=None)
def test_any_damage(tmp_path_factory: pytest.TempPathFactory, place: int, bytes_: bytes) -> None:
    top = tmp_path_factory.mktemp("tree")
    file = top / "a.py"
    put(file, "a = 1\n")
    with cache.Cache(top / "c", "k") as kept:
        kept.keep(str(file), "one", [])
    base = top / "c" / cache.FILE
    data = bytearray(base.read_bytes())
    data[place % len(data) : place % len(data) + len(bytes_)] = bytes_
    base.write_bytes(data)
    with cache.Cache(top / "c", "k") as kept:
        kept.look_up([str(file)])
        kept.keep(str(file), "two", [])


def change(query: str, *values: object) -> None:
    with sqlite3.connect(Path(cache.FOLDER) / cache.FILE) as base:
        base.execute(query, values)
    base.close()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("text", ["{", "[[1]]", '[["b.py"]]', "3", '{"a": 1}', "[" * 5000])
def test_damaged_dependencies(text: str) -> None:
    keep("a.py", "one", "b.py")
    change("UPDATE verdicts SET dependencies = ?", text)
    assert look_up("a.py") == {}


@pytest.mark.parametrize("text", ["{", '{"findings": [{"code": 1}]}', "[" * 5000])
def test_a_hostile_verdict_is_judged_again(here: Path, text: str) -> None:
    put(here / "a.py", UNKNOWN)
    first = gradlint(here, "--output-format", "concise", "-j", "1", ".")
    change("UPDATE verdicts SET verdict = ?", text)
    again = gradlint(here, "--output-format", "concise", "-j", "2", ".")
    assert (again.code, again.out) == (first.code, first.out)
    assert first.code == 1


def test_hostile_words_are_not_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here / "a.py", UNKNOWN)
    os.utime(here / "a.py", ns=(0, YEAR_NS))
    arguments = ["-q", "--output-format", "concise", "."]
    assert [gradlint(here, *arguments).code for _ in range(2)] == [1, 1]
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert encore.again(arguments) == 1
    for column in ("behind", "said"):
        for text in ("{", "[]", "[3, 4]", '["x", [["y", 1]]]', "null", "[" * 5000):
            change(f"UPDATE runs SET {column} = ?", text)
            assert encore.again(arguments) is None


def test_another_run_writes_just_now(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("a.py", "one")
    monkeypatch.setattr(cache, "PATIENCE_SECONDS", 0.05)
    base = sqlite3.connect(here / cache.FOLDER / cache.FILE, isolation_level=None)
    base.execute("BEGIN EXCLUSIVE")
    assert look_up("a.py") == {}
    keep("b.py", "two")
    base.execute("ROLLBACK")
    base.close()
    assert look_up("a.py", "b.py") == {"a.py": "one"}


def test_runs_at_the_same_time(here: Path) -> None:
    for number in range(30):
        put(here / f"m{number}.py", UNKNOWN)
    command = [sys.executable, "-m", "gradlint", "--output-format", "concise", "-q", "."]
    running = [
        subprocess.Popen(
            [*command, *flags], env=environment(), cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for flags in ([], ["-j", "2"], ["-j", "1"], ["--no-cache"])
    ]
    told = [process.communicate(timeout=120) for process in running]
    assert len(set(told)) == 1
    assert told[0][0].count(b"GL005") == 30


def test_a_folder_that_cannot_be_written(here: Path) -> None:
    (here / cache.FOLDER).write_text("in the way", encoding="utf-8")
    assert gradlint(here, ".").code == 0


def test_clean(here: Path) -> None:
    assert gradlint(here, "cache", "clean").notes == ["gradlint: .gradlint_cache does not exist"]
    gradlint(here, ".")
    assert {path.name for path in (here / cache.FOLDER).iterdir()} == {cache.FILE, cache.TAG, ".gitignore"}
    assert gradlint(here, "cache", "clean").notes == ["gradlint: .gradlint_cache is removed"]
    assert not (here / cache.FOLDER).exists()


def test_clean_removes_nothing_else(here: Path) -> None:
    (here / "mine").mkdir()
    with pytest.raises(UsageError, match=r"no CACHEDIR\.TAG"):
        cache.clean(here / "mine")
    done = gradlint(here, "cache", "clean", "--cache-dir", "mine")
    assert (done.code, len(done.notes)) == (2, 1)
    assert (here / "mine").exists()
    assert gradlint(here, "cache", "claen").code == 2


def test_flags(here: Path) -> None:
    gradlint(here, "--no-cache", ".")
    assert not (here / cache.FOLDER).exists()
    gradlint(here, "--cache-dir", "elsewhere", ".")
    assert (here / "elsewhere" / cache.FILE).is_file()
    assert not (here / cache.FOLDER).exists()


def imported(done: Done) -> set[str]:
    names = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in done.err.splitlines() if "import time:" in line
    }
    return names & set(HEAVY)


def timed(folder: Path) -> Done:
    command = [sys.executable, "-X", "importtime", "-m", "gradlint", "--output-format", "concise", "."]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    return Done(done.returncode, done.stdout, done.stderr)


def test_a_run_over_what_has_not_changed_imports_nothing_heavy(here: Path) -> None:
    put(here / "a.py", UNKNOWN)
    os.utime(here / "a.py", ns=(0, YEAR_NS))
    first = [timed(here) for _ in range(3)][-1]
    assert "GL005" in first.out
    assert not imported(first)
    put(here / "a.py", "a = 1\n")
    changed = timed(here)
    assert (changed.code, changed.out) == (0, "")
    assert not imported(changed) & {"torch", "libcst", "onnx"}


def test_words_are_not_said_again_when_something_changed(here: Path) -> None:
    put(here / "a.py", UNKNOWN)

    def lines() -> int:
        return gradlint(here, "-q", "--output-format", "concise", ".").out.count("GL005")

    for _ in range(3):
        assert lines() == 1
    for name, text in [
        ("gradlint.toml", "ignore = ['GL005']\n"),
        ("pyproject.toml", "[tool.gradlint]\nexclude = ['a.py']\n"),
    ]:
        put(here / name, text)
        assert lines() == 0
        (here / name).unlink()
        assert lines() == 1
    put(here / ".gitignore", "a.py\n")
    assert lines() == 0
    put(here / ".gitignore", "")
    (here / "a.py").unlink()
    assert lines() == 0


def test_words_are_not_said_again_when_a_file_is_new(here: Path) -> None:
    for _ in range(3):
        assert gradlint(here, "-q", "--output-format", "concise", ".").out == ""
    put(here / "deep" / "c.py", UNKNOWN)
    assert gradlint(here, "-q", "--output-format", "concise", ".").out.count("GL005") == 1


def test_streams_and_exit_code_are_said_again(here: Path) -> None:
    put(here / "a.py", UNKNOWN)
    runs = [gradlint(here, "--output-format", "json", ".") for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0].code == 1
    assert json.loads(runs[2].out)["findings"]


def test_reports_are_written_by_every_run(here: Path) -> None:
    for _ in range(3):
        assert gradlint(here, "--output", "json:report.json", ".").code == 0
        (here / "report.json").unlink()


NET = """from torch import nn
from blocks import Block

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block(4)
        self.out = nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.block(x))
"""
BLOCK = """from torch import nn

class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc = nn.Linear(n, n)

    def forward(self, x):
        return self.fc(x)
"""


def test_a_model_is_judged_anew_when_what_it_imports_changes(here: Path) -> None:
    put(here / "net.py", NET)
    command = ["--source", "--select", "GL101", "-q", "--output-format", "concise", "net.py"]

    def places() -> list[str]:
        return [line.split(": ")[0] for line in gradlint(here, *command).out.splitlines()]

    assert places() == places() == []
    put(here / "blocks.py", BLOCK.replace("self.fc(x)", "self.fc(x).detach()"))
    assert places() == places() == ["blocks.py:9:16"]
    put(here / "blocks.py", BLOCK)
    assert places() == []
