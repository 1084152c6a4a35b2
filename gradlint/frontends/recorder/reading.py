"""Which attributes the source of a class reads: a parameter that another mode or method reads is not unused."""

from __future__ import annotations

import ast
import functools
import inspect
import pathlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from torch import nn

from gradlint.frame import Frame
from gradlint.frontends.recorder.frames import is_library

UPDATERS = frozenset(
    {"copy_", "lerp_", "mul_", "add_", "load_state_dict", "data", "_foreach_lerp_", "_foreach_mul_", "sub_"}
)
"""Attributes by which a function moves parameters by hand, as a momentum update does."""

CONSTRUCTORS = frozenset({"__init__", "reset_parameters", "_reset_parameters", "_init_weights", "init_weights"})

Function = tuple[str, int]
"""A function by its file and first line, its decorators included."""

CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential, nn.ParameterList, nn.ParameterDict)

ANY = ""
"""Stands for the class of a read that does not go through `self`."""


@dataclass(frozen=True)
class Read:
    """A function that reads an attribute; `owner` is the class whose `self` it reads, `ANY` for any object."""

    function: Function
    owner: str
    indexed: bool
    moving: bool


@dataclass(frozen=True)
class Reads:
    """The reads of a file outside of constructors, by the attribute's name."""

    by_name: dict[str, frozenset[Read]]

    def of(self, attribute: str, owner: type) -> frozenset[Read]:
        """The reads of an attribute that may mean an object of class `owner`."""
        names = {ANY, *(cls.__name__ for cls in owner.__mro__)}
        return frozenset(read for read in self.by_name.get(attribute, frozenset()) if read.owner in names)


NOTHING = Reads({})


def of_class(cls: type) -> Reads:
    """The reads in the file that defines a class; nothing for a class without a file."""
    path = _path(cls)
    return of_file(path) if path else NOTHING


@functools.cache
def _path(cls: Hashable) -> str | None:
    try:
        return inspect.getsourcefile(cls)  # type: ignore[arg-type]
    except TypeError:
        return None


@functools.cache
def of_file(path: str) -> Reads:
    """The reads in a file."""
    try:
        tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError):
        return NOTHING
    found: dict[str, set[Read]] = {}
    for function, owner in _functions(tree):
        names = _loaded(function)
        indexed, moving = _constant_items(function), bool(set(names) & UPDATERS)
        for name, through_self in names.items():
            read = Read((path, _first_line(function)), owner if through_self else ANY, name in indexed, moving)
            found.setdefault(name, set()).add(read)
    return Reads({name: frozenset(reads) for name, reads in found.items()})


def _functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Functions other than constructors, each with the class around it."""
    queue: list[tuple[ast.AST, str]] = [(tree, ANY)]
    while queue:
        node, owner = queue.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name not in CONSTRUCTORS:
            yield node, owner
        inner = node.name if isinstance(node, ast.ClassDef) else owner
        queue.extend((child, inner) for child in ast.iter_child_nodes(node))


def _first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def _loaded(function: ast.AST) -> dict[str, bool]:
    """The attributes that a function reads, and whether it reads them off `self` only."""
    names: dict[str, bool] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            names[node.attr] = own and names.get(node.attr, True)
        elif isinstance(node, ast.Call) and _is_getattr(node) and isinstance(node.args[1], ast.Constant):
            names[str(node.args[1].value)] = False
    return names


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
    item = is_item(root, part)
    return any(not (item and read.indexed) for read in _reads(owner, attribute))


def is_read_elsewhere(root: nn.Module, name: str, executed: set[Function]) -> bool:
    """Whether a function of the user's own that did not run reads a parameter, or a module around it."""
    for owner, attribute in _holders(root, name):
        path = _path(type(owner))  # type: ignore[arg-type]
        if path is None or is_library(path):
            continue
        if any(read.function not in executed for read in _reads(owner, attribute)):
            return True
    return False


def is_filled_elsewhere(root: nn.Module, name: str, executed: set[Function]) -> bool:
    """Whether an initialising method of the user's own that did not run reads a parameter, or all parameters."""
    owner, attribute = holder(root, name)
    paths = {path for cls in type(owner).__mro__ if (path := _path(cls)) is not None and not is_library(path)}
    wanted = {attribute, "parameters"}
    return any(names & wanted and f not in executed for path in paths for f, names in _initialisers(path))


@functools.cache
def _initialisers(path: str) -> tuple[tuple[Function, frozenset[str]], ...]:
    """The initialising methods of a file other than `__init__`, with the attributes that they read."""
    try:
        tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError):
        return ()
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    fillers = [node for node in functions if node.name in CONSTRUCTORS - {"__init__"}]
    return tuple(((path, _first_line(f)), frozenset(_loaded(f))) for f in fillers)


def is_moved(root: nn.Module, name: str) -> bool:
    """Whether some function of the file moves a parameter, or a module around it, by hand (a momentum network)."""
    return any(read.moving for owner, attribute in _holders(root, name) for read in _reads(owner, attribute))


def _reads(owner: nn.Module, attribute: str) -> frozenset[Read]:
    return of_class(type(owner)).of(attribute, type(owner))


def _holders(root: nn.Module, name: str) -> list[tuple[nn.Module, str]]:
    parts = name.split(".")
    return [holder(root, ".".join(parts[:depth])) for depth in range(1, len(parts) + 1)]


def assigned_at(owner: nn.Module, attribute: str) -> Frame | None:
    """The value that the user's own class of `owner` assigns to an attribute; None for a class of a library."""
    for cls in type(owner).__mro__:
        path = _path(cls)
        if path is not None and not is_library(path) and (found := _assignments(path).get((cls.__name__, attribute))):
            return found
    return None


@functools.cache
def _assignments(path: str) -> dict[tuple[str, str], Frame]:
    """The values assigned to attributes of `self`, by class and name; the first assignment counts."""
    try:
        tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[tuple[str, str], Frame] = {}
    for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(cls):
            for target, value in _pairs(node) if isinstance(node, ast.Assign) else ():
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    found.setdefault((cls.name, target.attr), _frame_of(value, path))
    return found


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets of an assignment with their values: of `a, b = c, d` two pairs, of `a, b = c` all of c for both."""
    for target in node.targets:
        if not isinstance(target, (ast.Tuple, ast.List)):
            yield target, node.value
            continue
        values = node.value.elts if isinstance(node.value, (ast.Tuple, ast.List)) else []
        matched = len(values) == len(target.elts) and not any(isinstance(part, ast.Starred) for part in target.elts)
        yield from zip(target.elts, values if matched else [node.value] * len(target.elts), strict=True)


def _frame_of(node: ast.expr, path: str) -> Frame:
    end_line, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    return Frame(path, node.lineno, node.col_offset + 1, end_line, end + 1)


def holder(root: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module whose named attribute leads to `name`, and that attribute; positions in containers are passed over."""
    parts = name.split(".")
    while len(parts) > 1 and isinstance(_named_owner(root, parts[:-1]), CONTAINERS):
        parts.pop()
    return _named_owner(root, parts[:-1]), parts[-1]


def is_item(root: nn.Module, part: str) -> bool:
    """Whether a part is kept under a position or a key of a container rather than by an attribute."""
    return isinstance(_named_owner(root, part.split(".")[:-1]), CONTAINERS)


def _named_owner(root: nn.Module, parts: list[str]) -> nn.Module:
    owner = root
    for part in parts:
        following = getattr(owner, part, None)
        if not isinstance(following, nn.Module):
            break
        owner = following
    return owner
