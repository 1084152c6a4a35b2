"""The names on the lines of the user's code through which an error went: one of them holds the value that is wrong."""

from __future__ import annotations

import ast
import linecache
import pathlib
import types

from gradlint.frontends.recorder.feeding.asserted import is_torch, parsed

_OWN = str(pathlib.Path(__file__).parent)
MAX_FRAMES = 12
"""Innermost frames that are looked at."""
MAX_NAMES = 12


def involved(error: BaseException) -> tuple[str, ...]:
    """Names, attributes and keys that the failing statements read, those of the innermost frame first."""
    frames: list[tuple[types.FrameType, int]] = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    found = (
        name
        for frame, line in reversed(frames[-MAX_FRAMES:])
        if not is_torch(frame.f_code.co_filename) and not frame.f_code.co_filename.startswith(_OWN)
        for name in _read_on(tuple(linecache.getlines(frame.f_code.co_filename, frame.f_globals)), line)
    )
    return tuple(dict.fromkeys(found))[:MAX_NAMES]


def _read_on(lines: tuple[str, ...], line: int) -> list[str]:
    tree = parsed(lines)
    statements = [
        node
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    if not statements:
        return []
    innermost = max(statements, key=lambda node: node.lineno)
    made = _made_of(innermost, statements)
    return [*_names(innermost), *(name for one in made for name in _names(one))]


def _made_of(statement: ast.stmt, around: list[ast.stmt]) -> list[ast.stmt]:
    """The assignments of the same function to the local variables that a statement reads."""
    function = next((node for node in reversed(around) if isinstance(node, ast.FunctionDef)), None)
    read = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return [
        node
        for node in (ast.walk(function) if function else ())
        if isinstance(node, ast.Assign)
        and node.lineno < statement.lineno
        and any(isinstance(one, ast.Name) and one.id in read for target in node.targets for one in ast.walk(target))
    ]


def _names(statement: ast.stmt) -> list[str]:
    """What the header of a statement reads, in the order of the text."""
    body = {id(node) for part in ("body", "orelse", "finalbody") for node in getattr(statement, part, ())}
    stack: list[ast.AST] = [statement]
    found: list[str] = []
    while stack:
        node = stack.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name, ctx=ast.Load()):
                found.append(name)
            case ast.Subscript(slice=ast.Constant(value=str() as name)):
                found.append(name)
        stack += [one for one in reversed(list(ast.iter_child_nodes(node))) if id(one) not in body]
    return found
