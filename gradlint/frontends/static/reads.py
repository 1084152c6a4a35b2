"""Which attributes the source of a file reads: a parameter that another mode or method reads is not unused."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from gradlint.frame import Frame
from gradlint.frontends.static.project import ModuleSource

UPDATERS = frozenset(
    {"copy_", "lerp_", "mul_", "add_", "load_state_dict", "data", "_foreach_lerp_", "_foreach_mul_", "sub_"}
)
"""Attributes by which a function moves parameters by hand, as a momentum update does."""

CONSTRUCTORS = frozenset({"__init__", "reset_parameters", "_reset_parameters", "_init_weights", "init_weights"})
CONSTRUCTOR = "__init__"
ANY = ""
"""Stands for the class of a read that does not go through `self`."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Read:
    """A function that reads an attribute; `owner` is the class whose `self` it reads, `ANY` for any object."""

    function: int
    owner: str
    indexed: bool
    moving: bool


@dataclass(frozen=True)
class Reads:
    """The reads of a file outside of constructors by the attribute's name, and what its classes assign."""

    by_name: dict[str, frozenset[Read]]
    assigned: dict[tuple[str, str], ast.expr]
    module: ModuleSource | None = None
    initialisers: dict[str, frozenset[int]] = field(default_factory=dict)

    def of(self, attribute: str, owners: frozenset[str]) -> Iterator[Read]:
        """The reads of an attribute that may mean an object of one of the classes."""
        return (read for read in self.by_name.get(attribute, ()) if read.owner == ANY or read.owner in owners)

    def assigned_at(self, cls: str, attribute: str) -> Frame | None:
        """The value that a class assigns to an attribute of `self`; the first assignment counts."""
        value = self.assigned.get((cls, attribute))
        return self.module.frame(value, cls) if value is not None and self.module is not None else None


def of_file(module: ModuleSource) -> Reads:
    """The reads in a file."""
    if module.reads is None:
        module.reads = _of_file(module)
    found: Reads = module.reads
    return found


def _of_file(module: ModuleSource) -> Reads:
    found: dict[str, set[Read]] = defaultdict(set)
    assigned: dict[tuple[str, str], ast.expr] = {}
    initialisers: defaultdict[str, set[int]] = defaultdict(set)
    for function, owner in _functions(module.tree):
        _note_assigned(function, owner, assigned)
        if function.name in CONSTRUCTORS:
            _note_initialiser(function, initialisers)
            continue
        nodes = [node for node in ast.walk(function) if isinstance(node, (ast.Attribute, ast.Call, ast.Subscript))]
        names = _loaded(nodes)
        indexed, moving = _constant_items(nodes), bool(names.keys() & UPDATERS)
        for name, through_self in names.items():
            found[name].add(Read(id(function), owner if through_self else ANY, name in indexed, moving))
    fillers = {name: frozenset(functions) for name, functions in initialisers.items()}
    return Reads({name: frozenset(reads) for name, reads in found.items()}, assigned, module, fillers)


def _note_initialiser(
    function: ast.FunctionDef | ast.AsyncFunctionDef, initialisers: defaultdict[str, set[int]]
) -> None:
    """Notes the attributes that a method other than `__init__` reads."""
    if function.name != CONSTRUCTOR:
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute):
                initialisers[node.attr].add(id(function))


def _functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """The functions of a file, each with the class around it; what they define inside belongs to them."""
    queue: list[tuple[ast.AST, str]] = [(tree, ANY)]
    while queue:
        node, owner = queue.pop()
        if isinstance(node, FUNCTIONS):
            yield node, owner
            continue
        inner = node.name if isinstance(node, ast.ClassDef) else owner
        queue.extend((child, inner) for child in ast.iter_child_nodes(node))


def _note_assigned(
    function: ast.FunctionDef | ast.AsyncFunctionDef, owner: str, assigned: dict[tuple[str, str], ast.expr]
) -> None:
    for node in ast.walk(function) if owner else ():
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(node, ast.Assign):
                _note_target(target, node.value, owner, assigned)


def _note_target(target: ast.expr, value: ast.expr, owner: str, assigned: dict[tuple[str, str], ast.expr]) -> None:
    """What one target of an assignment gets: the whole value, or its part of `self.a, self.b = f(), g()`."""
    if isinstance(target, (ast.Tuple, ast.List)):
        parts = value.elts if isinstance(value, (ast.Tuple, ast.List)) else ()
        aligned = len(parts) == len(target.elts) and not any(isinstance(part, ast.Starred) for part in parts)
        for position, item in enumerate(target.elts):
            _note_target(item, parts[position] if aligned else value, owner, assigned)
    elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        assigned.setdefault((owner, target.attr), value)


def _loaded(nodes: list[ast.Attribute | ast.Call | ast.Subscript]) -> dict[str, bool]:
    """The attributes that a function reads, and whether it reads them off `self` only."""
    names: dict[str, bool] = {}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            names[node.attr] = own and names.get(node.attr, True)
        elif isinstance(node, ast.Call) and _is_getattr(node) and isinstance(node.args[1], ast.Constant):
            names[str(node.args[1].value)] = False
    return names


def _is_getattr(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "getattr" and len(call.args) > 1


def _constant_items(nodes: list[ast.Attribute | ast.Call | ast.Subscript]) -> set[str]:
    """Attributes that are only ever indexed by constants: `self.blocks[0]`, `self.blocks[:2]`."""
    items = (n for n in nodes if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Attribute))
    bases = {id(n.value): n.value.attr for n in items if isinstance(n.value, ast.Attribute) and _is_constant(n.slice)}
    others = {n.attr for n in nodes if isinstance(n, ast.Attribute) and id(n) not in bases}
    return set(bases.values()) - others


def _is_constant(index: ast.expr) -> bool:
    plain = (ast.Constant, ast.Slice, ast.UnaryOp, ast.USub, ast.expr_context)
    return all(isinstance(node, plain) for node in ast.walk(index))
