"""The files of a project: which one an import means, and which statements of it bind a name."""

from __future__ import annotations

import ast
import functools
import gc
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gradlint.frame import Frame
from gradlint.frontends.compilers import compiles
from gradlint.source import Source, SourceError, read

LIBRARIES = frozenset(
    {"timm", "torchvision", "transformers", "diffusers", "torch_geometric", "segmentation_models_pytorch"}
)
"""Installed packages whose models are read as source."""

VOCABULARIES = frozenset(
    {"torch", "numpy", "scipy", "cv2", "PIL", "sklearn", "einops", "lightning", "pytorch_lightning", "accelerate"}
    | {"tensorflow", "keras", "jittor", "jax", "pandas", "matplotlib", "tqdm", "wandb", "omegaconf", "hydra", "yaml"}
    | set(sys.stdlib_module_names)
)
"""Packages that no file of a project stands for."""

SKIPPED = re.compile(
    r"/transformers/(modeling_utils|configuration_utils|utils/(?!generic)|generation/|integrations/(?!sdpa_attention)|"
    r"tokenization|image_|feature_|"
    r"processing_|quantizers/|trainer|data/|pipelines/|distributed|safetensors_)|/timm/models/_(hub|registry)"
)
"""Files of libraries that only keep house: downloads, checks, generation. What they define stays a library's name."""

_RELEVANT = ("backward", ".step(", "lightning", "transformers", "timm")
_RELEVANT_WORDS = {
    "torch": re.compile(r"torch\b(?<!\wtorch)"),
    "nn": re.compile(r"nn\b(?<!\wnn)"),
    "Module": re.compile(r"Module\b"),
}
"""Words by a part that a text without them mostly lacks; each begins with plain letters, which are searched fastest."""
_TRAINING = ("backward", "step")

STAR = b"import *"
"""Brings names into a file that its text does not spell."""

PACKAGE = "__init__.py"
PACKAGES = "/site-packages/"
SOURCE_FOLDERS = ("", "src")
MODELS_FOLDER = "models"
LINES_FORGOTTEN = 20_000
"""Lines of forgotten modules from which it is worth to look for them: what was read of a tree points back at it."""

LINES_KEPT = 40_000
"""Lines of modules that stay in memory from one file to the next: a tree takes about a kilobyte a line."""


@dataclass(eq=False)
class ModuleSource:
    """One Python file: `path` on disk, `name` its dotted name as it was imported, `user` whether it is no library's.

    `reads` keeps what `gradlint.frontends.static.reads` found in it.
    """

    path: str
    source: Source
    name: str = ""
    user: bool = True
    reads: Any = None
    _frames: dict[tuple[int, str], tuple[ast.AST, Frame]] = field(default_factory=dict, repr=False)

    @property
    def tree(self) -> ast.Module:
        """The syntax tree; raises `SourceError`."""
        return self.source.tree

    def package(self, level: int) -> str:
        """The dotted name of the package around a library's file, `level` folders up, as a relative import counts."""
        inside = self.path.rpartition(PACKAGES)[2].split("/")[:-level]
        return ".".join(inside) if PACKAGES in self.path else self.name.partition(".")[0]

    @cached_property
    def bindings(self) -> dict[str, list[ast.stmt]]:
        """The top-level statements that bind or change each name, in order."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            for name in dict.fromkeys(bound(statement)):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def compiles(self) -> bool:
        """Whether the program compiles or exports what it defines."""
        return compiles(self.source.text, self.tree)

    @cached_property
    def trains(self) -> bool:
        """Whether the text mentions anything that only training code calls."""
        return may_train(self.source.text)

    @cached_property
    def stars(self) -> list[ast.ImportFrom]:
        """The top-level `from … import *` statements."""
        body = [s for s in self.tree.body if not (isinstance(s, ast.If) and "TYPE_CHECKING" in ast.unparse(s.test))]
        return [s for s in statements(body) if isinstance(s, ast.ImportFrom) and s.names[0].name == "*"]

    @cached_property
    def size(self) -> int:
        """The number of its lines."""
        return self.source.text.count("\n")

    def text_of(self, node: ast.stmt | ast.Lambda) -> str:
        """The lines that a node stands on."""
        return "\n".join(self.source.lines[node.lineno - 1 : node.end_lineno])

    def frame(self, at: ast.AST, function: str = "") -> Frame:
        """The position of a node of this file."""
        key = (id(at), function)
        known = self._frames.get(key)
        if known is None:
            known = self._frames[key] = (at, self._frame(at, function))
        return known[1]

    def _frame(self, at: ast.AST, function: str) -> Frame:
        line, column = getattr(at, "lineno", 1), getattr(at, "col_offset", 0)
        end_line, end = getattr(at, "end_lineno", None) or line, getattr(at, "end_col_offset", None) or column
        source = self.source
        start, stop = source.column(line, column), source.column(end_line, end)
        return Frame(source.path, line, start, end_line, stop, function, self.user)


@dataclass(eq=False)
class Project:
    """The files below a root folder, and those of some installed libraries, found by their paths and read once.

    `asked` are the imports that were looked up, `skimmed` the files that were passed over for what their text lacks,
    `forgotten` counts the lines of modules that were dropped since the collector last looked for them.
    """

    root: str = ""
    modules: dict[str, ModuleSource | None] = field(default_factory=dict)
    found: dict[tuple[str, str], str | None] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)
    skimmed: set[str] = field(default_factory=set)
    forgotten: int = 0

    def module(self, path: str, name: str = "") -> ModuleSource | None:
        """The module of a file; None when it cannot be read or parsed."""
        module = self.modules.pop(path) if path in self.modules else _load(path, name)
        self.modules[path] = module
        return module

    def lend_tree(self, source: Source) -> None:
        """Gives a source the tree of its file, where that was parsed already because another file imports it."""
        module = self.modules.get(str(Path(source.path).absolute()))
        if module is not None and module.source.text == source.text:
            source.take_tree(module.source)

    def add(self, source: Source) -> ModuleSource:
        """The module of a source that is read already; what was read long ago is forgotten where it grows too much."""
        self._forget()
        path = str(Path(source.path).absolute())
        self.modules.pop(path, None)
        name = Path(source.path).stem
        module = self.modules[path] = ModuleSource(path, source, name, not is_library(path))
        return module

    def _forget(self) -> None:
        lines = 0
        kept: dict[str, ModuleSource | None] = {}
        for path, module in reversed(self.modules.items()):
            lines += module.size if module is not None else 0
            if lines > LINES_KEPT:
                break
            kept[path] = module
        if len(kept) < len(self.modules):
            self.forgotten += sum(m.size for path, m in self.modules.items() if m is not None and path not in kept)
            self.modules = dict(reversed(kept.items()))
        if self.forgotten > LINES_FORGOTTEN:
            self.forgotten = 0
            gc.collect()

    def find(self, importer: ModuleSource, name: str, level: int = 0) -> ModuleSource | None:
        """The module that an import names; None for what no file of the project or of a known library is."""
        path = self._path(importer, name, level)
        return self.module(path, name) if path and not (SKIPPED.search(path) and path not in self.modules) else None

    def find_naming(self, importer: ModuleSource, name: str, level: int, word: str) -> ModuleSource | None:
        """`find`, but None for a file that cannot bind a word: one whose text lacks it is skimmed, not parsed."""
        path = self._path(importer, name, level)
        if path and path not in self.modules and not _may_bind(path, word):
            self.skimmed.add(path)
            return None
        return self.find(importer, name, level)

    def _path(self, importer: ModuleSource, name: str, level: int) -> str | None:
        folder = os.path.dirname(importer.path)
        for _ in range(level - 1):
            folder = os.path.dirname(folder)
        key = (folder if level else folder + "?", name)
        self.asked.add(key)
        if key not in self.found:
            self.found[key] = _in_folder(folder, name) if level else self._absolute(folder, name)
        return self.found[key]

    def missed(self) -> tuple[str, ...]:
        """Where files were looked for in vain by `asked`: one that appears there changes what an import means."""
        return tuple(sorted({path for folder, name in self.asked for path in self._missed(folder, name)}))

    def _missed(self, folder: str, name: str) -> Iterator[str]:
        absolute, head = folder.endswith("?"), name.partition(".")[0]
        if absolute and (head in VOCABULARIES or not head):
            return
        installed = sys.path if absolute and head in LIBRARIES else ()
        for place in (*self._places(folder[:-1]), *installed) if absolute else (folder,):
            for path in _paths(place, name):
                if path == self.found[folder, name]:
                    return
                yield path

    def _absolute(self, folder: str, name: str) -> str | None:
        head = name.partition(".")[0]
        if head in VOCABULARIES or not head:
            return None
        for place in self._places(folder):
            path = _in_folder(place, name)
            if path and (f"{PACKAGES}{head}" in f"{folder}/" or PACKAGES not in path):
                return path
        return _installed(name) if head in LIBRARIES else None

    def _places(self, folder: str) -> Iterator[str]:
        """The folders that an absolute import may start from: the file's own, those around it, the root's."""
        root = Path(self.root).absolute() if self.root else None
        here = Path(folder)
        for place in (here, *here.parents):
            yield str(place)
            inside = root is not None and place != root and place.is_relative_to(root)
            if not inside and not Path(place, PACKAGE).is_file():
                break
        if root:
            yield from (str(root / sub) for sub in SOURCE_FOLDERS)

    def library_class(self, package: ModuleSource, name: str) -> ModuleSource | None:
        """The file of transformers that defines a class, by the folder that its name begins with.

        The package's own table of names is built when it is imported; its files are named after their models.
        """
        folder = _model_folder(str(Path(package.path).parent), name)
        if folder is None:
            return None
        kind = "configuration" if name.endswith("Config") else "modeling"
        return self.module(str(folder / f"{kind}_{folder.name}.py"), f"transformers.models.{folder.name}")


@functools.cache
def _model_folders(package: str) -> dict[str, Path]:
    place = Path(package, MODELS_FOLDER)
    return {p.name.replace("_", ""): p for p in sorted(place.iterdir()) if p.is_dir()} if place.is_dir() else {}


def _model_folder(package: str, name: str) -> Path | None:
    folders, plain = _model_folders(package), name.lower()
    return next((folders[plain[:end]] for end in range(len(plain), 1, -1) if plain[:end] in folders), None)


def may_train(text: str) -> bool:
    """Whether a text mentions anything that only training code calls."""
    return any(part in text for part in _TRAINING)


def relevant(text: str) -> bool:
    """Whether a file mentions anything that a model or a training loop is made of."""
    return any(part in text for part in _RELEVANT) or any(
        word in text and pattern.search(text) is not None for word, pattern in _RELEVANT_WORDS.items()
    )


def _may_bind(path: str, word: str) -> bool:
    """Whether a file may bind a name, by its bytes: they hold it, or bring names that they do not spell."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return True
    return word.encode() in data or STAR in data


def _load(path: str, name: str) -> ModuleSource | None:
    try:
        module = ModuleSource(path, read(path, shown(path)), name, not is_library(path))
        parse(module.source)
    except SourceError:
        return None
    return module


def parse(source: Source) -> ast.Module:
    """The tree of a source, parsed while the garbage collector rests; raises `SourceError`."""
    active = gc.isenabled()
    gc.disable()
    try:
        return source.tree
    finally:
        if active:
            gc.enable()


def shown(path: str) -> str:
    """A path as a user writes it: relative where it lies below the working folder."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def _in_folder(folder: str, name: str) -> str | None:
    return next((path for path in _paths(folder, name) if os.path.isfile(path)), None)


def _paths(folder: str, name: str) -> tuple[str, ...]:
    """Where the file of a module may lie in a folder."""
    stem = os.path.join(folder, *name.split(".")) if name else folder
    return (stem + ".py", os.path.join(stem, PACKAGE)) if name else (os.path.join(stem, PACKAGE),)


@functools.cache
def _installed(name: str) -> str | None:
    return next((path for folder in sys.path if folder and (path := _in_folder(folder, name))), None)


@functools.cache
def _library_folders() -> tuple[str, ...]:
    places = {*site.getsitepackages(), site.getusersitepackages()}
    places |= {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(str(Path(place).resolve()) + "/" for place in places)


@functools.lru_cache(maxsize=4096)
def is_library(path: str) -> bool:
    """Whether a file belongs to the standard library or to an installed package."""
    return str(Path(path).resolve()).startswith(_library_folders()) or bool(re.search(r"/site-packages/", path))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module's top level, those inside of its `if`, `try`, `with` and loops too."""
    for statement in body:
        yield statement
        for block in ("body", "orelse", "finalbody"):
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from statements(getattr(statement, block, None) or [])
        for handler in getattr(statement, "handlers", ()):
            yield from statements(handler.body)


def bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement binds, or whose value it changes."""
    for inner in statements([statement]):
        match inner:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=names):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.Assign(targets=targets):
                yield from (name for target in targets for name in _target(target))
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                yield from _target(target)
            case ast.For(target=target) | ast.AsyncFor(target=target):
                yield from _target(target)
            case ast.With(items=items) | ast.AsyncWith(items=items):
                yield from (name for item in items if item.optional_vars for name in _target(item.optional_vars))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=receiver))):
                yield from _target(receiver)


def _target(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Tuple(elts=items) | ast.List(elts=items):
            yield from (name for item in items for name in _target(item))
        case ast.Starred(value=inner) | ast.Attribute(value=inner) | ast.Subscript(value=inner):
            yield from _target(inner)
