"""Sums over the steps of a loss whose computation could not be read: by how the function is written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradlint.frontends.static.steps.training_state import note
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

Sum = ast.AugAssign | ast.Assign


def note_sums(run: Run, at: ast.AST) -> None:
    """Notes the statements of the innermost loop around `loss.backward()` that add the loss itself to a total."""
    name = _loss_of(at)
    loop = loop_around(run, at) if name else None
    if loop is None or not run.loops or run.loops[-1].iteration:
        return
    for statement in ast.walk(loop):
        if (
            isinstance(statement, (ast.AugAssign, ast.Assign))
            and _adds(statement, name)
            and not _quiet(loop, statement)
        ):
            total = _target(statement)
            if not _is_new(loop, total) and not _rebound(loop, name, at, statement) and not _is_trained(loop, total):
                note(run, EventKind.KEPT, statement, facts={"written": True})


def _quiet(loop: ast.AST, statement: Sum) -> bool:
    """Whether a statement stands in a block without gradients."""
    blocks = (n for n in ast.walk(loop) if isinstance(n, ast.With) and _holds(n, statement.lineno))
    return any(word in ast.unparse(item) for n in blocks for item in n.items for word in ("no_grad", "inference_mode"))


def _loss_of(at: ast.AST) -> str:
    """The name of what is backpropagated, a scaler's call aside."""
    match at:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Call(args=[ast.Name(id=name)]))):
            return name
    return ""


def loop_around(run: Run, at: ast.AST) -> ast.For | ast.While | None:
    """The innermost loop of the running function around an expression of it."""
    node = run.activation.node or run.activation.module.tree
    line = getattr(at, "lineno", 0)
    if id(node) not in run.training.loops:
        run.training.loops[id(node)] = [n for n in ast.walk(node) if isinstance(n, (ast.For, ast.While))]
    around = [n for n in run.training.loops[id(node)] if _holds(n, line)]
    return max(around, key=lambda n: n.lineno, default=None)


def _holds(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _target(statement: Sum) -> str:
    return ast.unparse(statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0])


def _adds(statement: Sum, name: str) -> bool:
    """`total += loss`, `total += loss * n`, `total = total + loss`."""
    match statement:
        case ast.AugAssign(op=ast.Add(), value=value):
            return _target(statement) != name and _is_multiple(value, name)
        case ast.Assign(targets=[target], value=ast.BinOp(left=left, op=ast.Add(), right=right)):
            same = ast.unparse(target) == ast.unparse(left)
            return same and _target(statement) != name and _is_multiple(right, name)
    return False


def _is_multiple(value: ast.expr, name: str) -> bool:
    match value:
        case ast.Name(id=found):
            return found == name
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
            return _is_multiple(left, name) or (_is_multiple(right, name) and isinstance(value.op, ast.Mult))
    return False


def _is_new(loop: ast.For | ast.While, total: str) -> bool:
    """Whether every pass begins a sum of its own."""
    fresh = [s for s in loop.body if isinstance(s, ast.Assign) and not isinstance(s.value, ast.BinOp)]
    return any(total in map(ast.unparse, s.targets) for s in fresh)


def _rebound(loop: ast.For | ast.While, name: str, at: ast.AST, statement: Sum) -> bool:
    """Whether the loss gets another value between its backward pass and the sum."""
    first, last = sorted((getattr(at, "lineno", 0), statement.lineno))
    return any(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) and first < n.lineno < last
        for n in ast.walk(loop)
    )


def _is_trained(loop: ast.For | ast.While, total: str) -> bool:
    """Whether the sum itself is backpropagated somewhere in the loop."""
    calls = (n for n in ast.walk(loop) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute))
    return any(total in texts for texts in _backpropagated(calls))


def _backpropagated(calls: Iterator[ast.Call]) -> Iterator[list[str]]:
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "backward":
            yield [ast.unparse(call.func.value), *map(ast.unparse, call.args)]
