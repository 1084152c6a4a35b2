"""The demo: a file that trains without an exception, and every bug that is planted in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gradlint import demo
from tests.command import environment, gradlint

PLANTED = {
    "CachedFeatures": "GL101",
    "ClippedFeatures": "GL102",
    "LearnedTemperature": "GL103",
    "NormalizedFeatures": "GL104",
    "RoutedExperts": "GL105",
    "BinnedBrightness": "GL106",
    "FineTuned": "GL107",
    "HardGate": "GL108",
    "WithAuxiliaryHead": "GL109",
    "StackedBlocks": "GL110",
    "ScaledLogits": "GL111",
    "SwishFunction": "GL113",
}
"""The class in which each bug stands, and the rule that names it."""

TRAIN_SECONDS = 120


def class_at(line: int) -> str:
    """The class of the planted file that a line belongs to."""
    classes = [node for node in ast.parse(demo.text()).body if isinstance(node, ast.ClassDef)]
    return next((c.name for c in classes if c.lineno <= line <= (c.end_lineno or c.lineno)), "")


def test_the_planted_file_trains(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text(demo.text(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "demo.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TRAIN_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    losses = [line.split() for line in done.stdout.splitlines()]
    assert len(losses) == len(PLANTED)
    falling = [name for name, _, first, _, last in losses if float(last) < float(first)]
    assert len(falling) > len(PLANTED) / 2


def test_every_planted_bug_is_found(tmp_path: Path) -> None:
    done = gradlint(tmp_path, "demo", "--output-format", "json")
    assert done.code == 1, done.err
    findings = done.report["findings"]
    loud = {(class_at(f["line"]), f["code"]) for f in findings if f["severity"] != "note"}
    assert loud == set(PLANTED.items())
    assert {f["path"] for f in findings} == {"demo.py"}
    assert not list(tmp_path.iterdir())


def test_the_file_can_be_kept(tmp_path: Path) -> None:
    with demo.planted(tmp_path / "kept", "demo.py") as folder:
        assert (folder / "demo.py").read_text(encoding="utf-8") == demo.text()
    assert (tmp_path / "kept" / "demo.py").exists()


def test_a_file_of_the_user_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text("mine = 1\n", encoding="utf-8")
    done = gradlint(tmp_path, "demo", "--keep", ".")
    assert (done.code, done.out, len(done.notes)) == (2, "", 1)
    assert "is another file" in done.err
    assert (tmp_path / "demo.py").read_text(encoding="utf-8") == "mine = 1\n"


@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_classes_exist(name: str) -> None:
    assert f"class {name}(" in demo.text()
