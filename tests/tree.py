"""Reads the project's own source files for the tests about layers, sizes and conventions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gradlint"
RULES = ROOT / "rules"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One imported module or name as a dotted path: `from a.b import c` is `a.b.c`. `typing` says that it stands under
    `if TYPE_CHECKING`."""

    target: str
    line: int
    typing: bool


@dataclass(frozen=True)
class Module:
    """One Python file of the project; `name` is its dotted name, rules under `gradlint.rules`."""

    path: Path
    name: str

    @cached_property
    def text(self) -> str:
        """The file's text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The file's syntax tree."""
        return ast.parse(self.text, str(self.path))

    @property
    def place(self) -> str:
        """The path below the project's root."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def parts(self) -> tuple[str, ...]:
        """The dotted name below `gradlint`: `("report", "json")`; `("__init__",)` for the package itself."""
        return tuple(self.name.split(".")[1:]) or ("__init__",)

    @property
    def functions(self) -> Iterator[Function]:
        """All functions and methods, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    @property
    def calls(self) -> Iterator[ast.Call]:
        """All calls."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """All imports, those in functions and by a literal name (`import_module("torch")`) too."""
        typing = {id(node) for block in ast.walk(self.tree) if _is_typing(block) for node in _body(block)}
        found = [(node, target) for node in ast.walk(self.tree) for target in self._targets(node)]
        return tuple(Import(target, getattr(node, "lineno", 0), id(node) in typing) for node, target in found)

    def _targets(self, node: ast.AST) -> list[str]:
        match node:
            case ast.Import(names=names):
                return [alias.name for alias in names]
            case ast.ImportFrom(names=names):
                base = self._base(node)
                return [f"{base}.{alias.name}" for alias in names]
            case ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(name)), *_]):
                return [name]
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                return [name]
        return []

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.path.name == "__init__.py" else self.name.split(".")[:-1]
        kept = package[: len(package) - node.level + 1]
        return ".".join([*kept, *([node.module] if node.module else [])])


def _is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _body(block: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(block, ast.If)
    return (inner for statement in block.body for inner in ast.walk(statement))


def length(function: Function) -> int:
    """Lines from `def` to the end, the docstring counted, decorators not."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package."""
    return tuple(Module(path, _name(path)) for path in sorted(PACKAGE.rglob("*.py")))


@cache
def rules() -> tuple[Module, ...]:
    """Every rule."""
    return tuple(Module(path, f"gradlint.rules.{path.stem}") for path in sorted(RULES.glob("*.py")))


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
