"""The sizes that a failed assertion, or the condition of a `raise`, compared: read from the frames of the error."""

from __future__ import annotations

import ast
import functools
import itertools
import linecache
import pathlib
import types
from collections.abc import Iterator
from typing import Any

import torch

_TORCH = str(pathlib.Path(torch.__file__).parent)
MAX_LINES = 6
"""Lines that a check may spread over."""
MAX_FRAMES = 12
"""Innermost frames that are looked at."""


def disagreements(error: BaseException) -> list[tuple[int, int]]:
    """Pairs of sizes that the failed checks compared, innermost frame first."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    found = (pair for frame, line in reversed(frames[-MAX_FRAMES:]) for pair in _in_frame(frame, line))
    return list(dict.fromkeys(found))


def choices(error: BaseException) -> list[Any]:
    """The keys of the table in which a `KeyError`'s key was looked up: `widths[name]` in the innermost user frame."""
    trace = error.__traceback__ if isinstance(error, KeyError) else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    tree = parsed(tuple(linecache.getlines(trace.tb_frame.f_code.co_filename))) if trace is not None else None
    if trace is None or tree is None:
        return []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and node.lineno <= trace.tb_lineno <= (node.end_lineno or 0):
            table = _value(node.value, trace.tb_frame)
            if isinstance(table, dict) and error.args and error.args[0] not in table:
                return list(table)
    return []


@functools.lru_cache(maxsize=16)
def parsed(lines: tuple[str, ...]) -> ast.Module | None:
    """The syntax tree of a file's lines, None when there are none of Python."""
    try:
        return ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None


def is_torch(file: str) -> bool:
    """Whether a file belongs to torch."""
    return file.startswith(_TORCH)


def _in_frame(frame: types.FrameType, line: int) -> Iterator[tuple[int, int]]:
    file = frame.f_code.co_filename
    if is_torch(file):
        return
    condition = _condition(tuple(linecache.getlines(file, frame.f_globals)), line)
    for node in ast.walk(condition) if condition is not None else ():
        if isinstance(node, ast.Compare):
            sides = [_value(one, frame) for one in (node.left, *node.comparators)]
            yield from (pair for one, other in itertools.pairwise(sides) for pair in _pairs(one, other))


@functools.lru_cache(maxsize=256)
def _condition(lines: tuple[str, ...], line: int) -> ast.expr | None:
    """The test of the `assert` on the line, or of the `if` whose body raises there."""
    if not any(
        word in text for text in lines[max(0, line - MAX_LINES) : line + MAX_LINES] for word in ("assert", "raise")
    ):
        return None
    tree = parsed(lines)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or 0):
            return node.test
        if isinstance(node, ast.If) and any(_raises_on(one, line) for one in node.body):
            return node.test
    return None


def _raises_on(node: ast.stmt, line: int) -> bool:
    return isinstance(node, ast.Raise) and node.lineno <= line <= (node.end_lineno or 0)


def _value(node: ast.expr, frame: types.FrameType) -> Any:
    """The value of a side of a comparison; names, attributes, sizes and arithmetic only."""
    allowed = (
        ast.Name,
        ast.Attribute,
        ast.Subscript,
        ast.BinOp,
        ast.Constant,
        ast.Call,
        ast.Tuple,
        ast.UnaryOp,
        ast.Slice,
    )
    parts = [one for one in ast.walk(node) if isinstance(one, ast.expr)]
    calls = [one.func for one in parts if isinstance(one, ast.Call)]
    harmless = all(
        getattr(one, "attr", getattr(one, "id", "")) in ("size", "dim", "len", "numel", "ndimension") for one in calls
    )
    if not harmless or not all(isinstance(one, allowed) for one in parts):
        return None
    try:
        return eval(compile(ast.Expression(node), "<size>", "eval"), frame.f_globals, frame.f_locals)
    except Exception:
        return None


def _pairs(left: Any, right: Any) -> Iterator[tuple[int, int]]:
    if type(left) is int and type(right) is int:
        yield left, right
    elif isinstance(left, (torch.Size, tuple, list)) and isinstance(right, (torch.Size, tuple, list)):
        for one, other in zip(left, right, strict=False):
            yield from _pairs(one, other) if one != other else ()
