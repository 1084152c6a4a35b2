"""What a target is, which files it means, and how deep each of them is looked at."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import pathspec

from gradlint.errors import UsageError, did_you_mean
from gradlint.source import Source, SourceError, decode, read

if TYPE_CHECKING:
    from gradlint.config import Settings

Depth = Literal["trace", "source"]

SKIPPED_FOLDERS = (
    ".*/",
    "__pycache__/",
    "__pypackages__/",
    "venv/",
    "node_modules/",
    "site-packages/",
    "build/",
    "dist/",
    "*.egg-info/",
)
"""Folders that hold nobody's own sources; as patterns of a gitignore file."""

_SYMBOL = re.compile(r"(?P<path>.+\.py):(?P<symbol>[A-Za-z_][\w.]*(?:\(.*\))?)")
_MODULE = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<symbol>[A-Za-z_][\w.]*(?:\(.*\))?)")
_HUB = re.compile(r"(?:hf|timm):.+")
_LATER = {".onnx": "ONNX files", ".pt2": "exported programs", ".ipynb": "notebooks"}


class TargetKind(StrEnum):
    """What a target names."""

    FILE = "file"
    FOLDER = "folder"
    SYMBOL = "symbol"
    MODULE = "module"
    HUB = "hub"
    STDIN = "stdin"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to look at.

    `path` is the file as findings name it (empty for a hub model), `symbol` the class or the call inside of it, `text`
    what the user wrote, `named` whether the user named this very file.
    """

    kind: TargetKind
    path: str
    symbol: str | None = None
    text: str = ""
    depth: Depth = "trace"
    module: str | None = None
    named: bool = True


def parse(text: str, settings: Settings) -> Target:
    """The target that a text means; raises `UsageError` when nothing of this name exists. Reads no file."""
    target = replace(_parsed(text, settings), text=text)
    natural: Depth = "source" if target.kind in (TargetKind.FOLDER, TargetKind.STDIN) else "trace"
    return replace(target, depth=settings.depth or natural)


def _parsed(text: str, settings: Settings) -> Target:
    if text == "-":
        return Target(TargetKind.STDIN, settings.stdin_filename)
    if os.path.isdir(text):
        return Target(TargetKind.FOLDER, text)
    if os.path.exists(text):
        return _file(text)
    if _HUB.fullmatch(text):
        return Target(TargetKind.HUB, "", text)
    if match := _SYMBOL.fullmatch(text):
        return _existing(Target(TargetKind.SYMBOL, match["path"], match["symbol"]), text)
    if match := _MODULE.fullmatch(text):
        return Target(TargetKind.MODULE, _module_path(match["module"]), match["symbol"], module=match["module"])
    raise UsageError(f"{text}: no such file or folder{_near(text)}")


def _near(text: str) -> str:
    """The neighbour whose name is nearest to a path that does not exist."""
    folder, name = os.path.split(text)
    try:
        return did_you_mean(name, os.listdir(folder or "."))
    except OSError:
        return ""


def _file(text: str) -> Target:
    later = _LATER.get(Path(text).suffix)
    if later:
        raise UsageError(f"{text}: {later} are not supported yet")
    return Target(TargetKind.FILE, text)


def _existing(target: Target, text: str) -> Target:
    if not os.path.isfile(target.path):
        raise UsageError(f"{text}: no such file: {target.path}")
    return target


def _module_path(name: str) -> str:
    """The file of an importable module, found without importing anything."""
    places: Sequence[str] | None = [os.getcwd(), *sys.path]
    spec = None
    for index in range(name.count(".") + 1):
        spec = PathFinder.find_spec(".".join(name.split(".")[: index + 1]), places)
        places = spec.submodule_search_locations if spec else None
        if spec is None or (places is None and index < name.count(".")):
            raise UsageError(f"{name}: no such module in the working folder or the environment")
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UsageError(f"{name}: this module has no Python file")
    return _relative(spec.origin)


def find(texts: Iterable[str], settings: Settings) -> tuple[Target, ...]:
    """Every target once, in order, folders opened; raises `UsageError` for what does not exist."""
    parsed = [parse(text, settings) for text in texts]
    found: dict[tuple[str, str | None], Target] = {}
    for target in (inner for outer in parsed for inner in _opened(outer, settings)):
        place = (os.path.normpath(target.path), target.symbol)
        if target.named or place not in found:
            found[place] = target
    return tuple(found.values())


def _opened(target: Target, settings: Settings) -> Iterator[Target]:
    if target.kind is not TargetKind.FOLDER:
        yield target
        return
    for path in walk(target.path, settings):
        if target.depth == "source" or defines_model(path):
            yield Target(TargetKind.FILE, path, None, target.text, target.depth, named=False)


def walk(folder: str, settings: Settings) -> Iterator[str]:
    """Every Python file below a folder, sorted, without what .gitignore files and `exclude` name."""
    here = os.path.abspath(folder)
    excluded = _Ignored(os.path.abspath(settings.root or folder), settings.exclude)
    outer = (excluded, *_ignored_above(here))
    named_though_ignored = _is_ignored(here, True, outer)
    yield from _walk(folder, (_Ignored(here, SKIPPED_FOLDERS), *(() if named_though_ignored else outer)))


def _walk(folder: str, ignored: tuple[_Ignored, ...]) -> Iterator[str]:
    ignored = (*ignored, *_ignored_in(folder))
    for entry in _entries(folder):
        is_folder = entry.is_dir(follow_symlinks=False)
        if not is_folder and not entry.name.endswith(".py"):
            continue
        if _is_ignored(os.path.abspath(entry.path), is_folder, ignored):
            continue
        if is_folder:
            yield from _walk(entry.path, ignored)
        elif entry.is_file():
            yield os.path.normpath(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read: {(error.strerror or str(error)).lower()}") from None


class _Ignored:
    """The patterns of one .gitignore file and the folder that they are relative to."""

    def __init__(self, base: str, patterns: Iterable[str]) -> None:
        self.base = base
        self._spec = pathspec.GitIgnoreSpec.from_lines(patterns)

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """Whether a path is ignored, or None when no pattern speaks of it."""
        relative = os.path.relpath(path, self.base)
        if relative.startswith(os.pardir):
            relative = os.path.basename(path)
        return self._spec.check_file(relative + "/" * is_folder).include


def _is_ignored(path: str, is_folder: bool, ignored: Iterable[_Ignored]) -> bool:
    verdicts = [one.verdict(path, is_folder) for one in ignored]
    return next((verdict for verdict in reversed(verdicts) if verdict is not None), False)


def _ignored_in(folder: str) -> tuple[_Ignored, ...]:
    path = Path(folder, ".gitignore")
    if not path.is_file():
        return ()
    return (_Ignored(os.path.abspath(folder), path.read_text(encoding="utf-8", errors="replace").splitlines()),)


def _ignored_above(folder: str) -> tuple[_Ignored, ...]:
    """The .gitignore files from the repository's root down to the folder above this one."""
    parents = list(Path(folder).parents)
    roots = [index for index, parent in enumerate(parents) if (parent / ".git").exists()]
    if (Path(folder) / ".git").exists() or not roots:
        return ()
    return tuple(found for parent in reversed(parents[: roots[0] + 1]) for found in _ignored_in(str(parent)))


def load(target: Target, stdin: BinaryIO | None = None) -> Source:
    """The source of a target's file or of standard input; raises `SourceError`."""
    if target.kind is TargetKind.STDIN:
        return decode(target.path, (stdin or sys.stdin.buffer).read())
    return read(target.path)


def defines_model(path: str) -> bool:
    """Whether a class of a file looks like a model; a file that cannot be read counts, so that it is reported."""
    try:
        source = read(path)
        return "class " in source.text and any(map(_is_model, ast.walk(source.tree)))
    except SourceError:
        return True


def _is_model(node: ast.AST) -> bool:
    """A class with a `forward`, or one whose base is called `…Module`."""
    if not isinstance(node, ast.ClassDef):
        return False
    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    return "forward" in methods or any(ast.unparse(base).endswith("Module") for base in node.bases)


def _relative(path: str) -> str:
    try:
        return str(Path(path).resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return path
