"""Runs the real command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tree import ROOT

RUN_SECONDS = 120


@dataclass(frozen=True)
class Done:
    """What a finished command left behind."""

    code: int
    out: str
    err: str

    @property
    def notes(self) -> list[str]:
        """The lines on stderr."""
        return self.err.splitlines()

    @property
    def report(self) -> dict[str, Any]:
        """The JSON on stdout."""
        report: dict[str, Any] = json.loads(self.out)
        return report

    @property
    def found(self) -> list[tuple[str, str, int]]:
        """File name, code and line of each finding of the JSON on stdout."""
        return [(Path(f["path"]).name, f["code"], f["line"]) for f in self.report["findings"]]


def environment() -> dict[str, str]:
    """The environment of a command that finds this checkout."""
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"}


def gradlint(folder: Path, *arguments: str, stdin: str = "") -> Done:
    """`gradlint ARGUMENTS` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "gradlint", *arguments],
        cwd=folder,
        env=environment(),
        input=stdin.encode(),
        capture_output=True,
        timeout=RUN_SECONDS,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())
