"""Where a file calls backward, and through which of its functions one gets there."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from gradlint.frontends.recorder.replaying.statements import FUNCTIONS, Function, children, dotted, last, root

BACKWARD = frozenset({"backward", "manual_backward"})
GRADIENT = frozenset({"autograd.grad", "torch.autograd.grad"})
GENERIC = frozenset({"train", "eval", "step", "update", "forward", "to", "zero_grad"})
"""Method names that torch's own objects have too: a call of one on an unknown receiver proves nothing."""

COMPUTING = frozenset({"forward", "__getitem__", "__iter__", "setup_context", "execute"})
"""Methods of classes whose code is the model or the data itself: it runs as it is."""

Place = tuple[int, int, int]
"""A backward call's first line, its column (0-based, in bytes, as in `ast`) and its last line."""


@dataclass(frozen=True)
class Routine:
    """A function or method of the file: `name` is its qualified name, `owner` its class."""

    name: str
    node: Function
    owner: str = ""


@dataclass(frozen=True)
class CallGraph:
    """Who calls whom in one file, as far as names tell."""

    routines: dict[str, Routine]
    bases: dict[str, tuple[str, ...]]
    direct: dict[str, frozenset[Place]]
    instances: dict[str, str]
    edges: dict[str, frozenset[str]] = field(default_factory=dict)
    chain: frozenset[str] = frozenset()
    preparing: frozenset[str] = frozenset()

    @property
    def replayed(self) -> frozenset[str]:
        """The routines that run as slices: those on a way to a backward call, and those that prepare for one."""
        return self.chain | self.preparing

    def called(self, node: ast.AST, owner: str) -> Iterator[str]:
        """The qualified names of the file's routines that an expression refers to."""
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                yield from self._by_name(name)
            case ast.Attribute(value=receiver, attr=attribute, ctx=ast.Load()):
                yield from self._by_attribute(receiver, attribute, owner)
            case ast.Call(func=ast.Name(id=name)) if name in self.instances:
                yield from self._method(self.instances[name], "__call__")

    def _by_name(self, name: str) -> Iterator[str]:
        if name in self.routines:
            yield name
        if name in self.bases:
            yield from self._method(name, "__init__")

    def _by_attribute(self, receiver: ast.expr, attribute: str, owner: str) -> Iterator[str]:
        known = owner if root(receiver) == "self" and isinstance(receiver, ast.Name) else self._class_of(receiver)
        if known:
            yield from self._method(known, attribute)
        elif attribute not in GENERIC:
            yield from (
                name for name, routine in self.routines.items() if routine.owner and last_part(name) == attribute
            )

    def _class_of(self, receiver: ast.expr) -> str:
        match receiver:
            case ast.Call(func=ast.Name(id=name)) if name in self.bases:
                return name
            case ast.Name(id=name) if name in self.bases:
                return name
            case ast.Name() | ast.Attribute():
                return self.instances.get(dotted(receiver), "")
        return ""

    def _method(self, owner: str, name: str) -> Iterator[str]:
        family = {owner, *self._ancestors(owner), *(c for c in self.bases if owner in self._ancestors(c))}
        yield from (key for cls in family if (key := f"{cls}.{name}") in self.routines)

    def _ancestors(self, owner: str, seen: frozenset[str] = frozenset()) -> set[str]:
        near = set(self.bases.get(owner, ())) - seen
        return near.union(*(self._ancestors(base, seen | near) for base in near))

    def reachable(self, nodes: Iterable[ast.AST], owner: str) -> frozenset[Place]:
        """The backward sites that evaluating `nodes` can get to through calls."""
        return self.reached_from({name for node in nodes for name in self.called(node, owner)})

    def reached_from(self, names: Iterable[str]) -> frozenset[Place]:
        """The backward sites in these routines and in those that they call."""
        seen: set[str] = set()
        queue = set(names)
        while queue:
            name = queue.pop()
            seen.add(name)
            queue |= self.edges.get(name, frozenset()) - seen
        return frozenset().union(*(self.direct[name] for name in seen))


def last_part(name: str) -> str:
    """`fit` of `Trainer.fit`."""
    return name.rpartition(".")[2]


def walk_body(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every node below the statements, classes inside functions too."""
    for statement in body:
        yield from ast.walk(statement)


def backward_sites(body: list[ast.stmt], wanted: frozenset[str]) -> frozenset[Place]:
    """The positions of the calls that run backward; `wanted` tells which kind counts."""
    found = (node for node in walk_body(body) if isinstance(node, ast.Call) and is_backward(node, wanted))
    return frozenset((node.lineno, node.col_offset, node.end_lineno or node.lineno) for node in found)


def is_backward(call: ast.Call, wanted: frozenset[str] = BACKWARD) -> bool:
    """Whether a call computes gradients: `loss.backward()`, `accelerator.backward(loss)`, or one of `wanted`."""
    return last(call.func) in wanted or dotted(call.func) in wanted


def wanted_calls(tree: ast.Module) -> frozenset[str]:
    """Calls that count as a backward site in this file: `autograd.grad` only where nothing calls `backward`."""
    if backward_sites(tree.body, BACKWARD):
        return BACKWARD
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "torch.autograd"
        for alias in node.names
        if alias.name == "grad"
    }
    return GRADIENT | names


def is_main(statement: ast.stmt) -> bool:
    """Whether a statement is the `if __name__ == "__main__":` block."""
    match statement:
        case ast.If(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
            sides = (left, right)
            named = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
            return named and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)
    return False


def call_graph(tree: ast.Module) -> CallGraph:
    """The file's routines, what they call, and which of them (transitively) reach a backward site."""
    wanted = wanted_calls(tree)
    routines = {routine.name: routine for routine in _routines(tree)}
    graph = CallGraph(
        routines,
        {cls.name: tuple(dotted(base) for base in cls.bases) for cls in _classes(tree)},
        {name: backward_sites(routine.node.body, wanted) for name, routine in routines.items()},
        _instances(tree),
    )
    edges = {
        name: frozenset(to for node in walk_body(one.node.body) for to in graph.called(node, one.owner))
        for name, one in routines.items()
    }
    graph = replace(graph, edges=edges)
    chain = {name for name in routines if graph.reached_from([name])}
    return replace(graph, chain=frozenset(chain), preparing=frozenset(_preparing(tree, graph, chain)))


def _preparing(tree: ast.Module, graph: CallGraph, chain: set[str]) -> set[str]:
    """What training code calls before it trains: constructors and helpers, but nothing of models and datasets."""
    computing = {cls.name for cls in _classes(tree) if COMPUTING & {getattr(one, "name", "") for one in cls.body}}
    owners = {graph.routines[name].owner for name in chain} - {""}
    blocks = [statement for statement in tree.body if not isinstance(statement, (*FUNCTIONS, ast.ClassDef))]
    started = {name for node in walk_body(blocks) for name in graph.called(node, "")}
    called = started.union(*(graph.edges[name] for name in chain), {f"{owner}.__init__" for owner in owners})
    called |= {name for one in called for name in graph.edges.get(one, ())}
    return {name for name in called & set(graph.routines) - chain if graph.routines[name].owner not in computing}


def _classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in _top(tree.body) if isinstance(node, ast.ClassDef))


def _routines(tree: ast.Module) -> Iterator[Routine]:
    for node in _top(tree.body):
        if isinstance(node, FUNCTIONS):
            yield Routine(node.name, node)
        elif isinstance(node, ast.ClassDef):
            methods = (inner for inner in _top(node.body) if isinstance(inner, FUNCTIONS))
            yield from (Routine(f"{node.name}.{method.name}", method, node.name) for method in methods)


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module or class body, those under its conditions too."""
    for statement in body:
        yield statement
        if not isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
            yield from _top(list(children(statement)))


def _instances(tree: ast.Module) -> dict[str, str]:
    """The class of the file that a variable or attribute is an instance of, where one assignment says so."""
    known = {cls.name for cls in _classes(tree)}
    return {
        dotted(target): node.value.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
        for target in node.targets
        if node.value.func.id in known
    }
