"""`--diff-base`: only what stands on lines that were changed since a revision."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlint import changes
from gradlint.errors import UsageError
from tests.command import Done, gradlint

BAD = "a = {}  # gradlint: ignore[not-tracd]\n"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "m")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("".join(BAD.format(number) for number in range(6)), encoding="utf-8")
    commit(tmp_path)
    return tmp_path


def check(folder: Path, *flags: str) -> Done:
    return gradlint(folder, "--output-format", "json", *flags, ".")


def lines(done: Done) -> list[tuple[str, int]]:
    return [(name, line) for name, code, line in done.found if code == "GL005"]


def test_nothing_changed(here: Path) -> None:
    done = check(here, "--diff-base", "HEAD")
    assert (done.code, done.found) == (0, [])
    assert len(lines(check(here))) == 6


def test_changed_and_inserted_lines(here: Path) -> None:
    text = (here / "a.py").read_text(encoding="utf-8").splitlines(keepends=True)
    text[1] = BAD.format("changed")
    text[4:4] = ["x = 1\n", BAD.format("new")]
    del text[0]
    (here / "a.py").write_text("".join(text), encoding="utf-8")
    assert lines(check(here, "--diff-base", "HEAD")) == [("a.py", 1), ("a.py", 5)]
    commit(here)
    assert lines(check(here, "--diff-base", "HEAD")) == []
    assert lines(check(here, "--diff-base", "HEAD~1")) == [("a.py", 1), ("a.py", 5)]


def test_untracked_and_renamed_files(here: Path) -> None:
    git(here, "mv", "a.py", "b.py")
    (here / "b.py").write_text((here / "b.py").read_text(encoding="utf-8") + BAD.format("new"), encoding="utf-8")
    (here / "c é\t'.py").write_text(BAD.format("untracked"), encoding="utf-8")
    assert lines(check(here, "--diff-base", "HEAD")) == [("b.py", 7), ("c é\t'.py", 1)]
    git(here, "add", "-A")
    assert lines(check(here, "--diff-base", "HEAD")) == [("b.py", 7), ("c é\t'.py", 1)]


def test_from_a_folder_inside(here: Path) -> None:
    (here / "in").mkdir()
    (here / "in" / "d.py").write_text("x = 1\n", encoding="utf-8")
    commit(here)
    (here / "in" / "d.py").write_text("x = 1\n" + BAD, encoding="utf-8")
    assert lines(check(here / "in", "--diff-base", "HEAD")) == [("d.py", 2)]


def test_users_settings_of_git_change_nothing(here: Path) -> None:
    for key, value in [
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("color.ui", "always"),
        ("diff.external", "false"),
    ]:
        git(here, "config", key, value)
    (here / "a.py").write_text(BAD, encoding="utf-8")
    assert lines(check(here, "--diff-base", "HEAD")) == [("a.py", 1)]


def test_cells_of_a_notebook(here: Path) -> None:
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(f"x = 1\n{BAD.format(0)}y = 2"), nbformat.v4.new_code_cell(BAD.format(1))]
    nbformat.write(book, here / "n.ipynb")
    commit(here)
    assert lines(check(here, "--diff-base", "HEAD")) == []
    book.cells[1].source = f"z = 3\n{BAD.format(2)}"
    book.cells[0].outputs = [nbformat.v4.new_output("stream", text="1")]
    nbformat.write(book, here / "n.ipynb")
    found = check(here, "--diff-base", "HEAD").report["findings"]
    assert [(f["cell"], f["line"]) for f in found] == [(2, 2)]


@pytest.mark.parametrize("revision", ["nowhere", "--output=x", "HEAD:a.py", "", "a..b"])
def test_unknown_revisions(here: Path, revision: str) -> None:
    with pytest.raises(UsageError, match="git knows no such revision"):
        changes.since(revision, str(here))
    assert not (here / "x").exists()


def test_mistakes_are_one_line(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.py").write_text("", encoding="utf-8")
    for folder, words in ((here, "git knows no such revision"), (outside, "is in no git repository")):
        done = gradlint(folder, "-q", "--diff-base", "nowhere", ".")
        assert (done.code, done.out, len(done.notes)) == (2, "", 1)
        assert words in done.notes[0]


texts = st.lists(st.sampled_from(["a", "b", "-- c", "++ d", "@@ -1 +1 @@", ""]), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(texts, texts)
def test_lines_outside_of_the_changes_were_there_before(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q")
    file = folder / "a.py"
    file.write_text("\n".join(old) + "\n", encoding="utf-8")
    commit(folder)
    file.write_text("\n".join(new) + "\n", encoding="utf-8")
    since = changes.since("HEAD", str(folder))
    kept = [text for number, text in enumerate(new, start=1) if not since.touch(str(file), number, number)]
    rest = iter(old)
    assert all(text in rest for text in kept)
    assert bool(since.lines) == (old != new)
