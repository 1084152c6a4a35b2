"""What the fix of a rule sees of the file, and how it says what is to change; nothing here reads or parses."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from gradlint.errors import GradlintError
from gradlint.finding import Edit, Fix

Edits = tuple[Edit, ...]


class UnfixableError(GradlintError):
    """The code has a shape that a fix does not know: the finding stays without one. Nobody but the engine's fix pass
    catches it, so that a rule's `fix` reads straight down."""


@dataclass(frozen=True)
class Imported:
    """How a file writes a library's name (`nn.ModuleList`), and the edits that import it where it is missing."""

    text: str
    edits: Edits = ()

    def __str__(self) -> str:
        return self.text


class Code(Protocol):
    """The file around one finding, for `Rule.fix`.

    Nodes are those of the standard library's `ast`, so `match` shows the shape of what is mended; the makers of edits
    know the concrete syntax (parentheses, commas, comments, line ends) and change no byte that they need not. Every
    method raises `UnfixableError` instead of guessing.
    """

    @property
    def tree(self) -> ast.Module:
        """The whole file."""

    @property
    def node(self) -> ast.expr:
        """The expression that the finding's position spans; of a statement that is one expression, the expression."""

    @property
    def call(self) -> ast.Call:
        """`node`, when it is a call."""

    @property
    def statement(self) -> ast.stmt:
        """The statement that the finding begins in."""

    def at(self, line: int, column: int) -> ast.expr:
        """The largest expression that begins at a place, such as that of a finding's `related`."""

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node around a node; None for the module."""

    def function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The innermost function that a node stands in."""

    def owner(self, node: ast.AST) -> ast.ClassDef | None:
        """The innermost class that a node stands in."""

    def text(self, node: ast.AST) -> str:
        """The source of a node, as it is written, without parentheses around it."""

    def resolved(self, node: ast.AST) -> str:
        """The full name of what an expression names: `torch.nn.functional.softmax` for `F.softmax`; empty when the
        file's imports do not say."""

    def imported(self, name: str) -> Imported:
        """How this file writes a full name such as `torch.nn.ModuleList`."""

    def replace(self, node: ast.expr, text: str) -> Edits:
        """Another expression in a node's place, in parentheses where it needs them."""

    def wrap(self, node: ast.expr, function: str | Imported) -> Edits:
        """`function(node)`."""

    def suffix(self, node: ast.expr, text: str) -> Edits:
        """A node with something behind it, such as `.item()`; in parentheses where it needs them."""

    def unwrap(self, node: ast.expr, kept: ast.expr) -> Edits:
        """Of an expression only one part that stands in it: `x` of `torch.softmax(x, dim=1)` or of `x.relu()`."""

    def rename(self, reference: ast.expr, name: str) -> Edits:
        """Another name of the library in a reference's place: `torch.nn.init.kaiming_uniform_` for
        `nn.init.xavier_uniform_`, or a method for a method (`log_softmax` for `x.softmax`)."""

    def keyword(self, call: ast.Call, name: str, value: str, position: int | None = None, instead: str = "") -> Edits:
        """A call with `name=value`, in the place of the argument that is there under this name or `instead`, or last by
        its 0-based position; behind all others where there is none."""

    def drop(self, element: ast.expr | ast.keyword) -> Edits:
        """Without one argument of a call or one element of a list, tuple or set, and without its comma."""

    def delete(self, statement: ast.stmt) -> Edits:
        """Without a statement; `pass` stays where a block would be empty."""

    def before(self, statement: ast.stmt, text: str) -> Edits:
        """A new statement of one line above another one, in its block."""

    def safe(self, *changes: Edits | Imported) -> Fix:
        """A fix that `--fix` applies: training does the same, or what its author plainly meant. It becomes an unsafe
        one when it deletes a comment."""

    def unsafe(self, *changes: Edits | Imported) -> Fix:
        """A fix that needs `--unsafe-fixes`: training changes, and the page says how."""


def united(changes: Iterable[Edits | Imported]) -> Edits:
    """All edits of some changes, each once, in the order of their places."""
    edits = dict.fromkeys(
        edit for change in changes for edit in (change.edits if isinstance(change, Imported) else change)
    )
    return tuple(sorted(edits, key=lambda edit: (edit.line, edit.column, edit.end_line, edit.end_column)))
