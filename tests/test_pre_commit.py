"""The hooks under the real pre-commit: a good commit passes, a bad one does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.command import environment
from tests.tree import ROOT

GOOD = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)
"""
BAD = GOOD + "\nnet = Net()  # gradlint: ignore[detachd-tensor]\n"
SHIPPED = ("gradlint", "rules", "README.md", "LICENSE", "pyproject.toml", ".pre-commit-hooks.yaml")
SECONDS = 280


def run(folder: Path, home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in environment().items() if not key.startswith(("GIT_", "PRE_COMMIT"))}
    kept |= {"PRE_COMMIT_HOME": str(home / "home"), "PATH": os.pathsep.join([str(home / "bin"), os.environ["PATH"]])}
    for name in ("AUTHOR", "COMMITTER"):
        kept |= {f"GIT_{name}_NAME": "n", f"GIT_{name}_EMAIL": "e"}
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=SECONDS)


def done(folder: Path, home: Path, *command: str) -> str:
    ended = run(folder, home, *command)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """This checkout as a repository of hooks, and the command `gradlint` on the way."""
    source = tmp_path / "hooks"
    source.mkdir()
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(
            ROOT / name,
            source / name,
            **({"ignore": shutil.ignore_patterns("__pycache__")} if copy is shutil.copytree else {}),
        )
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gradlint"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gradlint "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    done(source, tmp_path, "git", "init", "-q")
    done(source, tmp_path, "git", "add", "-A")
    done(source, tmp_path, "git", "commit", "-q", "-m", "hooks")
    return source


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    done(folder, tmp_path, "git", "init", "-q")
    return folder


def install(project: Path, hooks: Path, **hook: str) -> None:
    revision = done(hooks, hooks.parent, "git", "rev-parse", "HEAD").strip()
    config = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": [hook]}]}
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done(project, hooks.parent, sys.executable, "-m", "pre_commit", "install")


def commit(project: Path, home: Path, text: str) -> subprocess.CompletedProcess[str]:
    (project / "net.py").write_text(text, encoding="utf-8")
    done(project, home, "git", "add", "-A")
    return run(project, home, "git", "commit", "-m", "m")


def expect_good_and_bad(project: Path, home: Path) -> None:
    good = commit(project, home, GOOD)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "Passed" in good.stdout + good.stderr
    bad = commit(project, home, BAD)
    assert bad.returncode == 1
    assert "net.py:13:33" in bad.stdout + bad.stderr
    assert "GL005" in bad.stdout + bad.stderr
    assert done(project, home, "git", "log", "--format=%s").count("m") == 1


def test_the_hook_for_source(hooks: Path, project: Path) -> None:
    install(project, hooks, id="gradlint", language="system")
    expect_good_and_bad(project, hooks.parent)


def test_the_hook_sees_notebooks(hooks: Path, project: Path) -> None:
    install(project, hooks, id="gradlint", language="system")
    book = '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code", "source": "def f(:"}]}'
    (project / "book.ipynb").write_text(book, encoding="utf-8")
    ended = commit(project, hooks.parent, GOOD)
    assert ended.returncode == 1
    assert "book.ipynb:cell 1:1:7" in ended.stdout + ended.stderr


@pytest.mark.slow
def test_the_hook_for_recordings(hooks: Path, project: Path) -> None:
    install(project, hooks, id="gradlint-trace")
    expect_good_and_bad(project, hooks.parent)


@pytest.mark.slow
def test_the_hook_in_an_environment_of_its_own(hooks: Path, project: Path) -> None:
    """As users run it: pre-commit installs gradlint, without torch, into an environment of its own."""
    (hooks.parent / "bin" / "gradlint").unlink()
    install(project, hooks, id="gradlint")
    expect_good_and_bad(project, hooks.parent)
