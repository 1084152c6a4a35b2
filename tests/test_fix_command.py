"""`--fix`, `--unsafe-fixes` and `--diff` of the real command."""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import Done, environment, gradlint

IDLE = "a = 1  # gradlint: ignore[GL005] -- old\nb = 2  # noqa\n"
CLEAN = "a = 1\nb = 2  # noqa\n"

PYRAMID = """\
import torch
from torch.nn import Conv2d, Module, init


class Pyramid(Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem = Conv2d(3, width, 3, padding=1)
        self.dilated = [  # three of them
            Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4)]
        self.rates = []
        for rate in (1, 2):
            self.rates.append(Conv2d(width, width, 3, padding=rate, dilation=rate))\t
        self.head = Conv2d(width, 1, 1)
        init.xavier_uniform_(self.stem.weight, gain=1.0)  # gradlint: ignore[GL101] -- gone

    def forward(self, image):
        x = torch.relu(self.stem(image))
        x = sum(torch.relu(conv(x)) for conv in (*self.dilated, *self.rates))
        return self.head(x)
"""

SAFELY = (
    PYRAMID.replace("= [  # three of them", "= torch.nn.ModuleList([  # three of them")
    .replace("(1, 2, 4)]", "(1, 2, 4)])")
    .replace("self.rates = []", "self.rates = torch.nn.ModuleList()")
    .replace("  # gradlint: ignore[GL101] -- gone", "")
)
UNSAFELY = SAFELY.replace(
    "xavier_uniform_(self.stem.weight, gain=1.0)", 'kaiming_uniform_(self.stem.weight, nonlinearity="relu")'
)


def lint(folder: Path, *arguments: str, stdin: str = "") -> Done:
    return gradlint(folder, "--isolated", "--no-cache", *arguments, stdin=stdin)


def write(folder: Path, text: str | bytes, name: str = "m.py") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_fix_writes_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, IDLE)
    done = lint(tmp_path, "--source", "--fix", "m.py")
    assert (done.code, done.out) == (0, "")
    assert done.notes[-1] == "gradlint: Fixed 1 finding"
    assert path.read_text() == CLEAN
    again = lint(tmp_path, "--source", "--fix", "m.py")
    assert (again.code, path.read_text()) == (0, CLEAN)
    assert not any("Fixed" in note for note in again.notes)


def test_a_fix_is_in_the_report_without_being_applied(tmp_path: Path) -> None:
    path = write(tmp_path, IDLE)
    done = lint(tmp_path, "--source", "--output-format", "json", "m.py")
    assert done.code == 1
    (found,) = done.report["findings"]
    assert found["fix"]["applicability"] == "safe"
    (edit,) = found["fix"]["edits"]
    assert {key: edit[key] for key in ("line", "column", "end_line", "end_column", "text")} == {
        "line": 1,
        "column": 6,
        "end_line": 1,
        "end_column": len(IDLE.splitlines()[0]) + 1,
        "text": "",
    }
    assert path.read_text() == IDLE


def test_diff_writes_nothing_and_can_be_applied(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    text = IDLE.removesuffix("\n") + "  # gradlint: ignore[GL001]"
    write(tmp_path, text, "sub/m.py")
    write(tmp_path, "c = 1\n", "sub/n.py")
    done = lint(tmp_path, "--diff", "sub")
    assert done.code == 1
    assert (tmp_path / "sub/m.py").read_text() == text
    assert done.notes[-1] == "gradlint: Would fix 2 findings"
    subprocess.run(["patch", "-p0"], cwd=tmp_path, input=done.out.encode(), check=True, capture_output=True)
    assert (tmp_path / "sub/m.py").read_text() == CLEAN.removesuffix("\n")
    clean = lint(tmp_path, "--diff", "sub")
    assert (clean.code, clean.out) == (0, "")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "head", [b"", codecs.BOM_UTF8, b"# -*- coding: latin-1 -*-\n", b"\x0c\n", b"#!/usr/bin/env python\n"]
)
def test_all_other_bytes_stay(tmp_path: Path, head: bytes, end: str) -> None:
    encoding = "latin-1" if b"latin" in head else "utf-8"
    body = "é = '\x0c \t'   \n\tif_ = 'gradlint: ignore'\t\n".replace("\n\t", "\n") + "{}\nb = (1,  # c\n  2)  "
    before, after = (
        head + body.format(line).replace("\n", end).encode(encoding)
        for line in ("a = 'é'\t# gradlint: ignore[GL005]", "a = 'é'")
    )
    path = write(tmp_path, before)
    assert lint(tmp_path, "--source", "--fix", "m.py").code == 0
    assert path.read_bytes() == after


def test_mode_links_and_neighbours_stay(tmp_path: Path) -> None:
    path = write(tmp_path, IDLE)
    path.chmod(0o751)
    (tmp_path / "link.py").symlink_to("m.py")
    assert lint(tmp_path, "--source", "--fix", "link.py").code == 0
    assert (tmp_path / "link.py").is_symlink()
    assert path.read_text() == CLEAN
    assert path.stat().st_mode & 0o777 == 0o751
    assert sorted(os.listdir(tmp_path)) == ["link.py", "m.py"]


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    path = write(tmp_path, IDLE)
    other = write(tmp_path, IDLE, "a.py")
    path.chmod(0o444)
    done = lint(tmp_path, "--source", "--fix", "a.py", "m.py")
    assert done.code == 2
    assert done.notes[-1] == "gradlint: error: m.py: cannot be fixed: the file is read-only"
    assert path.read_text() == other.read_text() == IDLE
    assert lint(tmp_path, "--source", "--diff", "m.py").code == 1


def test_standard_input_comes_out_fixed(tmp_path: Path) -> None:
    done = lint(tmp_path, "--fix", "-", stdin=IDLE + "c = 1  # gradlint: ignore[nosuch]\r\n")
    assert done.code == 1
    assert done.out == CLEAN + "c = 1  # gradlint: ignore[nosuch]\r\n"
    assert "GL005" in done.err
    assert "Fixed 1 finding" in done.err
    untouched = lint(tmp_path, "--fix", "-", stdin=CLEAN)
    assert (untouched.code, untouched.out) == (0, CLEAN)
    diff = lint(tmp_path, "--diff", "--stdin-filename", "x.py", "-", stdin=IDLE)
    assert diff.code == 1
    assert diff.out.startswith("--- x.py\n+++ x.py\n")


def test_only_targets_and_only_what_is_selected(tmp_path: Path) -> None:
    path = write(tmp_path, IDLE)
    assert lint(tmp_path, "--source", "--fix", "--ignore", "GL002", "m.py").code == 0
    assert path.read_text() == IDLE


def test_settings_may_ask_for_fixes(tmp_path: Path) -> None:
    path = write(tmp_path, IDLE)
    write(tmp_path, "[tool.gradlint]\nfix = true\n", "pyproject.toml")
    assert gradlint(tmp_path, "--no-cache", "--source", "m.py").code == 0
    assert path.read_text() == CLEAN


def test_nothing_fixable_imports_no_libcst(tmp_path: Path) -> None:
    path = write(tmp_path, IDLE)
    code = (
        "import sys; from gradlint.cli import run; "
        f"code = run(['check', '--isolated', '--no-cache', '--source', '--fix', {str(path)!r}]); "
        "print(code, 'libcst' in sys.modules, 'gradlint.fixes.repair' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False", "False"]


def test_a_recorded_file_is_fixed_and_recorded_again(tmp_path: Path) -> None:
    path = write(tmp_path, PYRAMID)
    done = lint(tmp_path, "--notes", "--fix", "m.py")
    assert path.read_text() == SAFELY
    assert done.notes[-1] == "gradlint: Fixed 3 findings; 1 more with --unsafe-fixes"
    assert (done.code, "GL301" in done.out, "GL110" in done.out) == (0, True, False)
    diff = lint(tmp_path, "--notes", "--diff", "--unsafe-fixes", "m.py")
    assert diff.code == 1
    assert path.read_text() == SAFELY
    done = lint(tmp_path, "--notes", "--fix", "--unsafe-fixes", "m.py")
    assert (done.code, path.read_text()) == (0, UNSAFELY)
    assert lint(tmp_path, "--notes", "--fix", "--unsafe-fixes", "m.py").code == 0
    assert path.read_text() == UNSAFELY


def notebook(*cells: str, indent: int | None = 1) -> str:
    made = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": text.splitlines(keepends=True)} for text in cells
    ]
    content = {"cells": [{"cell_type": "markdown", "source": "# 梯度"}, *made], "metadata": {}, "nbformat": 4}
    return json.dumps(content, indent=indent, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("indent", [1, 2, None])
def test_a_notebook_is_fixed_in_its_cells(tmp_path: Path, indent: int | None) -> None:
    head, _, rest = PYRAMID.partition("\n\n\n")
    fixed_head, _, fixed_rest = SAFELY.partition("\n\n\n")
    path = write(tmp_path, notebook("%matplotlib inline\n" + head, "  x = 1", "!ls\n" + rest, indent=indent), "n.ipynb")
    lint(tmp_path, "--fix", "n.ipynb")
    expected = notebook("%matplotlib inline\n" + fixed_head, "  x = 1", "!ls\n" + fixed_rest, indent=indent)
    assert path.read_text(encoding="utf-8") == expected


def test_a_notebook_in_a_json_of_its_own_is_left_alone(tmp_path: Path) -> None:
    text = notebook(PYRAMID).replace('"nbformat": 4', '"nbformat":    4')
    path = write(tmp_path, text, "n.ipynb")
    done = lint(tmp_path, "--fix", "n.ipynb")
    assert done.code == 1
    assert path.read_text(encoding="utf-8") == text


def test_the_diff_of_a_notebook_shows_the_lines_of_its_cells(tmp_path: Path) -> None:
    write(tmp_path, notebook(PYRAMID), "n.ipynb")
    done = lint(tmp_path, "--diff", "n.ipynb")
    assert "+        self.rates = torch.nn.ModuleList()" in done.out
