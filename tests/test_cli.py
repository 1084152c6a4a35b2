"""The command as users run it: targets, exit codes, streams, and one clear line for each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from gradlint import __version__, cli, terminal
from gradlint.baseline import Comparison
from gradlint.errors import InternalError
from gradlint.finding import Evidence, Failure, Finding, Report, Severity
from tests.command import Done, environment, gradlint
from tests.tree import ROOT

BROKEN = "def f(x:\n    return x\n"
UNKNOWN = "a = 1  # gradlint: ignore[not-tracd]\n"
HEAVY = ("torch", "numpy", "networkx", "libcst", "pydantic", "rich", "typer", "onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good file, one that cannot be parsed and one with a wrong comment."""
    (tmp_path / "good.py").write_text("a = 1\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    (tmp_path / "unknown.py").write_text(UNKNOWN, encoding="utf-8")
    (tmp_path / "latin.py").write_bytes(b"a = 1\nb = '\xe9'\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


def expect_one_line(done: Done, words: str) -> None:
    """A user's mistake: exit code 2, nothing on stdout, one line without a traceback on stderr."""
    assert done.code == 2, done
    assert done.out == ""
    assert len(done.notes) == 1, done.err
    assert done.notes[0].startswith("gradlint: error: ")
    assert words in done.notes[0]


def test_version_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['gradlint', '--version']; from gradlint.__main__ import main; code = main();"
        f"sys.exit(code or ','.join({set(HEAVY)} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True)
    assert done.stdout.decode() == f"gradlint {__version__}\n"
    assert done.returncode == 0, done.stderr


def test_a_run_over_source_imports_no_torch(folder: Path) -> None:
    script = (
        "import sys; from gradlint.cli import run; code = run(['check', '--source', 'good.py']);"
        "sys.exit(code or ','.join({'torch', 'onnx', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment(), capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.py"], "nowhere.py: no such file or folder"),
        (["god.py"], 'god.py: no such file or folder (did you mean "good.py"?)'),
        (["doctr"], 'did you mean "doctor"?'),
        (["good.py", "nowhere.py"], "nowhere.py: no such file or folder"),
        (["nowhere.py:Net"], "no such file: nowhere.py"),
        (["no.such.module:Net"], "no such module"),
        (["good.py", "--fxi"], "no such option: --fxi"),
        (["good.py", "--select", "detachd-tensor"], 'no rule is called "detachd-tensor"'),
        (["good.py", "--ignore", "GL9999"], 'no rule is called "GL9999"'),
        (["good.py", "--config", "selct=['GL1']"], 'did you mean "select"?'),
        (["good.py", "--config", "nowhere.toml"], "no such file"),
        (["good.py", "--config", "rules.not-traced.x=1"], 'not-traced has no setting "x"'),
        (["good.py", "--input", "1xx3"], "1xx3"),
        (["good.py", "--timeout", "soon"], "timeout is 'soon'"),
        (["good.py", "--timeout", "-1"], "timeout is '-1'"),
        (["good.py", "--fail-on", "fatal"], "fatal"),
        (["good.py", "--output-format", "jsn"], 'did you mean "json"?'),
        (["good.py", "--output", "report.json"], "FORMAT:FILE"),
        (["good.py", "--source", "--trace"], "exclude each other"),
        (["rule", "zzzz qqqq"], "zzzz qqqq"),
        (["why", "good.py"], "parameter"),
        (["check", "good.py", "-j", "none"], "none"),
    ],
)
def test_mistakes(folder: Path, arguments: list[str], words: str) -> None:
    expect_one_line(gradlint(folder, *arguments), words)


def test_broken_toml(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.gradlint]\nselect = [\n", encoding="utf-8")
    expect_one_line(gradlint(folder, "good.py"), "pyproject.toml:2: broken TOML")


def test_unknown_key_in_a_file(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.gradlint]\nnote = true\n", encoding="utf-8")
    expect_one_line(gradlint(folder, "good.py"), 'pyproject.toml: unknown key "note"')


def test_a_report_that_cannot_be_written(folder: Path) -> None:
    done = gradlint(folder, "--source", "good.py", "--output", "json:nowhere/report.json")
    assert done.code == 2
    assert "cannot be written" in done.notes[-1]


def test_a_file_that_cannot_be_parsed_is_a_finding(folder: Path) -> None:
    done = gradlint(folder, "--source", "--output-format", "json", "broken.py", "latin.py", "unknown.py")
    assert done.code == 1
    assert done.found == [("broken.py", "GL001", 1), ("latin.py", "GL001", 2), ("unknown.py", "GL005", 1)]
    assert "byte 0xe9 is not UTF-8" in done.report["findings"][1]["message"]


def test_tracing_a_file_that_cannot_be_parsed(folder: Path) -> None:
    done = gradlint(folder, "--trace", "--output-format", "json", "broken.py")
    assert (done.code, done.found) == (1, [("broken.py", "GL001", 1)])


def test_check_is_the_default_command(folder: Path) -> None:
    long = gradlint(folder, "check", "--source", "--output-format", "json", "broken.py")
    for short in (
        ["--source", "--output-format", "json", "broken.py"],
        ["broken.py", "--source", "--output-format=json"],
    ):
        assert gradlint(folder, *short) == long


def test_the_working_folder_is_the_default_target(folder: Path) -> None:
    done = gradlint(folder, "check", "--output-format", "json")
    assert sorted(name for name, _, _ in done.found) == ["broken.py", "latin.py", "unknown.py"]
    assert done.report["files"] == 4


def test_no_files_to_check(folder: Path) -> None:
    done = gradlint(folder, "empty")
    assert (done.code, done.out) == (0, "")
    assert done.notes[-1] == "gradlint: no files to check"


@pytest.mark.parametrize("depth", ["--source", "--trace"])
def test_a_folder_without_models(folder: Path, depth: str) -> None:
    inner = folder / "empty"
    (inner / "helpers.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    done = gradlint(folder, depth, "empty")
    assert (done.code, done.out) == (0, "")


def test_standard_input(folder: Path) -> None:
    done = gradlint(folder, "-", "--stdin-filename", "typed.py", "--output-format", "concise", stdin=BROKEN)
    assert done.code == 1
    assert done.out.startswith("typed.py:1:6: GL001 syntax-error: ")


def test_the_notice_of_imported_code(folder: Path) -> None:
    notice = "gradlint: importing and running good.py in a worker process; --source reads it only"
    assert gradlint(folder, "good.py").notes[0] == notice
    assert notice not in gradlint(folder, "--source", "good.py").notes
    assert gradlint(folder, "-q", "good.py").notes == []


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ([], 1),
        (["--exit-zero"], 0),
        (["--fail-on", "never"], 0),
        (["--fail-on", "error"], 1),
        (["--ignore", "GL005"], 0),
        (["--config", "per-file-ignores={'unk*' = ['unknown-rule']}"], 0),
    ],
)
def test_exit_codes(folder: Path, flags: list[str], code: int) -> None:
    assert gradlint(folder, "--source", "unknown.py", *flags).code == code


def test_reports_in_files(folder: Path) -> None:
    done = gradlint(folder, "--source", "broken.py", "--output", "json:a.json", "--output", "concise:b.txt", "-q")
    assert done.out.startswith("error[GL001 syntax-error]")
    assert json.loads((folder / "a.json").read_text())["findings"][0]["code"] == "GL001"
    assert (folder / "b.txt").read_text().startswith("broken.py:1:6: GL001")
    assert not list(folder.glob(".*json*"))


def test_the_measuring_call_is_accepted(folder: Path) -> None:
    flags = [
        "--isolated",
        "--no-cache",
        "--cache-dir",
        "c",
        "-j",
        "1",
        "--notes",
        "--output-format",
        "json",
        "--source",
    ]
    assert gradlint(folder, "check", *flags, "good.py").report["findings"] == []


def test_a_reader_that_goes_away(folder: Path) -> None:
    command = [sys.executable, "-m", "gradlint", "--source", "broken.py"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        errors = running.stderr.read().decode()
    assert running.returncode == 1
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


def test_rules_are_listed_and_shown(tmp_path: Path) -> None:
    assert "GL001  error    syntax-error" in gradlint(tmp_path, "rule").out
    assert gradlint(tmp_path, "rule", "gl001").out == gradlint(tmp_path, "rule", "syntax-error").out
    assert "Symptoms:" in gradlint(tmp_path, "rule", "GL001").out


def test_doctor(folder: Path) -> None:
    (folder / "gradlint.toml").write_text("", encoding="utf-8")
    out = gradlint(folder, "doctor").out
    assert f"{__version__}, " in out
    assert str(folder / "gradlint.toml") in out


def test_the_hooks_call_the_command_as_it_is(folder: Path) -> None:
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")):
        program, *arguments = hook["entry"].split()
        assert program == "gradlint"
        assert gradlint(folder, *arguments, "good.py").code == 0


def test_help_lists_the_commands(tmp_path: Path) -> None:
    done = gradlint(tmp_path, "--help")
    assert done.code == 0
    assert all(name in done.out for name in ("check", "why", "rule", "demo", "doctor"))


WARNING = Finding(
    code="GL003",
    name="not-traced",
    severity=Severity.WARNING,
    evidence=Evidence.SOURCE,
    message="`Net` was not traced: no inputs",
    path="good.py",
)


def engine(monkeypatch: pytest.MonkeyPatch, result: Report | BaseException) -> ModuleType:
    """Puts an engine with a fixed result in the place of the real one."""

    def lint(*_: Any) -> SimpleNamespace:
        if isinstance(result, Report):
            return SimpleNamespace(report=result, comparison=Comparison(()), inputs=None)
        raise result

    module = ModuleType("gradlint.engine")
    module.lint = lint  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gradlint.engine", module)
    return module


def test_verbose_says_every_step(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lint(targets: Sequence[str], _: Any, progress: Callable[[str], None], __: Any) -> SimpleNamespace:
        for target in targets:
            progress(f"tracing {target}")
        return SimpleNamespace(report=Report(files=1), comparison=Comparison(()), inputs=None)

    monkeypatch.chdir(folder)
    engine(monkeypatch, Report()).lint = lint  # type: ignore[attr-defined]
    assert cli.run(["-v", "good.py"]) == 0
    assert "gradlint: tracing good.py\n" in capsys.readouterr().err
    assert cli.run(["good.py"]) == 0
    assert "tracing" not in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyError("x"), InternalError("two rules share a code"), RecursionError()])
def test_a_fault_of_gradlint(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    monkeypatch.chdir(folder)
    engine(monkeypatch, error)
    assert cli.run(["-q", "good.py"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("gradlint: internal error: ")
    assert said.err.count("\n") == 1


def test_a_fault_on_one_file_leaves_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    failure = Failure(path="broken.py", code=terminal.INTERNAL, message="KeyError: 'x'")
    engine(monkeypatch, Report(findings=(WARNING,), files=2, failures=(failure,)))
    assert cli.run(["-q", "--output-format", "concise", "good.py", "broken.py"]) == 3
    said = capsys.readouterr()
    assert said.out == "good.py:1:1: GL003 not-traced: `Net` was not traced: no inputs\n"
    assert said.err.startswith("gradlint: internal error on broken.py: KeyError: 'x'")


@pytest.mark.parametrize(
    ("flags", "code"), [([], 0), (["--require-trace"], 1), (["--require-trace", "--exit-zero"], 0)]
)
def test_require_trace(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    code: int,
) -> None:
    monkeypatch.chdir(folder)
    engine(monkeypatch, Report(files=1, failures=(Failure(path="good.py", code="GL003", message="no inputs"),)))
    assert cli.run(["-q", *flags, "good.py"]) == code
    said = capsys.readouterr().err
    assert ("good.py: no inputs" in said) == bool(flags)


def test_interruption(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    engine(monkeypatch, KeyboardInterrupt())
    assert cli.run(["-q", "good.py"]) == 130
    assert capsys.readouterr().err == "gradlint: interrupted\n"


@pytest.mark.parametrize(("flag", "code"), [("error", 0), ("warning", 1), ("note", 1), ("never", 0)])
def test_severity_decides_the_exit_code(folder: Path, monkeypatch: pytest.MonkeyPatch, flag: str, code: int) -> None:
    monkeypatch.chdir(folder)
    engine(monkeypatch, Report(findings=(WARNING,), files=1))
    assert cli.run(["-q", "--fail-on", flag, "good.py"]) == code
