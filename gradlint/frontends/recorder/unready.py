"""Classes whose constructor registers nothing: its name is misspelt, or it assigns before `super().__init__()`."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterator

from torch import nn

from gradlint.frontends.constructors import filled_attributes
from gradlint.graph import Frame, Hidden

CONSTRUCTOR = "__init__"
LIKENESS = 0.75
"""Similarity above which a method's name is a misspelt `__init__`: `_init_`, `__int__`, `__init` are above 0.85."""

MISSPELT, EARLY = "misspelt", "early"


def unready(cls: type) -> Hidden | None:
    """The fault of a class as something hidden; None where its constructor is in order."""
    try:
        lines, start = inspect.getsourcelines(cls)
        path = inspect.getsourcefile(cls)
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not (isinstance(tree, ast.ClassDef) and issubclass(cls, nn.Module) and path):
        return None
    indent = len(lines[0]) - len(lines[0].lstrip())
    for kind, place, names in (*_misspelt(tree), *_early(tree)):
        line, column = start + place.lineno - 1, indent + place.col_offset + 1
        frame = Frame(path, line, column, line, column + len(lines[place.lineno - 1].strip()), cls.__qualname__)
        return Hidden("unready", kind, "", names, 0, frame)
    return None


def _methods(tree: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _misspelt(tree: ast.ClassDef) -> Iterator[tuple[str, ast.stmt, tuple[str, ...]]]:
    methods = _methods(tree)
    for name, method in methods.items() if CONSTRUCTOR not in methods else ():
        like = difflib.SequenceMatcher(None, name, CONSTRUCTOR).ratio() > LIKENESS and "_" in name
        held = tuple(target for target, _ in filled_attributes(method))
        if like and held and not name.startswith("init_"):
            yield MISSPELT, method, held


def _early(tree: ast.ClassDef) -> Iterator[tuple[str, ast.stmt, tuple[str, ...]]]:
    method = _methods(tree).get(CONSTRUCTOR)
    if method is None:
        return
    calls = [node for node in ast.walk(method) if isinstance(node, ast.Call) and _is_super_call(node)]
    ready = min((call.lineno for call in calls), default=method.end_lineno or 0)
    early = [(target, node) for target, node in filled_attributes(method) if node.lineno < ready]
    if early:
        yield EARLY, early[0][1], tuple(target for target, _ in early)


def _is_super_call(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == CONSTRUCTOR
