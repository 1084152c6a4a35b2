"""What a target means, and which files a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradlint import discover, listing
from gradlint.config import Settings
from gradlint.discover import TargetKind
from gradlint.errors import UsageError

NET = "from torch import nn\n\nclass Net(nn.Module):\n    pass\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder: Path, *names: str, text: str = "a = 1\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def files(*texts: str, **settings: Any) -> list[str]:
    return [target.path for target in discover.find(texts, lambda folder: Settings(**settings))]


@pytest.mark.parametrize(
    ("text", "kind", "path", "symbol", "depth"),
    [
        ("m.py", TargetKind.FILE, "m.py", None, "trace"),
        ("d", TargetKind.FOLDER, "d", None, "source"),
        ("m.py:Net", TargetKind.SYMBOL, "m.py", "Net", "trace"),
        ("m.py:build()", TargetKind.SYMBOL, "m.py", "build()", "trace"),
        ("m.py:build(3, n='a:b')", TargetKind.SYMBOL, "m.py", "build(3, n='a:b')", "trace"),
        ("d.inner:Net", TargetKind.MODULE, "d/inner.py", "Net", "trace"),
        ("hf:bert", TargetKind.HUB, "", "hf:bert", "trace"),
        ("timm:resnet18", TargetKind.HUB, "", "timm:resnet18", "trace"),
        ("-", TargetKind.STDIN, "<stdin>", None, "source"),
    ],
)
def test_kinds(here: Path, text: str, kind: TargetKind, path: str, symbol: str | None, depth: str) -> None:
    put(here, "m.py", "d/__init__.py", "d/inner.py")
    target = discover.parse(text, Settings())
    assert (target.kind, target.path, target.symbol, target.depth) == (kind, path, symbol, depth)
    assert target.text == text


def test_a_module_is_found_and_not_imported(here: Path) -> None:
    put(here, "package/__init__.py", "package/part.py", text="raise RuntimeError\n")
    assert discover.parse("package.part:Net", Settings()).path == "package/part.py"


@pytest.mark.parametrize("text", ["x.py", "x", "x.py:Net", "x.y:Net", "d.x:Net", "sys:Net", "", "d/x"])
def test_what_does_not_exist(here: Path, text: str) -> None:
    put(here, "d/__init__.py")
    with pytest.raises(UsageError):
        discover.parse(text, Settings())


def test_a_flag_decides_the_depth(here: Path) -> None:
    put(here, "m.py", "d/m.py")
    assert discover.parse("m.py", Settings(depth="source")).depth == "source"
    assert discover.parse("d", Settings(depth="trace")).depth == "trace"


def test_a_folder_holds_all_python_below(here: Path) -> None:
    put(here, "b.py", "a/c.py", "a/b/d.py", "a/notes.txt", ".venv/x.py", "__pycache__/y.py", "a/node_modules/z.py")
    assert files(".") == ["a/b/d.py", "a/c.py", "b.py"]


def test_the_same_file_is_looked_at_once(here: Path) -> None:
    put(here, "a/b.py", "a/c.py")
    assert files("a/b.py", "a", "./a/b.py", "a/b.py") == ["a/b.py", "a/c.py"]


def test_a_named_file_keeps_its_depth_beside_its_folder(here: Path) -> None:
    put(here, "a/b.py", "a/c.py")
    for texts in (("a", "a/b.py"), ("a/b.py", "a")):
        depths = {target.path: target.depth for target in discover.find(texts, lambda folder: Settings())}
        assert depths == {"a/b.py": "trace", "a/c.py": "source"}


def test_a_folder_that_cannot_be_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here, "a/b.py")

    def refuse(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    with pytest.raises(UsageError, match="a: cannot be read: permission denied"):
        files("a")


def test_gitignore(here: Path) -> None:
    put(here, "a.py", "skip/b.py", "deep/skip.py", "deep/keep.py", "deep/made/c.py", "deep/made_not/d.py")
    put(here, ".gitignore", text="skip/\n/deep/*.py\n!keep.py\n# made_not\n")
    put(here, "deep/.gitignore", text="made/\n")
    assert files(".") == ["a.py", "deep/keep.py", "deep/made_not/d.py"]


def test_gitignore_above_the_target_counts_inside_a_repository(here: Path) -> None:
    put(here, "d/a.py", "d/b.py")
    put(here, ".gitignore", text="b.py\n")
    assert files("d") == ["d/a.py", "d/b.py"]
    (here / ".git").mkdir()
    assert files("d") == ["d/a.py"]


def test_an_inner_gitignore_can_take_back(here: Path) -> None:
    put(here, "d/a.py", "b.py")
    put(here, ".gitignore", text="*.py\n")
    put(here, "d/.gitignore", text="!a.py\n")
    assert files(".") == ["d/a.py"]


def test_a_named_file_is_never_ignored(here: Path) -> None:
    put(here, "a.py")
    put(here, ".gitignore", text="*.py\n")
    assert files("a.py", exclude=("a.py",)) == ["a.py"]


def test_a_named_folder_is_never_ignored(here: Path) -> None:
    put(here, "build/a.py", "build/build/b.py", "made/c.py", "d.py")
    put(here, ".gitignore", text="made/\n")
    (here / ".git").mkdir()
    assert files(".") == ["d.py"]
    assert files("build") == ["build/a.py"]
    assert files("made") == ["made/c.py"]
    assert files("made", exclude=("made/",), root=str(here)) == ["made/c.py"]


def test_exclude(here: Path) -> None:
    put(here, "a.py", "b/c.py", "b/d_test.py")
    assert files(".", exclude=("*_test.py", "a.py"), root=str(here)) == ["b/c.py"]


def test_links_in_a_circle(here: Path) -> None:
    put(here, "a/b.py")
    (here / "a" / "again").symlink_to(here / "a", target_is_directory=True)
    assert files(".") == ["a/b.py"]


def test_tracing_a_folder_takes_the_files_with_models(here: Path) -> None:
    put(here, "d/model.py", text=NET)
    put(here, "d/own_base.py", text="class Net(Base):\n    def forward(self, x):\n        return x\n")
    put(here, "d/helpers.py", text="class Config:\n    pass\n")
    put(here, "d/broken.py", text="class Net(\n")
    assert files("d", depth="trace") == ["d/broken.py", "d/model.py", "d/own_base.py"]
