"""Cuts a file's training code down to what its backward calls need.

Kept are the statements that (transitively) define or change what the backward calls, the optimizer's step and the
clipping read, with the control flow around them; logging, checkpoints, evaluation and plotting fall away. Nodes keep
the positions of the source, so that frames of the running slice show the user's own lines and columns. The slicing is
insensitive to the order of statements: it keeps too much rather than too little (Weiser 1984 has the exact form).
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gradlint.frontends.recorder.replaying.instrument import Cutter, Loop
from gradlint.frontends.recorder.replaying.needs import Need, Scope, kept_statements
from gradlint.frontends.recorder.replaying.sites import (
    BACKWARD,
    CallGraph,
    Place,
    backward_sites,
    call_graph,
    is_main,
    wanted_calls,
)
from gradlint.frontends.recorder.replaying.statements import FUNCTIONS, Function, dotted, names_read, walk_statements

MAIN = "__main__"
SCRIPT = "<module>"


@dataclass(frozen=True)
class Plan:
    """One way to run a file's training code: `entry` is a routine's qualified name, or one of `MAIN` and `SCRIPT`.

    `main` holds the sliced statements of a block, `module` the whole file with every routine on a way to `sites` sliced
    (`sliced` has their qualified names); `loops` are the bounded loops, in the order of their numbers. `by_hand` tells
    that the sites are calls of `autograd.grad`, not of `backward`.
    """

    entry: str
    sites: frozenset[Place]
    module: ast.Module
    sliced: frozenset[str]
    loops: tuple[Loop, ...]
    main: ast.Module | None = None
    by_hand: bool = False


@dataclass(frozen=True)
class _Sliced:
    module: ast.Module
    main: ast.Module
    script: ast.Module
    loops: tuple[Loop, ...]


def plans(tree: ast.Module) -> tuple[Plan, ...]:
    """The ways to run the training code of a file, best first; empty when nothing in it calls backward."""
    tree = copy.deepcopy(tree)
    graph = call_graph(tree)
    blocks = {MAIN: main_block(tree), SCRIPT: training_part(tree, graph)}
    wanted = wanted_calls(tree)
    reach = {name: _reached(body, graph, wanted) for name, body in blocks.items()}
    hooks = framework_steps(tree)
    if not graph.chain and not any(reach.values()) and not hooks:
        return ()
    sliced = _slice(tree, graph, blocks)
    mains = {MAIN: sliced.main, SCRIPT: sliced.script}
    starts = [(name, sites) for name, sites in reach.items() if sites]
    starts += [(name, graph.reached_from([name])) for name in hooks]
    starts += [(name, sites) for name, sites in _routine_entries(graph) if name not in hooks]
    return tuple(
        Plan(name, sites, sliced.module, graph.replayed, sliced.loops, mains.get(name), wanted != BACKWARD)
        for name, sites in starts
    )


def _reached(body: list[ast.stmt], graph: CallGraph, wanted: frozenset[str]) -> frozenset[Place]:
    nodes = [node for statement in body for node in ast.walk(statement)]
    return backward_sites(body, wanted) | graph.reachable(nodes, "")


def _routine_entries(graph: CallGraph) -> Iterator[tuple[str, frozenset[Place]]]:
    """Routines as entries: those that nobody in the file calls first, then by the number of sites they reach."""
    called = set().union(*(graph.edges[name] - {name} for name in graph.chain))
    reach = {name: graph.reached_from([name]) for name in graph.chain}
    order = sorted(graph.chain, key=lambda name: (name in called, -len(reach[name]), graph.routines[name].node.lineno))
    return ((name, reach[name]) for name in order)


def framework_steps(tree: ast.Module) -> tuple[str, ...]:
    """The methods that a framework calls for a loss: Lightning's `training_step`, a Trainer's `compute_loss`."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    methods = {cls.name: {getattr(one, "name", "") for one in cls.body} for cls in classes}
    lightning = [
        f"{name}.training_step" for name, own in methods.items() if {"training_step", "configure_optimizers"} <= own
    ]
    trainers = [cls for cls in classes if any(dotted(base).endswith("Trainer") for base in cls.bases)]
    losses = [f"{cls.name}.compute_loss" for cls in trainers if "compute_loss" in methods[cls.name]]
    return (*lightning, *losses) if not losses or not backward_sites(tree.body, BACKWARD) else tuple(lightning)


def main_block(tree: ast.Module) -> list[ast.stmt]:
    """The statements of the `if __name__ == "__main__":` blocks, in order."""
    return [
        inner
        for statement in tree.body
        if isinstance(statement, ast.If) and is_main(statement)
        for inner in statement.body
    ]


def training_part(tree: ast.Module, graph: CallGraph) -> list[ast.stmt]:
    """The top-level statements that train when the file is imported, and the plain ones after the first of them."""
    wanted = wanted_calls(tree)
    body = [s for s in tree.body if not is_main(s) and not isinstance(s, (*FUNCTIONS, ast.ClassDef))]
    first = next((i for i, s in enumerate(body) if _reached([s], graph, wanted)), len(body))
    return body[first:]


def without_training(tree: ast.Module) -> ast.Module:
    """The module as it can be imported: no top-level statement of it trains.

    From the first training statement on only definitions, imports and plain assignments of a constant stay.
    """
    left_out = {id(statement) for statement in training_part(tree, call_graph(tree)) if not _harmless(statement)}
    body = [statement for statement in tree.body if id(statement) not in left_out]
    return ast.Module(body, tree.type_ignores)


def _harmless(statement: ast.stmt) -> bool:
    constant = isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, (ast.Import, ast.ImportFrom))


def _slice(tree: ast.Module, graph: CallGraph, blocks: dict[str, list[ast.stmt]]) -> _Sliced:
    wanted, loops = wanted_calls(tree), list[Loop]()
    block_scope = Scope(graph, wanted, _global_reads(graph))
    main, script = (ast.Module(_cut(body, block_scope, loops), []) for body in blocks.values())
    body = [_rebuilt(one, "", Scope(graph, wanted, frozenset()), loops) for one in tree.body if not is_main(one)]
    module = ast.Module(body, tree.type_ignores)
    for part in (module, main, script):
        ast.fix_missing_locations(part)
    return _Sliced(module, main, script, tuple(loops))


def _rebuilt(old: ast.stmt, prefix: str, scope: Scope, loops: list[Loop]) -> ast.stmt:
    """A definition with the routines on a way to a backward call sliced; other statements as they are."""
    if isinstance(old, FUNCTIONS):
        name = prefix + old.name
        return _sliced_routine(old, scope, loops, name in scope.graph.chain) if name in scope.graph.replayed else old
    inner = replace(scope, owner=old.name) if isinstance(old, ast.ClassDef) else scope
    start = f"{old.name}." if isinstance(old, ast.ClassDef) else prefix
    fields = {
        name: [_rebuilt(one, start, inner, loops) if isinstance(one, ast.stmt) else one for one in value]
        for name, value in ast.iter_fields(old)
        if isinstance(value, list)
    }
    return ast.copy_location(type(old)(**{**dict(ast.iter_fields(old)), **fields}), old)


def _sliced_routine(old: Function, scope: Scope, loops: list[Loop], trains: bool) -> Function:
    cut = _cut(old.body, scope, loops) if trains else _guard(old.body, scope, loops)
    body = cut or [ast.copy_location(ast.Pass(), old.body[0])]
    if names_read(ast.walk(old)) & {"super", "__class__"}:
        body = [*body, _class_cell(old)]
    return ast.copy_location(type(old)(**{**dict(ast.iter_fields(old)), "body": body}), old)


def _class_cell(at: ast.stmt) -> ast.stmt:
    """A dead read of `__class__`: the slice must close over the same cell as the method that it stands in for."""
    read = ast.Expr(ast.Name("__class__", ast.Load()))
    return ast.copy_location(ast.If(ast.Constant(False), [read], []), at)


def _cut(body: list[ast.stmt], scope: Scope, loops: list[Loop]) -> list[ast.stmt]:
    return Cutter(kept_statements(body, scope), scope, loops, scope.steps_in(body)).body(body)


def _guard(body: list[ast.stmt], scope: Scope, loops: list[Loop]) -> list[ast.stmt]:
    """All of a routine that prepares the training, so that missing data does not end it."""
    need = Need(
        kept={id(statement) for statement, _ in walk_statements(body, scope.opened)},
        names=names_read(node for one in body for node in ast.walk(one)),
    )
    return Cutter(need, scope, loops, step=True).body(body)


def _global_reads(graph: CallGraph) -> frozenset[str]:
    """The names that some routine of the file reads and does not bind itself."""
    return frozenset(name for routine in graph.routines.values() for name in _free(routine.node))


def _free(routine: Function) -> set[str]:
    nodes = list(ast.walk(routine))
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    given = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    return (names_read(nodes) - bound - {node.arg for node in nodes if isinstance(node, ast.arg)}) | given
