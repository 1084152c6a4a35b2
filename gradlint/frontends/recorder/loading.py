"""Imports the user's file (and what it imports of its own project) with the few rewrites that recording needs."""

from __future__ import annotations
import __future__

import ast
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import pathlib
import re
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from gradlint.frontends.recorder.frames import is_library
from gradlint.frontends.recorder.replaying.arranging import arranged
from gradlint.frontends.recorder.replaying.placeholder import Placeholder
from gradlint.frontends.recorder.replaying.slicing import without_training
from gradlint.frontends.recorder.rewrite import rewritten
from gradlint.frontends.recorder.standins import StandIns

NEEDED = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
"""Statements without which a file's models cannot be told."""
MAX_FILES = 64
"""Files of a folder that are searched for relative imports."""
MAX_ABOVE = 6
MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "README.md", "LICENSE")
"""Files at the top of a project that is no clone of a repository."""
_RELATIVE = re.compile(r"^(?:from \.+\w* import|from \.+\w)", re.MULTILINE)


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles rewritten source; writes no byte code."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> Any:  # type: ignore[override]
        return compile(
            rewritten(ast.parse(data, filename=str(path))), path, "exec", dont_inherit=True, optimize=_optimize
        )

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules that lie in the user's project."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        origin = spec.origin if spec else None
        if spec is None or origin is None or not origin.endswith(".py") or is_library(origin):
            return None
        spec.loader = _Loader(fullname, origin)
        return spec


@contextlib.contextmanager
def project(root: pathlib.Path) -> Iterator[StandIns]:
    """Makes the modules below `root` importable, rewritten for recording; yields what stands for missing libraries."""
    finder, absent = _Finder(), StandIns()
    sys.meta_path.insert(0, finder)
    sys.meta_path.insert(0, absent)
    before = list(sys.path)
    sys.path[:0] = map(str, search_path(root))
    try:
        yield absent
    finally:
        sys.meta_path.remove(finder)
        sys.meta_path.remove(absent)
        sys.path[:] = before


def load_with(absent: StandIns, path: pathlib.Path) -> tuple[ModuleType, ast.Module]:
    """Like `load`, with a stand-in for every library that is missing or broken and would end the import.

    The project's own modules are looked for as if the program were started from the file's package, from the
    repository's folder, or from the file's folder.
    """
    folders = [str(folder) for folder in search_path(project_root(path))]
    rest = [folder for folder in sys.path if folder not in folders]
    starts = iter([folders[:0:-1], [str(path.parent), *folders]])
    while True:
        before = set(sys.modules)
        try:
            return load(path)
        except Exception as problem:
            top = _unimportable(problem)
            new = set(sys.modules) - before
            if isinstance(problem, ImportError) and _is_own(top, path):
                if (start := next(starts, None)) is None:
                    raise
                sys.path[:] = [*start, *rest]
                _forget({name for name in new if not _is_foreign(name)})
                continue
            if not top or top in absent.names or _is_own(top, path):
                raise
            absent.names.add(top)
            _forget({name for name in new if _top(name) == top or not _is_foreign(name)})


def _unimportable(problem: Exception) -> str:
    """The library whose import, in the user's own code, raised; empty when something else did."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = next((f for f in reversed(frames) if not is_library(f.filename) and "/gradlint/" not in f.filename), None)
    try:
        statement = ast.parse((place.line if place else None) or "").body[0]
    except (SyntaxError, IndexError):
        return _top(problem.name or "") if isinstance(problem, ModuleNotFoundError) else ""
    imported = ""
    if isinstance(statement, ast.Import):
        imported = statement.names[0].name
    if isinstance(statement, ast.ImportFrom) and not statement.level:
        imported = statement.module or ""
    lacking = problem.name if isinstance(problem, ModuleNotFoundError) and _top(imported) == "torch" else None
    return _top(lacking or imported)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_own(top: str, path: pathlib.Path) -> bool:
    """Whether a name belongs to the user's project, to torch or to Python: its failure is the user's to see."""
    folders = [path.parent, *search_path(project_root(path))]
    own = any((folder / top).exists() or (folder / f"{top}.py").exists() for folder in folders)
    return own or top in {"torch", "numpy", *sys.stdlib_module_names}


def _is_foreign(name: str) -> bool:
    return is_library(getattr(sys.modules[name], "__file__", None) or "<")


def _forget(names: set[str]) -> None:
    for name in names:
        sys.modules.pop(name, None)


def load(path: pathlib.Path, name: str | None = None) -> tuple[ModuleType, ast.Module]:
    """The imported module of a file and its rewritten tree; the module is never called `__main__`, and statements that
    train at its top level are left out.

    Raises whatever the file raises while it is imported.
    """
    name = name or module_name(path)
    with arranged():
        module = _through_package(name, path) or _run(name, path)
    return module, rewritten(_parsed(path))


def _through_package(name: str, path: pathlib.Path) -> ModuleType | None:
    """The module of a file in a package, when importing the package brings it along.

    Raises ModuleNotFoundError for a library that the package needs.
    """
    package = name.rpartition(".")[0]
    if package:
        try:
            importlib.import_module(package)
            return sys.modules.get(name)
        except ModuleNotFoundError as problem:
            if not _is_own(_top(problem.name or ""), path):
                raise
        except Exception:
            return None
    return None


def _run(name: str, path: pathlib.Path) -> ModuleType:
    """Executes a file's statements as a new module.

    Where a statement needs data or a device which is not there, placeholders take the place of what it was to bind;
    definitions and imports have to work.
    """
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    assert spec is not None
    _with_parents(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    tree = rewritten(without_training(_parsed(path)))
    flags = _future_flags(tree)
    for statement in tree.body:
        code = compile(ast.Module([statement], []), str(path), "exec", flags=flags, dont_inherit=True)
        try:
            exec(code, vars(module))
        except (Exception, SystemExit) as problem:
            if any(isinstance(node, NEEDED) for node in ast.walk(statement)):
                raise
            vars(module).update({name: Placeholder(name, problem) for name in _assigned(statement)})
    return module


def _with_parents(name: str, path: pathlib.Path) -> None:
    """Packages of which only the folder is known, for those around a file whose own statements did not run."""
    while parent := name.rpartition(".")[0]:
        name, path = parent, path.parent
        if name not in sys.modules:
            package = sys.modules[name] = ModuleType(name)
            package.__path__ = [str(path)]


def _assigned(statement: ast.stmt) -> set[str]:
    """The names that a statement was to bind."""
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _future_flags(tree: ast.Module) -> int:
    """The compiler's flags for the `from __future__` imports of a file."""
    names = [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    ]
    return functools.reduce(lambda flags, name: flags | getattr(__future__, name).compiler_flag, names, 0)


def _parsed(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


def module_name(path: pathlib.Path) -> str:
    """The dotted name of a file inside its package, else its stem."""
    parts = [path.stem]
    folder = path.parent
    while _is_package(folder):
        parts.insert(0, folder.name)
        folder = folder.parent
    name = ".".join(parts)
    return name if name not in sys.modules and name != "__main__" else f"{name}_traced"


def project_root(path: pathlib.Path) -> pathlib.Path:
    """The folder from which a file's imports are resolved: the parent of its outermost package."""
    folder = path.parent
    while _is_package(folder):
        folder = folder.parent
    return folder


@functools.cache
def _is_package(folder: pathlib.Path) -> bool:
    """Whether a folder's files import each other as parts of a package, with or without an `__init__.py`."""
    if (folder / "__init__.py").exists():
        return True
    files = itertools.islice((file for file in folder.glob("*.py") if file.is_file()), MAX_FILES)
    return any(_RELATIVE.search(file.read_text(encoding="utf-8", errors="replace")) for file in files)


def search_path(root: pathlib.Path) -> list[pathlib.Path]:
    """The folders from which a project's programs may be started: `root`, and those above it up to the repository's."""
    above = [root, *itertools.islice(root.parents, MAX_ABOVE)]
    top = next((i for i, folder in enumerate(above) if (folder / ".git").exists()), None)
    if top is None:
        top = next((i for i, folder in enumerate(above) if any((folder / mark).exists() for mark in MARKS)), 0)
    return above[: top + 1]
