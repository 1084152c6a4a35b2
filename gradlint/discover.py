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

from gradlint import notebook
from gradlint.errors import UsageError, did_you_mean
from gradlint.listing import SettingsAt, Skip, files
from gradlint.source import Source, SourceError, is_graph_file

if TYPE_CHECKING:
    from gradlint.config import Settings

Depth = Literal["trace", "source"]

_SYMBOL = re.compile(r"(?P<path>.+\.py):(?P<symbol>[A-Za-z_][\w.]*(?:\(.*\))?)")
_MODULE = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<symbol>[A-Za-z_][\w.]*(?:\(.*\))?)")
_HUB = re.compile(r"(?:hf|timm):.+")


class TargetKind(StrEnum):
    """What a target names."""

    FILE = "file"
    FOLDER = "folder"
    SYMBOL = "symbol"
    MODULE = "module"
    HUB = "hub"
    STDIN = "stdin"
    GRAPH = "graph"


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
    """The target that a text means; raises `UsageError` when nothing of this name exists. Reads no file.

    Notebooks are never traced: what their cells do depends on the order in which somebody ran them. Files that hold a
    graph are read, and nothing in them is run.
    """
    target = replace(_parsed(text, settings), text=text, depth="source")
    if target.path.endswith(notebook.SUFFIX) or target.kind is TargetKind.GRAPH:
        return target
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
    return Target(TargetKind.GRAPH if is_graph_file(text) else TargetKind.FILE, text)


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


def find(texts: Iterable[str], settings_at: SettingsAt, skip: Skip = lambda path, why: None) -> tuple[Target, ...]:
    """Every target once, in order, folders opened; raises `UsageError` for what does not exist.

    `skip` is told of files that are left out though nobody ignores them.
    """
    parsed = [parse(text, settings_at(folder_of(text))) for text in texts]
    found: dict[tuple[str, str | None], Target] = {}
    for target in (inner for outer in parsed for inner in _opened(outer, settings_at, skip)):
        place = (os.path.normpath(target.path), target.symbol)
        if target.named or place not in found:
            found[place] = target
    return tuple(found.values())


def folder_of(text: str) -> str:
    """The folder whose settings hold for a target: itself, or the one that it lies in."""
    if os.path.isdir(text):
        return text
    path = text if os.path.exists(text) else text.rpartition(":")[0]
    return os.path.dirname(path) if path and os.path.exists(path) else ""


def _opened(target: Target, settings_at: SettingsAt, skip: Skip) -> Iterator[Target]:
    if target.kind is not TargetKind.FOLDER:
        yield target
        return
    for path in files(target.path, settings_at, skip):
        if target.depth == "source" or defines_model(path):
            depth: Depth = "source" if path.endswith(notebook.SUFFIX) else target.depth
            yield Target(TargetKind.FILE, path, None, target.text, depth, named=False)


def load(target: Target, stdin: BinaryIO | None = None) -> Source:
    """The source of a target's file or of standard input; raises `SourceError`."""
    if target.kind is TargetKind.STDIN:
        return notebook.decode(target.path, (stdin or sys.stdin.buffer).read())
    return notebook.read(target.path)


def defines_model(path: str) -> bool:
    """Whether a class of a file looks like a model; a file that cannot be read counts, so that it is reported."""
    try:
        source = notebook.read(path)
        return "class " in source.text and any(map(_is_model, ast.walk(source.tree)))
    except (SourceError, notebook.OtherLanguageError):
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
