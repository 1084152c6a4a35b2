"""Decides which statements of a body the backward calls in it need."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gradlint import ops
from gradlint.frontends.recorder.replaying.sites import CallGraph, is_backward
from gradlint.frontends.recorder.replaying.statements import (
    FUNCTIONS,
    binds,
    calls,
    changes,
    children,
    dotted,
    last,
    loads,
    names_read,
    root,
    roots,
    walk_statements,
    within,
)

Trail = tuple[ast.stmt, ...]
LOOPS = (ast.For, ast.AsyncFor, ast.While)
JUMPS = (ast.Break, ast.Continue, ast.Return)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
DECLARATIONS = (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
STEPS = frozenset({"step", "zero_grad", "unscale_", "clip_gradients", "optimizer_step", "optimizer_zero_grad"})
OBSERVER = re.compile(
    r"^(print|info|debug|warning|warn|error|watch|show|display|imshow|savefig|render|summary|evaluat\w*|valid\w*|test|"
    r"(save|log|print|plot|write|dump|export|report|visuali[sz]e|checkpoint|eval|test|show|draw|generate|inference)"
    r"(_\w+)?|set_postfix\w*|set_description\w*|makedirs|mkdir|exit|destroy_process_group|empty_cache|synchronize|"
    r"barrier|add_(scalars?|images?|histogram|graph|text|figure|embedding|hparams|pr_curve|video|audio))$"
)
OBSERVER_ROOT = re.compile(
    r"^(logg(er|ing)|log|wandb|mlflow|neptune|comet\w*|(\w*_)?writer|tb\w*|tensorboard|plt|vis|console|pp?rint|sns)$"
)
SETUP_ROOT = frozenset({"torch", "random", "np", "numpy", "os", "sys", "pl", "mp", "dist", "warnings"})
REPORTED = re.compile(
    r"loss|acc|metric|hist|score|total|running|avg|mean|err|log|time|curve|best_?(?!model)\w*$", re.IGNORECASE
)
KEEPING = frozenset({"eval"})
DENSITY = "log_prob"


@dataclass(frozen=True)
class Scope:
    """What is known of the file around a body: its calls, its kind of backward call, the globals its routines read."""

    graph: CallGraph
    wanted: frozenset[str]
    globals_read: frozenset[str]
    owner: str = ""

    def leads(self, node: ast.AST) -> bool:
        """Whether an expression node is a backward call or refers to a routine that reaches one."""
        if isinstance(node, ast.Call) and is_backward(node, self.wanted):
            return True
        return any(name in self.graph.chain for name in self.graph.called(node, self.owner))

    def trains(self, statement: ast.stmt) -> bool:
        """Whether a statement's own expressions lead to a backward call."""
        return any(self.leads(node) for node in within(statement))

    def holds_training(self, statement: ast.stmt) -> bool:
        """Whether a statement or one inside it leads to a backward call."""
        return any(self.leads(node) for node in ast.walk(statement))

    def steps_in(self, body: list[ast.stmt]) -> bool:
        """Whether a backward call stands in `body` itself, not in a loop or function inside it."""
        return any(
            any(isinstance(node, ast.Call) and is_backward(node, self.wanted) for node in within(statement))
            or (not isinstance(statement, (*LOOPS, *DEFINITIONS)) and self.steps_in(list(children(statement))))
            for statement in body
        )

    def opened(self, statement: ast.stmt) -> bool:
        """Whether the slicer looks into a statement: not into classes, and not into functions that do not train."""
        return not isinstance(statement, DEFINITIONS) or (
            isinstance(statement, FUNCTIONS) and self.holds_training(statement)
        )


@dataclass
class Need:
    """The fixed point under construction: the kept statements (by identity) and the names that they read."""

    kept: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)

    @property
    def related(self) -> set[str]:
        """The needed names and those that stand for a part of what a needed name holds."""
        return self.names | self.aliases

    def keep(self, statement: ast.stmt, trail: Trail) -> None:
        """Keeps a statement and the compound statements around it, and needs what they read."""
        for one in (*trail, statement):
            if id(one) not in self.kept:
                self.kept.add(id(one))
                self.names |= _reads(one, one is statement)
                self.names |= changes(one)


def _reads(statement: ast.stmt, whole: bool) -> set[str]:
    if isinstance(statement, ast.Return):
        elements = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
        named = [names_read(ast.walk(one)) for one in elements if one is not None and not _evaluates(one)]
        return {name for names in named if not any(map(REPORTED.search, names)) for name in names}
    return loads(statement) if whole or not isinstance(statement, DEFINITIONS) else set()


def kept_statements(body: list[ast.stmt], scope: Scope) -> Need:
    """The statements of `body` (at any depth) to keep; a block's globals that routines read count as needed."""
    places = list(walk_statements(body, scope.opened))
    need = Need(names=set(scope.globals_read))
    before = -1
    while before != (before := len(need.kept) + len(need.names) + len(need.aliases)):
        _alias(places, need)
        for statement, trail in places:
            if id(statement) not in need.kept and wants(statement, trail, scope, need):
                need.keep(statement, trail)
    return need


def _alias(places: list[tuple[ast.stmt, Trail]], need: Need) -> None:
    for statement, _ in places:
        for targets, value in _bindings(statement):
            if roots(value) & need.related:
                need.aliases |= targets


def _bindings(statement: ast.stmt) -> Iterator[tuple[set[str], ast.expr]]:
    match statement:
        case ast.Assign(value=value) if not isinstance(value, ast.Call) or last(value.func) not in ("item", "numpy"):
            yield binds(statement), value
        case ast.For(iter=value):
            yield binds(statement), value


def wants(statement: ast.stmt, trail: Trail, scope: Scope, need: Need) -> bool:
    """Whether the backward calls need a statement, judged by the names that are needed so far."""
    if isinstance(statement, JUMPS):
        return _keeps_jump(statement, trail, scope)
    if isinstance(statement, (*DECLARATIONS, *DEFINITIONS)):
        return isinstance(statement, DECLARATIONS) or statement.name in need.names
    if scope.trains(statement) or yields(statement) or any(steps(call) for call in calls(statement)):
        return True
    if isinstance(statement, ast.Expr):
        return _changes_related(statement.value, scope, need)
    return bool(binds(statement) & need.names or changes(statement) & (need.related | {"os"}))


def yields(statement: ast.stmt) -> bool:
    """Whether a statement hands control to another routine and may be left there."""
    return any(isinstance(node, (ast.Yield, ast.YieldFrom, ast.Await)) for node in within(statement))


def _keeps_jump(statement: ast.stmt, trail: Trail, scope: Scope) -> bool:
    """A jump matters unless it comes after the training of the loop that it ends (the replay ends that one itself)."""
    loop = next((one for one in reversed(trail) if isinstance(one, LOOPS)), None)
    if loop is None:
        return isinstance(statement, ast.Return)
    sites = [node.lineno for node in ast.walk(loop) if isinstance(node, ast.expr) and scope.leads(node)]
    return not sites or statement.lineno < max(sites)


def steps(call: ast.Call) -> bool:
    """Whether a call steps an optimizer, clears or clips gradients (a scheduler's step is none of these)."""
    name = last(call.func)
    if name.startswith("clip_grad"):
        return True
    if name == "update":
        return "scaler" in dotted(call.func)
    return name in STEPS and "sched" not in dotted(call.func) and not _acts(call)


def _acts(call: ast.Call) -> bool:
    """`env.step(action)` and the like: a step with an argument that is neither a closure nor a scaler's optimizer."""
    closure = call.args and ("closure" in dotted(call.args[0]) or isinstance(call.args[0], ast.Lambda))
    return last(call.func) == "step" and bool(call.args) and not closure and "scaler" not in dotted(call.func).lower()


def observes(call: ast.expr) -> bool:
    """Whether a call only reports, saves or evaluates, by its name."""
    if not isinstance(call, ast.Call):
        return False
    parts = dotted(call.func).split(".")
    return parts[-1] not in KEEPING and bool(
        OBSERVER.match(parts[-1]) or any(OBSERVER_ROOT.match(part) for part in parts[:-1])
    )


def _changes_related(value: ast.expr, scope: Scope, need: Need) -> bool:
    """Whether an expression statement may change something that is needed."""
    match value:
        case ast.ListComp(generators=generators):
            return any(roots(generator.iter) & need.related for generator in generators)
        case ast.Call() if observes(value):
            return False
        case ast.Call(func=ast.Attribute() as method):
            start = root(method)
            return start in SETUP_ROOT or start in need.related or _is_super(method) or _hands_over(value, scope, need)
        case ast.Call():
            return _hands_over(value, scope, need)
    return False


def _is_super(method: ast.Attribute) -> bool:
    return isinstance(method.value, ast.Call) and dotted(method.value.func) == "super"


def _hands_over(call: ast.Call, scope: Scope, need: Need) -> bool:
    """Whether a call gets a needed object and may change it: a routine of the file, an imported one, `init.zeros_`."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    related = any(roots(argument) & need.related for argument in arguments)
    imported = isinstance(call.func, ast.Name) and call.func.id not in dir(__builtins__)
    return (related and (imported or last(call.func).endswith("_"))) or dotted(call.func) in scope.graph.routines


def reported(element: ast.expr, need: Need) -> bool:
    """Whether a returned value only reports: it reads names that are not kept, or calls an evaluation."""
    if _evaluates(element):
        return True
    names = names_read(ast.walk(element))
    return any(REPORTED.search(name) and name not in need.names for name in names)


def _evaluates(element: ast.expr) -> bool:
    """Whether an expression whose value is used evaluates: `log(p)` does not, though it is called like a report."""
    found = (node for node in ast.walk(element) if isinstance(node, ast.Call))
    return any(observes(call) and not _computes(call) for call in found)


def _computes(call: ast.Call) -> bool:
    """Whether a call is an op, or a distribution's density, by its name: `torch.log(p)`, `p.log()`, `log_prob(a)`."""
    name = last(call.func)
    return name == DENSITY or ops.lookup("torch", name) is not None
