"""What is installed is what the checkout has: every rule and every module is in the wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tree import PACKAGE, ROOT, RULES

LIST_RULES = """
import json, gradlint, gradlint.registry as registry
print(json.dumps([gradlint.__file__, sorted(rule.code + " " + rule.name for rule in registry.rules())]))
"""


def call(*command: str, cwd: Path) -> str:
    """The output of a command that knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built with what is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    (built,) = folder.glob("gradlint_nn-*.whl")
    return built


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def below(folder: Path, pattern: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if "__pycache__" not in path.parts}


def test_wheel_has_every_rule(names: set[str]) -> None:
    shipped = {name for name in names if name.startswith("gradlint/rules/")}
    assert shipped == {f"gradlint/rules/{name}" for name in below(RULES, "*.py")}
    assert shipped, "a wheel without rules finds nothing"


def test_wheel_has_every_module_and_file(names: set[str]) -> None:
    assert {f"gradlint/{name}" for name in below(PACKAGE, "*.*")} <= names


def test_wheel_has_nothing_else(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"gradlint"}
    assert not [name for name in names if "test" in name.split("/")[1] and name != "gradlint/testing.py"]


def test_wheel_has_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "gradlint = gradlint.__main__:main" in archive.read(entry).decode()


def test_installed_wheel_lists_the_same_rules(wheel: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", str(scratch), cwd=tmp_path)
    site = next(scratch.glob("lib/python*/site-packages"))
    (site / "outer.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    call(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel), cwd=tmp_path)
    place, found = json.loads(call(str(scratch / "bin" / "python"), "-c", LIST_RULES, cwd=tmp_path))
    assert Path(place).is_relative_to(scratch)
    assert found == json.loads(call(sys.executable, "-c", LIST_RULES, cwd=ROOT))[1]
    assert len(found) == len(list(RULES.glob("*.py")))
