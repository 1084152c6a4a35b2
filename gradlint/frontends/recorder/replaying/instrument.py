"""Rebuilds a sliced body so that the replay can bound its loops and survive what does not matter."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, replace
from typing import Any

from gradlint.frontends.recorder.replaying.needs import LOOPS, Need, Scope, reported, steps, yields
from gradlint.frontends.recorder.replaying.sites import Place, backward_sites
from gradlint.frontends.recorder.replaying.statements import FUNCTIONS, binds, calls, children, last, rebuilt, within

RUNTIME = "__gradlint__"
"""The name under which the running slice finds the replay's runtime."""

PROGRESS = frozenset({"tqdm", "trange", "tqdm_notebook", "track", "progress_bar", "ProgressBar", "auto_tqdm"})
CATCH_ALL = frozenset({"Exception", "BaseException"})
SHORT_TRY = 2
"""A longer body under `except Exception` is a program with a crash handler, not an attempt."""


@dataclass(frozen=True)
class Loop:
    """A loop around backward calls: it ends when all `sites` were hit often enough and its optimizer stepped."""

    number: int
    sites: frozenset[Place]
    stepping: bool = False


@dataclass(frozen=True)
class Cutter:
    """What rebuilding a body needs: the kept statements, the file, and the loops met so far (in their order)."""

    need: Need
    scope: Scope
    loops: list[Loop]
    step: bool = False
    caught: bool = False

    def body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """The kept statements, rebuilt."""
        return [new for one in statements if id(one) in self.need.kept for new in self.statement(one)]

    def statement(self, old: ast.stmt) -> list[ast.stmt]:
        """One kept statement with the slice of what is inside it, guarded where its failure does not matter."""
        if not self.scope.opened(old):
            return [old]
        new = _Plain().visit(self._inside(old)) if any(map(_replaced, within(old))) else self._inside(old)
        match new:
            case ast.For() | ast.AsyncFor() | ast.While() if self.scope.holds_training(old):
                return self._bounded(new, self._register(old))
            case ast.Return(value=ast.expr() as value):
                return [ast.copy_location(ast.Return(self._result(value)), new)]
            case ast.Assign() | ast.AnnAssign() | ast.Expr() | ast.Import() | ast.ImportFrom() if not self.scope.trains(
                old
            ):
                return [self._guarded(new, old)]
        return [new]

    def _inside(self, old: ast.stmt) -> ast.stmt:
        inner = replace(self, step=self.step or self._starts_step(old), caught=self.caught or _catches(old))
        lists = ((name, value) for name, value in ast.iter_fields(old) if isinstance(value, list))
        return rebuilt(old, **{name: inner.suite(name, value) for name, value in lists})

    def _starts_step(self, old: ast.stmt) -> bool:
        return isinstance(old, (*LOOPS, *FUNCTIONS)) and self.scope.steps_in(list(children(old)))

    def suite(self, name: str, value: list[Any]) -> list[Any]:
        """One list field of a statement: statements are sliced, those of handlers and cases too, the rest stays."""
        if name in ("handlers", "cases"):
            return [rebuilt(block, body=self.suite("body", block.body)) for block in value]
        if not value or not isinstance(value[0], ast.stmt):
            return value
        kept = self.body(value)
        return kept or ([ast.copy_location(ast.Pass(), value[0])] if name in ("body", "finalbody") else [])

    def _register(self, old: ast.stmt) -> int:
        sites = backward_sites([old], self.scope.wanted) | self.scope.graph.reachable(ast.walk(old), self.scope.owner)
        stepping = any(
            isinstance(node, ast.Call) and last(node.func) == "step" and steps(node) for node in ast.walk(old)
        )
        self.loops.append(Loop(len(self.loops), sites, stepping))
        return len(self.loops) - 1

    def _bounded(self, new: ast.For | ast.AsyncFor | ast.While, number: int) -> list[ast.stmt]:
        """The loop with its iterable (or its test, and a start mark before it) in the runtime's hands."""
        if not isinstance(new, ast.While):
            new.iter = _runtime("each", [new.iter, ast.Constant(number)], new.iter)
            return [new]
        going = _runtime("going", [ast.Constant(number)], new.test)
        new.test = ast.copy_location(ast.BoolOp(ast.And(), [going, new.test]), new.test)
        return [ast.copy_location(ast.Expr(_runtime("begin", [ast.Constant(number)], new)), new), new]

    def _result(self, value: ast.expr) -> ast.expr:
        if isinstance(value, ast.Tuple):
            return ast.copy_location(ast.Tuple([self._result(item) for item in value.elts], ast.Load()), value)
        return _runtime("unreported", [], value) if reported(value, self.need) else value

    def _guarded(
        self, new: ast.Assign | ast.AnnAssign | ast.Expr | ast.Import | ast.ImportFrom, old: ast.stmt
    ) -> ast.stmt:
        if self.caught or yields(old) or (isinstance(old, ast.Expr) and any(map(steps, calls(old)))):
            return new
        handler = ast.ExceptHandler(_name("Ordinary", new), None, self._fallback(new))
        return ast.copy_location(ast.Try([new], [ast.copy_location(handler, new)], [], []), new)

    def _fallback(self, new: ast.stmt) -> list[ast.stmt]:
        match new:
            case ast.Assign(targets=targets):
                return [ast.copy_location(ast.Assign(copy.deepcopy(targets), self._missing(targets[0], new)), new)]
            case ast.AnnAssign(target=target):
                return [ast.copy_location(ast.Assign([copy.deepcopy(target)], self._missing(target, new)), new)]
            case ast.Import() | ast.ImportFrom():
                targets = [ast.Name(name, ast.Store()) for name in sorted(binds(new) - {"*"})]
                return [ast.copy_location(ast.Assign([one], self._missing(one, new)), new) for one in targets]
        return [ast.copy_location(ast.Expr(_runtime("tolerate", [ast.Constant(self.step)], new)), new)]

    def _missing(self, target: ast.expr, at: ast.stmt) -> ast.expr:
        return _runtime("missing", [_shape(target), ast.Constant(self.step)], at)


def _catches(old: ast.stmt) -> bool:
    """Whether a `try` expects its body to fail: it names the exceptions, or is short."""
    if not isinstance(old, ast.Try) or not old.handlers:
        return False
    named = all(handler.type is not None and last(handler.type) not in CATCH_ALL for handler in old.handlers)
    return named or len(old.body) <= SHORT_TRY


def _shape(target: ast.expr) -> ast.expr:
    match target:
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return ast.Tuple([_shape(item) for item in items], ast.Load())
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return ast.Constant(name)
    return ast.Constant("")


def _name(attribute: str, at: ast.AST) -> ast.expr:
    owner = ast.copy_location(ast.Name(RUNTIME, ast.Load()), at)
    return ast.copy_location(ast.Attribute(owner, attribute, ast.Load()), at)


def _runtime(attribute: str, arguments: list[ast.expr], at: ast.AST) -> ast.expr:
    return ast.copy_location(ast.Call(_name(attribute, at), arguments, []), at)


def _replaced(node: ast.AST) -> bool:
    return isinstance(node, ast.DictComp) or (isinstance(node, ast.Call) and last(node.func) in PROGRESS)


class _Plain(ast.NodeTransformer):
    """Takes the progress bars off the iterables, and lets dictionaries be made from missing ones."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """`tqdm(loader, …)` becomes the runtime's silent bar around `loader`."""
        self.generic_visit(node)
        if not _replaced(node):
            return node
        kind = "count" if last(node.func) == "trange" else "progress"
        given = [one.value for one in node.keywords if one.arg in ("iterable", "sequence")]
        return _runtime(kind, list(node.args) if kind == "count" else (list(node.args[:1]) or given), node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        """`{k: v.cuda() for k, v in batch.items()}` may find the batch missing."""
        self.generic_visit(node)
        return _runtime("mapping", [node], node)
