"""How a file names a library's things: its imports, and where one that is missing goes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from gradlint.code import Edits, Imported, UnfixableError
from gradlint.finding import Edit
from gradlint.source import Source

_Import = ast.Import | ast.ImportFrom
_Conditional = ast.If | ast.Try | ast.With


@dataclass(frozen=True)
class Imports:
    """The names that a file binds. A name that is bound in more than one way stands for nothing."""

    source: Source

    @cached_property
    def _top(self) -> tuple[_Import, ...]:
        """The imports that are made when the file is, in order."""
        return tuple(_imports_in(self.source.tree.body))

    @cached_property
    def _bound(self) -> dict[str, str]:
        """The full name behind each name that only imports bind, all of them to the same thing."""
        meanings: dict[str, set[str]] = {}
        for name, full in _bindings(self.source.tree):
            meanings.setdefault(name, set()).add(full)
        return {name: next(iter(full)) for name, full in meanings.items() if len(full) == 1}

    def resolved(self, node: ast.AST) -> str:
        """The full name of what a name or a chain of attributes means; empty when that is not known."""
        match node:
            case ast.Name(id=name):
                return self._bound.get(name, "")
            case ast.Attribute(value=value, attr=attr):
                base = self.resolved(value)
                return f"{base}.{attr}" if base else ""
        return ""

    def written(self, name: str) -> Imported:
        """How the file writes a full name: by the longest part of it that is imported, else with an import of its own;
        raises `UnfixableError` when the names that it would take are taken."""
        short = {
            full: alias for statement in self._top for alias, full in _names(statement) if self._means(alias, full)
        }
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            if alias := short.get(".".join(parts[:length])):
                return Imported(".".join([alias, *parts[length:]]))
        return self._joined(name) or self._fresh(name)

    def _means(self, alias: str, full: str) -> bool:
        return self._bound.get(alias) == full

    def _joined(self, name: str) -> Imported | None:
        """A name more in a `from … import` of its module."""
        module, _, leaf = name.rpartition(".")
        for statement in self._top:
            match statement:
                case ast.ImportFrom(module=found, level=0, names=[*_, last]) if found == module and last.name != "*":
                    if self._is_free(leaf):
                        line, column = last.end_lineno or last.lineno, last.end_col_offset or 0
                        return Imported(leaf, self._inserted(line, self.source.column(line, column), f", {leaf}"))
        return None

    def _fresh(self, name: str) -> Imported:
        package, _, rest = name.partition(".")
        folder, _, leaf = name.rpartition(".")[0].rpartition(".")
        if folder and self._is_free(leaf):
            statement, text = f"from {folder} import {leaf}", f"{leaf}.{name.rpartition('.')[2]}"
        elif self._is_free(package):
            statement, text = f"import {package}", f"{package}.{rest}"
        else:
            raise UnfixableError(f"`{package}` and `{leaf}` already mean something else in this file")
        line, alone = self._place(package)
        end = self.source.newline
        if alone:
            return Imported(text, self._inserted(line, 1, statement + end))
        return Imported(text, self._inserted(line, len(self.source.line(line)) + 1, end + statement))

    def _is_free(self, name: str) -> bool:
        return all(bound != name for bound, _ in _bindings(self.source.tree))

    def _place(self, package: str) -> tuple[int, bool]:
        """The line that a new import follows, or the one that it stands above when the second value is true."""
        body = self.source.tree.body
        kin = [s for s in body if isinstance(s, _Import) and any(f.split(".")[0] == package for _, f in _names(s))]
        heads = [statement for index, statement in enumerate(body) if _is_head(index, statement)]
        if anchor := (kin or heads):
            return anchor[-1].end_lineno or 1, False
        first = body[0]
        decorators = [d.lineno for d in getattr(first, "decorator_list", ())]
        return min(first.lineno, *decorators) if decorators else first.lineno, True

    def _inserted(self, line: int, column: int, text: str) -> Edits:
        return (Edit(line=line, column=column, end_line=line, end_column=column, text=text),)


def _is_head(index: int, statement: ast.stmt) -> bool:
    """Whether a statement has to stay above all others: the docstring and imports from the future."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return index == 0
        case ast.ImportFrom(module="__future__"):
            return True
    return False


def _imports_in(body: list[ast.stmt]) -> Iterator[_Import]:
    for statement in body:
        if isinstance(statement, _Import):
            yield statement
        elif isinstance(statement, _Conditional) and not _is_typing(statement):
            yield from _imports_in(statement.body)


def _is_typing(statement: _Conditional) -> bool:
    return isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)


def _names(statement: _Import) -> Iterator[tuple[str, str]]:
    """Every name that an import binds and its full meaning; a relative import's is not known."""
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            package = alias.name.partition(".")[0]
            yield alias.asname or package, alias.name if alias.asname else package
        elif not statement.level:
            yield alias.asname or alias.name, f"{statement.module}.{alias.name}"
        else:
            yield alias.asname or alias.name, ""


def _bindings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Every name that is bound anywhere in a file, with its full meaning where an import says it."""
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from _names(node)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                yield name, ""
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, ""
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, ""
