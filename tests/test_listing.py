"""Which files a folder holds: as git says, or by the .gitignore files; always the same ones in the same order."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlint import discover, listing
from gradlint.config import Settings, SettingsTree
from tests.command import gradlint

NAMES = (
    "a.py",
    "b.ipynb",
    "deep/c.py",
    "deep/er/d.py",
    "made/e.py",
    "made/f.py",
    "notes.txt",
    ".hidden/g.py",
    "dist/h.py",
)
PATTERNS = ("*.py", "made/", "/deep", "!c.py", "a.py", "deep/er/", "**/f.py", "# a comment", "made/*", "!made/e.py")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments], cwd=folder, check=True, capture_output=True
    )


def put(folder: Path, *names: str, text: str = "a = 1\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def repository(here: Path) -> Path:
    git(here, "init", "-q")
    return here


def files(folder: str = ".", skipped: list[str] | None = None, **values: object) -> list[str]:
    told = [] if skipped is None else skipped
    return list(listing.files(folder, lambda _: Settings(**values), lambda path, why: told.append(path)))  # type: ignore[arg-type]


def test_notebooks_are_listed_too(here: Path) -> None:
    put(here, "a.ipynb", "b.py", ".ipynb_checkpoints/a.ipynb")
    assert files() == ["a.ipynb", "b.py"]


def test_git_lists_tracked_and_untracked_files(repository: Path) -> None:
    put(repository, "tracked.py", "fresh.py", "ignored.py", "deleted.py", "deep/other.py")
    put(repository, ".gitignore", text="ignored.py\n")
    git(repository, "add", "tracked.py", "deleted.py")
    (repository / "deleted.py").unlink()
    assert files() == ["deep/other.py", "fresh.py", "tracked.py"]
    assert files("deep") == ["deep/other.py"]
    assert files(str(repository / "deep")) == [str(repository / "deep" / "other.py")]


def test_what_only_git_knows_is_obeyed(repository: Path) -> None:
    put(repository, "a.py", "b.py")
    put(repository, ".git/info/exclude", text="b.py\n")
    assert files() == ["a.py"]


def test_repositories_inside_of_a_repository(repository: Path) -> None:
    put(repository, "a.py", "inner/b.py", "inner/c.py", "inner/.gitignore", text="c.py\n")
    git(repository / "inner", "init", "-q")
    assert files() == ["a.py", "inner/b.py"]


def test_a_folder_that_git_ignores_can_be_named(repository: Path) -> None:
    put(repository, "made/a.py", "b.py")
    put(repository, ".gitignore", text="made/\n")
    assert files() == ["b.py"]
    assert files("made") == ["made/a.py"]


def test_a_hook_speaks_of_another_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(repository, "a.py", "b.py")
    put(repository, ".gitignore", text="b.py\n")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert files() == ["a.py"]


def test_a_repository_executes_nothing(repository: Path) -> None:
    put(repository, "a.py")
    mark = repository / "executed"
    hook = repository / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n", encoding="utf-8")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    assert files() == ["a.py"]
    assert not mark.exists()


def test_virtual_environments_are_left_out(here: Path) -> None:
    put(here, "a.py", "own_environment/pyvenv.cfg", "own_environment/lib/b.py", "venv/c.py", "x.egg-info/d.py")
    assert files() == ["a.py"]


def test_exclude_is_that_of_the_nearest_settings_file(here: Path) -> None:
    put(here, "a.py", "in/b.py", "in/c.py", "in/out/d.py", "out/e.py")
    put(here, "gradlint.toml", text="exclude = ['out']\n")
    put(here, "in/gradlint.toml", text="exclude = ['c.py']\n")
    assert list(listing.files(".", SettingsTree().at, lambda path, why: None)) == ["a.py", "in/b.py", "in/out/d.py"]


def test_links(here: Path) -> None:
    put(here, "a/b.py")
    (here / "a" / "circle").symlink_to(here, target_is_directory=True)
    (here / "link.py").symlink_to(here / "a" / "b.py")
    (here / "dangling.py").symlink_to(here / "nowhere.py")
    assert files() == ["a/b.py", "link.py"]


def test_a_name_that_is_no_text_is_told(here: Path) -> None:
    put(here, "a.py")
    Path(os.fsdecode(os.fsencode(str(here)) + b"/\xff.py")).write_text("a = 1\n", encoding="utf-8")
    told: list[str] = []
    assert files(skipped=told) == ["a.py"]
    assert told == ["\\xff.py"]
    done = gradlint(here, ".")
    assert done.code == 0
    assert "gradlint: \\xff.py is left out: its name is not UTF-8" in done.notes


def test_an_inner_folder_that_cannot_be_read_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here, "a.py", "in/b.py")
    scan = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("in"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    told: list[str] = []
    assert files(skipped=told) == ["a.py"]
    assert told == ["./in"]


@settings(max_examples=40, deadline=None)
@given(patterns=st.lists(st.sampled_from(PATTERNS), max_size=4))
def test_git_and_the_walk_agree(tmp_path_factory: pytest.TempPathFactory, patterns: list[str]) -> None:
    folder = tmp_path_factory.mktemp("tree")
    put(folder, *NAMES)
    put(folder, ".gitignore", text="\n".join(patterns))
    walked = list(listing.files(str(folder), lambda _: Settings(), lambda path, why: None))
    git(folder, "init", "-q")
    listed = list(listing.files(str(folder), lambda _: Settings(), lambda path, why: None))
    assert walked == listed == sorted(walked, key=lambda path: path.split(os.sep))


def test_files_of_one_run_have_their_own_settings(here: Path) -> None:
    put(here, "a/x.py", "b/x.py", "c/x.py", text="a = 1  # gradlint: ignore[not-tracd]\n")
    put(here, "a/gradlint.toml", text="ignore = ['GL005']\n")
    put(here, "b/pyproject.toml", text="[tool.gradlint]\nper-file-ignores = {'x.py' = ['GL005']}\n")
    done = gradlint(here, "--output-format", "json", ".")
    assert [f["path"] for f in done.report["findings"] if f["code"] == "GL005"] == ["c/x.py"]


def test_a_mistake_in_an_inner_settings_file_is_one_line(here: Path) -> None:
    put(here, "x.py", "a/x.py")
    put(here, "a/gradlint.toml", text="ignroe = ['GL005']\n")
    done = gradlint(here, "-q", ".")
    assert (done.code, done.out) == (2, "")
    assert done.notes == [
        'gradlint: error: a/gradlint.toml: unknown key "ignroe" in the gradlint settings (did you mean "ignore"?)'
    ]


def test_the_depth_of_a_folder_is_that_of_its_settings(here: Path) -> None:
    put(here, "x.py")
    put(here, "gradlint.toml", text="depth = 'source'\n")
    assert [target.depth for target in discover.find(["x.py", "."], SettingsTree().at)] == ["source"]
