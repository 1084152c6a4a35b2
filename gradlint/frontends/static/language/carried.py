"""What one pass of a loop hands to the next, and to nothing behind the loop: a second pass shows what becomes of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradlint.frontends.static.language.node_facts import kept
from gradlint.frontends.static.values import NO_NODE, Choice, Sequence, Tensor, Unknown, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

AnyLoop = ast.For | ast.AsyncFor | ast.While


def hands_on(run: Run, at: AnyLoop) -> bool:
    """Whether a pass left a tensor for the next one that nothing behind the loop reads, as a recurrent state."""
    names = handed_on(at)
    if not names:
        return False
    last = _last_reads(run.activation.node or run.activation.module.tree)
    values = (run.activation.scope.names.get(name) for name in names if last.get(name, 0) <= (at.end_lineno or 0))
    return any(_is_computed(value) for value in values)


@kept
def handed_on(at: AnyLoop) -> frozenset[str]:
    """The names that a pass reads before it gives them another value."""
    early: set[str] = set()
    stored: set[str] = set()
    sure: set[str] = set()
    for statement in at.body:
        read, written = set(_names(statement, ast.Load)), set(_names(statement, ast.Store))
        early |= (read | (written if isinstance(statement, ast.AugAssign) else set())) - sure
        stored |= written
        sure |= written if isinstance(statement, (ast.Assign, ast.AnnAssign)) else set()
    return frozenset(early & stored)


def _names(statement: ast.stmt, context: type[ast.expr_context]) -> Iterator[str]:
    """The names that a statement loads or stores, those of its comprehensions aside."""
    nodes = list(ast.walk(statement))
    targets = (node.target for node in nodes if isinstance(node, ast.comprehension))
    inner = {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return (n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, context) and n.id not in inner)


@kept
def _last_reads(function: ast.AST) -> dict[str, int]:
    """The last line that reads each name."""
    found: dict[str, int] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found[node.id] = max(node.lineno, found.get(node.id, 0))
    return found


def _is_computed(value: Value | None) -> bool:
    match value:
        case Tensor(node=node) | Unknown(node=node):
            return node != NO_NODE
        case Choice(options=parts) | Sequence(items=parts):
            return any(_is_computed(part) for part in parts)
    return False
