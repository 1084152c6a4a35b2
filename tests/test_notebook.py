"""Notebooks: what only IPython understands is masked, and every position is that of the user's cell."""

from __future__ import annotations

import ast
import contextlib
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlint import magics, notebook
from gradlint.notebook import Notebook, OtherLanguageError
from gradlint.source import SourceError
from tests.command import gradlint

PIECES = (
    "x = 1",
    "%matplotlib inline",
    "%time y = f(x)",
    "!pip install torch \\\n   numpy",
    "files = !ls -l",
    "net?",
    "??net.forward",
    "s = '''\n!not a command\n%not magic\n'''",
    "z = (3\n    % 2)",
    "if x:\n    !ls\n    %cd ..\n    w = '梯'",
    "def f(a):\n    return a  # 梯度",
    "",
    "# only a comment",
    "v = f(\n    x,\n)",
    "pip install torch",
    "await g()",
)
PYTHON = tuple(piece for piece in PIECES if not set("%!?") & set(piece.split("'''")[0]) and "pip" not in piece)
CELL_MAGICS = ("%%time", "%%capture out", "%%bash", "%%html", "%%writefile a.py")

lines_of_a_cell = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("\n".join)
cells = st.one_of(
    lines_of_a_cell,
    st.tuples(st.sampled_from(CELL_MAGICS), lines_of_a_cell).map("\n".join),
    st.sampled_from(["def f(:", "x = = 2\ny = 1", "  indented = 1\n  z = 2", "  x = = 1", "\0", "'''"]),
)


def content(*sources: str, kind: str = "code", **metadata: Any) -> bytes:
    made = nbformat.v4.new_notebook(metadata=metadata)
    made.cells = [nbformat.v4.new_code_cell(text) if kind == "code" else text for text in sources]
    return nbformat.writes(made).encode()


def read(*sources: str) -> Notebook:
    found = notebook.decode("a.ipynb", content(*sources))
    assert isinstance(found, Notebook)
    return found


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("%matplotlib inline\nx = 1", "...               \nx = 1"),
        ("!ls", "..."),
        ("x = !ls -l", "x = ...   "),
        ("%time y = f(x)", "if 1: y = f(x)"),
        ("%timeit -n 10 f()", "if 1:         f()"),
        ("%cd ..", "...   "),
        ("net?", "... "),
        ("?f", "0 "),
        ("if a:\n    !ls", "if a:\n    ..."),
        ("!pip install \\\n  torch\nx = 1", "...           \n       \nx = 1"),
        ("%%time\nx = 1", "      \nx = 1"),
        ("%%bash\nls *\nrm x", "      \n    \n    "),
        ("%%capture out\n!ls", "             \n..."),
        ("s = '''\n!a\n'''\n!b c", "s = '''\n!a\n'''\n... "),
        ("x = (5\n% 3)\n!b c", "x = (5\n% 3)\n... "),
        ("pip install torch", "...              "),
        ("ls = 3\n!a b", "ls = 3\n... "),
        ("d = '%s' % x\n!a b", "d = '%s' % x\n... "),
        ("t = a != b\n!a b", "t = a != b\n... "),
    ],
)
def test_masks(text: str, masked: str) -> None:
    assert magics.masked(text) == masked
    ast.parse(masked)


@given(st.text())
def test_masks_keep_every_length(text: str) -> None:
    masked = magics.masked(text)
    assert list(map(len, masked.split("\n"))) == list(map(len, text.split("\n")))


@given(st.lists(st.sampled_from(PYTHON), max_size=5).map("\n".join))
def test_python_is_left_alone(text: str) -> None:
    assert magics.masked(text) == text


@given(st.lists(cells, max_size=6))
def test_positions_are_those_of_the_cells(texts: list[str]) -> None:
    source = read(*texts)
    assert isinstance(source.tree, ast.Module)
    assert [cell.text for cell in source.cells] == texts
    for line, text in enumerate(source.lines, start=1):
        number, inner = source.cell_at(line)
        if not texts or text.strip() in ("", notebook.HEAD.strip()):
            continue
        assert len(source.cell_line(number, inner)) == len(text)
        if (
            text.strip()
            and not text.strip().startswith(("...", "0", "if 1:"))
            and "!" not in source.cell_line(number, inner)
        ):
            assert source.cell_line(number, inner) == text


@given(st.lists(cells, min_size=1, max_size=6))
def test_every_name_stands_where_the_user_wrote_it(texts: list[str]) -> None:
    source = read(*texts)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name):
            number, line = source.cell_at(node.lineno)
            column = source.column(node.lineno, node.col_offset)
            assert source.cell_line(number, line)[column - 1 :].startswith(node.id)


def test_an_indented_cell_is_python_as_in_ipython() -> None:
    source = read("y = 1", "    # all of it\n    x = y\n    if x:\n        z = x", "w = z")
    assert not source.faults
    assert ast.unparse(source.tree).endswith("w = z")
    assert source.cell_at(source.text.split("\n").index("    x = y") + 1) == (2, 2)


@given(st.lists(cells, min_size=1, max_size=6))
def test_each_broken_cell_has_its_own_fault(texts: list[str]) -> None:
    alone = [bool(read(text).faults) for text in texts]
    together = {number for number, _ in map(read(*texts).cell_at, (fault.line for fault in read(*texts).faults))}
    assert together == {number for number, broken in enumerate(alone, start=1) if broken}


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_nothing_crashes_it(data: bytes) -> None:
    with contextlib.suppress(SourceError, OtherLanguageError):
        assert notebook.decode("a.ipynb", data).tree


cell_like = st.fixed_dictionaries(
    {},
    optional={
        "cell_type": st.sampled_from(["code", "markdown", 3]),
        "source": st.text() | st.lists(st.text() | st.none()),
    },
)


@given(
    st.lists(cell_like | st.none() | st.integers()),
    st.dictionaries(st.sampled_from(["kernelspec", "language_info"]), st.none()),
)
def test_no_content_crashes_it(found: list[Any], metadata: dict[str, Any]) -> None:
    data = json.dumps({"nbformat": 4, "cells": found, "metadata": metadata}).encode()
    assert notebook.decode("a.ipynb", data).tree


def test_all_cells_are_counted() -> None:
    made = nbformat.v4.new_notebook()
    made.cells = [
        nbformat.v4.new_markdown_cell("a\nb"),
        nbformat.v4.new_code_cell("x = 1"),
        nbformat.v4.new_raw_cell("r"),
    ]
    made.cells.append(nbformat.v4.new_code_cell("y = 2\nz = 3"))
    source = notebook.decode("a.ipynb", nbformat.writes(made).encode())
    assert isinstance(source, Notebook)
    assert [source.cell_at(line) for line in (1, 2, 3)] == [(2, 1), (4, 1), (4, 2)]


def test_older_formats_are_converted() -> None:
    old = nbformat.v3.new_notebook(worksheets=[nbformat.v3.new_worksheet(cells=[nbformat.v3.new_code_cell("x = 1")])])
    assert notebook.decode("a.ipynb", nbformat.v3.writes_json(old).encode()).text == "x = 1"


def test_another_language() -> None:
    with pytest.raises(OtherLanguageError, match=r"a\.ipynb: the notebook is written in R"):
        notebook.decode("a.ipynb", content("x <- 1", kernelspec={"name": "ir", "display_name": "R", "language": "R"}))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "the notebook is no JSON"),
        (b"[]", "the notebook is no JSON object"),
        (b'{"nbformat": 4}', "the notebook has no list of cells"),
        (b'{"nbformat": 2}', "the notebook cannot be converted"),
        (b"\xff\xfe{", "the notebook is no JSON"),
    ],
)
def test_what_is_no_notebook(data: bytes, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        notebook.decode("a.ipynb", data)


UNKNOWN = "a = 1  # gradlint: ignore[not-tracd]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.ipynb").write_bytes(content("%cd ..\nx = 1", "def f(:\n    pass", f"!ls\n{UNKNOWN}"))
    (tmp_path / "r.ipynb").write_bytes(
        content("x <- 1", kernelspec={"name": "ir", "display_name": "R", "language": "R"})
    )
    (tmp_path / "broken.ipynb").write_bytes(b"{")
    return tmp_path


def test_positions_in_every_format(folder: Path) -> None:
    concise = gradlint(folder, "--output-format", "concise", ".")
    assert concise.code == 1
    assert [line.split(": ")[0] for line in concise.out.splitlines()] == [
        "a.ipynb:cell 2:1:7",
        "a.ipynb:cell 3:2:27",
        "broken.ipynb:1:2",
    ]
    assert "gradlint: r.ipynb is left out: the notebook is written in R" in concise.notes
    full = gradlint(folder, ".").out
    assert "a.ipynb:cell 3:2:27" in full
    assert f"2 | {UNKNOWN}" in full
    report = gradlint(folder, "--output-format", "json", ".").report
    places = [(f["path"], f["cell"], f["line"], f["column"]) for f in report["findings"]]
    assert places == [("a.ipynb", 2, 1, 7), ("a.ipynb", 3, 2, 27), ("broken.ipynb", None, 1, 2)]
    assert report["skipped"] == [{"path": "r.ipynb", "why": "the notebook is written in R"}]


def test_standard_input(folder: Path) -> None:
    text = (folder / "a.ipynb").read_text(encoding="utf-8")
    done = gradlint(folder, "-", "--stdin-filename", "b.ipynb", "--output-format", "concise", stdin=text)
    assert [line.split(": ")[0] for line in done.out.splitlines()] == ["b.ipynb:cell 2:1:7", "b.ipynb:cell 3:2:27"]


def test_comments_silence_in_their_cell(folder: Path) -> None:
    (folder / "a.ipynb").write_bytes(content(f"x = 1\n{UNKNOWN}  # gradlint: ignore[GL005]", UNKNOWN))
    done = gradlint(folder, "a.ipynb", "--source", "--output-format", "json")
    assert [(f["cell"], f["line"]) for f in done.report["findings"] if f["code"] == "GL005"] == [(2, 1)]
