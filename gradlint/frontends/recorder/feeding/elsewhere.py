"""The other files of a project: the calls of a model that they make, read without running them."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import itertools
import os
import pathlib
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradlint.frontends.recorder.feeding.evaluate import LIBRARIES, Evaluator
from gradlint.frontends.recorder.feeding.functions import HARMFUL
from gradlint.frontends.recorder.feeding.limits import Unknown
from gradlint.frontends.recorder.feeding.scopes import Scope, file_scopes, is_main_guard, own_nodes
from gradlint.frontends.recorder.feeding.trial import quiet
from gradlint.frontends.recorder.loading import project_root, search_path
from gradlint.frontends.recorder.standins import StandIns

MAX_FOLDERS = 300
MAX_FILES = 400
MAX_BYTES = 200_000
"""Longer files are data or generated."""
MAX_READ = 12
"""Files that are parsed for the calls of one model."""
MAX_HOPS = 6
"""Files through which one name is passed on."""
_SKIPPED = frozenset({"venv", "env", "site-packages", "node_modules", "build", "dist", "docs"})
_STARTING = HARMFUL | {"parse_args", "parse_known_args", "open", "input", "main"}
"""Calls of an import that does more than define."""
_SETTINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, eq=False)
class Reading:
    """One other file, parsed, with what finds values in it."""

    path: pathlib.Path
    tree: ast.Module
    scopes: tuple[Scope, ...]
    evaluator: Evaluator


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """The files of the project around the imported file `own`."""

    own: pathlib.Path
    module: types.ModuleType

    @functools.cached_property
    def files(self) -> tuple[pathlib.Path, ...]:
        """The project's other Python files, nearest first."""
        files = [file for file in _walked(self._folders[-1], recursive=self._is_project) if file.suffix == ".py"]
        near = sorted(files, key=lambda file: (-_shared(file, self.own), str(file)))
        return tuple(file for file in near if file != self.own)

    @functools.cached_property
    def settings(self) -> tuple[pathlib.Path, ...]:
        """The project's YAML and JSON files."""
        return tuple(f for f in _walked(self._folders[-1], recursive=self._is_project) if f.suffix in _SETTINGS)

    @functools.cached_property
    def _folders(self) -> list[pathlib.Path]:
        return search_path(project_root(self.own))

    @functools.cached_property
    def _tops(self) -> tuple[pathlib.Path, ...]:
        """The folders below which modules are named: that of the imported file's own name, then the project's."""
        parts = self.module.__name__.split(".")
        own = self.own.parents[min(len(parts), len(self.own.parents)) - 1]
        return (own, *reversed(self._folders)) if parts[-1] == self.own.stem else (*reversed(self._folders),)

    @property
    def _is_project(self) -> bool:
        return (self._folders[-1] / ".git").exists() or len(self._folders) > 1

    def mentioning(self, text: str) -> Iterator[Reading]:
        """The files whose text has `text`, nearest first."""
        found = 0
        for file in self.files:
            if found < MAX_READ and text in text_of(file) and (reading := self.reading(file)) is not None:
                found += 1
                yield reading

    def calls(self, name: str) -> Iterator[tuple[ast.Call, Scope, Evaluator]]:
        """The calls of the class or factory `name` of the imported file."""
        made = vars(self.module).get(name)
        for reading in self.mentioning(f"{name}("):
            for scope in reading.scopes:
                for call in scope.calls:
                    if _last(call.func) == name and self._means(call.func, reading, made):
                        yield call, scope, reading.evaluator

    def imported_readings(self, tree: ast.Module) -> Iterator[Reading]:
        """The files of the project that the imported file imports, and those that they import."""
        waiting, seen = [(tree, self.own)], {self.own}
        while waiting and len(seen) <= MAX_READ:
            tree, file = waiting.pop(0)
            imports = [(module, name, level) for _, (module, name, level) in _imports(tree)]
            places = {self._place(module, level, file) for module, _, level in imports}
            places |= {self._place(f"{module}.{name}", level, file) for module, name, level in imports if name}
            for place in sorted(one for one in places if one is not None and one not in seen):
                seen.add(place)
                if (reading := self.reading(place)) is not None:
                    waiting.append((reading.tree, place))
                    yield reading

    def reading(self, file: pathlib.Path) -> Reading | None:
        """The file parsed, None when it is no Python of today."""
        if file not in self._readings:
            self._readings[file] = self._read(file)
        return self._readings[file]

    @functools.cached_property
    def _readings(self) -> dict[pathlib.Path, Reading | None]:
        return {}

    def _read(self, file: pathlib.Path) -> Reading | None:
        try:
            tree = ast.parse(text_of(file))
        except (SyntaxError, ValueError):
            return None
        scopes = file_scopes(tree)
        foreign = types.ModuleType(file.stem)
        imports = dict(_imports(tree))

        def imported(name: str, hops: int = 0) -> Any:
            if name not in imports:
                raise Unknown(f"the name {name}")
            return self._imported(*imports[name], file, hops)

        trusted = frozenset({self.module.__name__, *_project_modules(self._folders[-1])})
        return Reading(file, tree, scopes, Evaluator(scopes, foreign, imported=imported, trusted=trusted))

    def _means(self, function: ast.expr, reading: Reading, made: Any) -> bool:
        """Whether a call in another file is one of the imported file's class or factory."""
        if isinstance(function, ast.Attribute):
            return True
        name = _last(function)
        if any(getattr(node, "name", "") == name for node in reading.tree.body):
            return False
        try:
            return reading.evaluator.imported(name) is made
        except Exception:
            return any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in reading.tree.body)

    def _imported(self, module: str, name: str, level: int, file: pathlib.Path, hops: int) -> Any:
        """What `from module import name` in `file` gives; the module itself when `name` is empty."""
        if not level and module.partition(".")[0] in LIBRARIES:
            found = importlib.import_module(module)
            return getattr(found, name) if name else found
        place = self._place(module, level, file)
        if place is None or hops > MAX_HOPS:
            raise Unknown(f"the module {module}")
        if place == self.own:
            return getattr(self.module, name) if name else self.module
        reading = self.reading(place)
        if reading is None or not name:
            raise Unknown(f"the module {module}")
        node = next((one for one in reading.tree.body if getattr(one, "name", "") == name), None)
        if isinstance(node, ast.ClassDef) and _is_plain(reading.tree) and "Module" in ast.dump(ast.Tuple(node.bases)):
            return _class_of(place, name, self._tops)
        try:
            return reading.evaluator.named(name, hops + 1)
        except Unknown:
            if any(name in one.bindings for one in reading.scopes if one.kind == "module"):
                return vars(self.loaded(reading))[name]
            raise

    def loaded(self, reading: Reading) -> types.ModuleType:
        """The module of another file of the project, imported where that only defines; raises Unknown elsewhere."""
        if not _is_plain(reading.tree) or _top_calls(reading.tree) & _STARTING:
            raise Unknown(f"the import of {reading.path.stem}")
        self._name_own()
        return _module_of(reading.path, self._tops)

    def _name_own(self) -> None:
        """Gives the imported file the names under which the project's other files import it."""
        for top in self._folders:
            if top in self.own.parents:
                name = ".".join(self.own.relative_to(top).with_suffix("").parts)
                present = getattr(sys.modules.get(name), "__file__", None)
                if name not in sys.stdlib_module_names and present in (None, str(self.own)):
                    sys.modules[name] = self.module

    def _place(self, module: str, level: int, file: pathlib.Path) -> pathlib.Path | None:
        parts = [part for part in module.split(".") if part]
        starts = [file.parents[level - 1]] if level else [file.parent, *self._folders]
        for start in starts:
            for found in (
                start.joinpath(*parts[:-1], f"{parts[-1]}.py") if parts else None,
                start.joinpath(*parts, "__init__.py"),
            ):
                if found is not None and found.exists():
                    return found
        return None


def elsewhere(module: types.ModuleType) -> Elsewhere | None:
    """The project around an imported file, None for a module without one."""
    file = getattr(module, "__file__", None)
    path = pathlib.Path(file).absolute() if file else None
    return Elsewhere(path, module) if path is not None and path.exists() else None


def _walked(top: pathlib.Path, *, recursive: bool) -> Iterator[pathlib.Path]:
    files = 0
    for folder, below, names in itertools.islice(os.walk(top), MAX_FOLDERS):
        kept = [name for name in below if name not in _SKIPPED and not name.startswith((".", "_"))]
        below[:] = sorted(kept) if recursive else []
        found = [pathlib.Path(folder, name) for name in sorted(names) if name.endswith((".py", *_SETTINGS))]
        files += len(found)
        yield from found
        if files > MAX_FILES:
            return


def _shared(one: pathlib.Path, other: pathlib.Path) -> int:
    """How many folders two paths have in common."""
    return next((i for i, (a, b) in enumerate(zip(one.parts, other.parts, strict=False)) if a != b), 0)


@functools.cache
def text_of(file: pathlib.Path) -> str:
    """What is in a file; nothing where it is too long or cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.stat().st_size < MAX_BYTES else ""
    except OSError:
        return ""


def _imports(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str, int]]]:
    """Each imported name, with the module, the name there and the level of a relative import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, (alias.name if alias.asname else top, "", 0)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, (node.module or "", alias.name, node.level)


def _is_plain(tree: ast.Module) -> bool:
    """Whether importing a file does nothing but define."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Expr)
    return all(isinstance(node, kinds) or is_main_guard(node) for node in tree.body) and not any(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) for node in tree.body
    )


def _class_of(place: pathlib.Path, name: str, tops: tuple[pathlib.Path, ...]) -> Any:
    """A model class of another file of the project, which the recorder's own finder imports."""
    found = getattr(_module_of(place, tops), name, None)
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise Unknown(name)
    return found


def _module_of(place: pathlib.Path, tops: tuple[pathlib.Path, ...]) -> types.ModuleType:
    """The module of a file of the project, imported where it is not yet."""
    loaded = next((one for one in list(sys.modules.values()) if getattr(one, "__file__", None) == str(place)), None)
    try:
        with quiet():
            return loaded or _imported_with_standins(_dotted(place, tops), place)
    except (Exception, SystemExit) as problem:
        raise Unknown(f"the import of {place.stem}") from problem


def _imported_with_standins(name: str, place: pathlib.Path) -> types.ModuleType:
    """The module imported, with stand-ins for the libraries that are not installed."""
    absent = next((one for one in sys.meta_path if isinstance(one, StandIns)), None)
    while True:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as problem:
            top = (problem.name or "").partition(".")[0]
            own = any((one / top).exists() or (one / f"{top}.py").exists() for one in search_path(project_root(place)))
            if absent is None or not top or own or top in absent.names:
                raise
            absent.names.add(top)


def _top_calls(tree: ast.Module) -> frozenset[str]:
    """The names of what a file calls when it is imported."""
    nodes = own_nodes(tuple(node for node in tree.body if not is_main_guard(node)))
    return frozenset(_last(node.func) for node in nodes if isinstance(node, ast.Call))


def _dotted(place: pathlib.Path, tops: tuple[pathlib.Path, ...]) -> str:
    """The name under which a file is importable from the folders that are searched, `tops` first."""
    near = [pathlib.Path(folder) for folder in sys.path if folder and pathlib.Path(folder) in place.parents]
    own = [top for top in tops if top in near]
    top = own[0] if own else min(near, key=lambda one: len(one.parts), default=place.parent)
    parts = place.relative_to(top).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _project_modules(top: pathlib.Path) -> Iterator[str]:
    """The names of the loaded modules of a project."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(f"{top}{os.sep}"):
            yield name


def _last(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
