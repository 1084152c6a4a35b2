"""Which attributes the source of a class reads: a parameter that another mode or method reads is not unused."""

from __future__ import annotations

import ast
import functools
import inspect
import pathlib
from dataclasses import dataclass

from torch import nn

from gradlint.frontends.recorder.frames import is_library

UPDATERS = frozenset({"copy_", "lerp_", "mul_", "add_", "load_state_dict", "data", "_foreach_lerp_", "_foreach_mul_", "sub_"})
"""Attributes by which a function moves parameters by hand, as a momentum update does."""

CONSTRUCTORS = frozenset({"__init__", "reset_parameters", "_reset_parameters", "_init_weights", "init_weights"})

Function = tuple[str, int]
"""A function by its file and first line, its decorators included."""


@dataclass(frozen=True)
class Reads:
    """How a file uses attributes outside of constructors: the functions that read each name, the names that are only
    ever indexed by constants, and those in functions that move parameters by hand."""

    functions: dict[str, frozenset[Function]]
    indexed: frozenset[str]
    moved: frozenset[str]


NOTHING = Reads({}, frozenset(), frozenset())


def of_class(cls: type) -> Reads:
    """The reads in the file that defines a class; nothing for a class without a file."""
    path = _path(cls)
    return of_file(path) if path else NOTHING


@functools.cache
def _path(cls: type) -> str | None:
    try:
        return inspect.getsourcefile(cls)
    except TypeError:
        return None


@functools.cache
def of_file(path: str) -> Reads:
    """The reads in a file."""
    try:
        tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError):
        return NOTHING
    functions: dict[str, set[Function]] = {}
    whole: set[str] = set()
    moved: set[str] = set()
    for function in _functions(tree):
        names = _loaded(function)
        for name in names:
            functions.setdefault(name, set()).add((path, _first_line(function)))
        whole |= names - _constant_items(function)
        if names & UPDATERS:
            moved |= names
    frozen = {name: frozenset(places) for name, places in functions.items()}
    return Reads(frozen, frozenset(frozen.keys() - whole), frozenset(moved))


def _functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return [node for node in nodes if node.name not in CONSTRUCTORS]


def _first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def _loaded(function: ast.AST) -> set[str]:
    names = {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
    calls = (n for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))
    texts = (n.args[1].value for n in calls if _is_getattr(n) and isinstance(n.args[1], ast.Constant))
    return names | {text for text in texts if isinstance(text, str)}


def _is_getattr(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "getattr" and len(call.args) > 1


def _constant_items(function: ast.AST) -> set[str]:
    """Attributes that are only ever indexed by constants: `self.blocks[0]`, `self.blocks[:2]`."""
    items = (n for n in ast.walk(function) if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Attribute))
    bases = {id(n.value): n.value.attr for n in items if isinstance(n.value, ast.Attribute) and _is_constant(n.slice)}
    others = {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute) and id(n) not in bases}
    return set(bases.values()) - others


def _is_constant(index: ast.expr) -> bool:
    plain = (ast.Constant, ast.Slice, ast.UnaryOp, ast.USub, ast.expr_context)
    return all(isinstance(node, plain) for node in ast.walk(index))


def is_read(root: nn.Module, part: str) -> bool:
    """Whether the file of a class reads the attribute of an untouched part ("encoder.norm3"; of "blocks.2", `blocks`).

    A container that is only indexed by constants does not count as read.
    """
    owner, attribute = holder(root, part)
    reads = of_class(type(owner))
    return attribute in reads.functions and not (part.rpartition(".")[2].isdigit() and attribute in reads.indexed)


def is_read_elsewhere(root: nn.Module, name: str, executed: frozenset[Function] | set[Function]) -> bool:
    """Whether a function of the user's own that did not run reads a parameter, or a module around it."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        owner, attribute = holder(root, ".".join(parts[:depth]))
        path = _path(type(owner))
        if path is not None and not is_library(path) and of_file(path).functions.get(attribute, frozenset()) - executed:
            return True
    return False


def is_moved(root: nn.Module, name: str) -> bool:
    """Whether some function of the file moves a parameter, or a module around it, by hand (a momentum network)."""
    parts = name.split(".")
    places = (holder(root, ".".join(parts[: depth + 1])) for depth in range(len(parts)))
    return any(attribute in of_class(type(owner)).moved for owner, attribute in places)


def holder(root: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module whose named attribute leads to `name`, and that attribute; positions in containers are passed over."""
    parts = name.split(".")
    while len(parts) > 1 and parts[-1].isdigit():
        parts.pop()
    return _named_owner(root, parts[:-1]), parts[-1]


def _named_owner(root: nn.Module, parts: list[str]) -> nn.Module:
    owner = root
    for part in parts:
        following = getattr(owner, part, None)
        if not isinstance(following, nn.Module):
            break
        owner = following
    return owner
