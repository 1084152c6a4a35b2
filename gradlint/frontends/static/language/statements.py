"""The effects of statements, by the type of their syntax node."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static import graph_breaks, modules_of_project, vocabulary
from gradlint.frontends.static.language import classes, conditions, contexts, functions, loops, matching
from gradlint.frontends.static.language.branches import Signal, alternatives
from gradlint.frontends.static.language.operators import BINARY, apply
from gradlint.frontends.static.language.targets import GLOBAL, NONLOCAL, assign, delete, holder
from gradlint.frontends.static.values import Constant, Instance, Sequence, Symbol, Tensor, Unknown, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def _expression(run: Run, at: ast.Expr) -> Signal:
    if not isinstance(at.value, ast.Constant):
        run.evaluate(at.value)
    return None


def _assign(run: Run, at: ast.Assign) -> Signal:
    value = run.evaluate(at.value)
    for target in at.targets:
        assign(run, target, value)
    return None


def _annotated(run: Run, at: ast.AnnAssign) -> Signal:
    if at.value is not None:
        assign(run, at.target, run.evaluate(at.value))
    return None


def _augmented(run: Run, at: ast.AugAssign) -> Signal:
    left = run.settled(run.evaluate(_loaded(at.target)))
    right = run.settled(run.evaluate(at.value))
    name, plain = BINARY[type(at.op)]
    if isinstance(left, Sequence) and left.kind == "list" and name == "add":
        items, exact = run.iterate(right, at.value)
        run.extend(left, items)
        if not exact:
            run.write(left, "exact", False)
        return None
    result: Value | None = None
    if isinstance(left, Tensor):
        result = vocabulary.operator(run, f"i{name}", left, right, at)
    if result is None:
        result = apply(run, name, plain, left, right, at)
    assign(run, at.target, Symbol("int") if _is_counted(run, at.target, result) else result)
    return None


def _is_counted(run: Run, target: ast.expr, result: Value) -> bool:
    """Whether `self.steps += 1` counts passes of a loop of which only a few run, in an object that is older."""
    if not isinstance(target, ast.Attribute) or not isinstance(target.value, ast.Name):
        return False
    if not isinstance(result, Constant) or type(result.value) is not int or not run.loops:
        return False
    owner = run.evaluate(target.value)
    birth = getattr(owner.attributes, "birth", 0) if isinstance(owner, Instance) else 0
    return any(loop.sampled and birth < loop.birth for loop in run.loops)


def _loaded(target: ast.expr) -> ast.expr:
    """An assignment's target as an expression that reads it: same node, other context."""
    return target


def _return(run: Run, at: ast.Return) -> Signal:
    value = run.evaluate(at.value) if at.value else Constant(None)
    run.activation.returned.append(value)
    return "return"


def _raise(run: Run, at: ast.Raise) -> Signal:
    from gradlint.frontends.static.run import RaisedError

    raise RaisedError


CHECKED = "checked"
"""Literal of a test that a compiler keeps in its graph: an assertion whose message is no computed one."""


def _assert(run: Run, at: ast.Assert) -> Signal:
    test = run.evaluate(at.test)
    if run.truth(test) is None:
        kept = at.msg is None or isinstance(at.msg, ast.Constant)
        conditions.note_test(run, test, at, {CHECKED: True} if kept else {})
        conditions.assume(run, at.test, True)
    return None


def _define(run: Run, at: ast.FunctionDef | ast.AsyncFunctionDef) -> Signal:
    run.write(holder(run, at.name), at.name, functions.define(run, at))
    return None


def _class(run: Run, at: ast.ClassDef) -> Signal:
    graph_breaks.definition(run, at)
    run.write(holder(run, at.name), at.name, classes.define(run, at))
    return None


def _delete(run: Run, at: ast.Delete) -> Signal:
    for target in at.targets:
        delete(run, target)
    return None


def _pass(run: Run, at: ast.stmt) -> Signal:
    return None


def _break(run: Run, at: ast.Break) -> Signal:
    return "break"


def _continue(run: Run, at: ast.Continue) -> Signal:
    return "continue"


def _declare(kind: str) -> Callable[[Run, Any], Signal]:
    def declare(run: Run, at: ast.Global | ast.Nonlocal) -> Signal:
        names = run.declared.setdefault(id(run.activation.scope.names), {})
        names.update(dict.fromkeys(at.names, kind))
        run.keep.append(run.activation.scope.names)
        return None

    return declare


def _import(run: Run, at: ast.Import) -> Signal:
    module = run.activation.module
    for alias in at.names:
        if alias.asname:
            value = modules_of_project.import_module(run, module, alias.name)
            run.write(holder(run, alias.asname), alias.asname, value)
        else:
            head = alias.name.partition(".")[0]
            run.write(holder(run, head), head, modules_of_project.import_module(run, module, head))
    return None


def _import_from(run: Run, at: ast.ImportFrom) -> Signal:
    module = run.activation.module
    for alias in at.names:
        if alias.name != "*":
            name = alias.asname or alias.name
            value = modules_of_project.import_name(run, module, at.module or "", at.level, alias.name)
            run.write(holder(run, name), name, value)
    return None


def _try(run: Run, at: Any) -> Signal:
    """The body; a handler is an alternative that starts before it."""
    handlers = [handler for handler in at.handlers if not _is_idle(handler)]

    def body() -> Signal:
        signal = run.execute(at.body)
        return signal if signal is not None else run.execute(at.orelse)

    ways = [body, *(_handling(run, handler) for handler in handlers)]
    fitting = bool(handlers) and all(_is_misfit(handler) for handler in handlers)
    sure = not handlers or _only_imports(at.body)
    if fitting:
        signal = _first_that_fits(run, ways)
    else:
        signal = _first_that_runs(run, ways) if sure else alternatives(run, ways)
    if at.finalbody:
        ended = run.execute(at.finalbody)
        signal = ended or signal
    return signal


def _is_idle(handler: ast.ExceptHandler) -> bool:
    """Whether a handler only ends the program, or does nothing."""
    return all(isinstance(s, (ast.Raise, ast.Pass)) for s in handler.body)


def _is_misfit(handler: ast.ExceptHandler) -> bool:
    """Whether a handler is there for arguments that a function does not take."""
    return isinstance(handler.type, ast.Name) and handler.type.id == "TypeError"


def _first_that_fits(run: Run, ways: list[Callable[[], Signal]]) -> Signal:
    """The first way whose calls take what they are given."""
    run.trying += 1
    unknown = len(run.gaps)
    try:
        return _first_that_runs(run, ways)
    finally:
        run.trying -= 1
        if len(run.gaps) > unknown:
            run.doubt()


def _only_imports(body: list[ast.stmt]) -> bool:
    return all(isinstance(s, (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign)) for s in body) and any(
        isinstance(s, (ast.Import, ast.ImportFrom)) for s in body
    )


def _first_that_runs(run: Run, ways: list[Callable[[], Signal]]) -> Signal:
    from gradlint.frontends.static.run import RaisedError

    for way in ways[:-1]:
        try:
            return way()
        except RaisedError:
            continue
    return ways[-1]()


def _handling(run: Run, handler: ast.ExceptHandler) -> Callable[[], Signal]:
    def way() -> Signal:
        if handler.name:
            run.write(holder(run, handler.name), handler.name, Unknown("an exception"))
        return run.execute(handler.body)

    return way


HANDLERS: dict[type, Callable[[Run, Any], Signal]] = {
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Assert: _assert,
    ast.FunctionDef: _define,
    ast.AsyncFunctionDef: _define,
    ast.ClassDef: _class,
    ast.Delete: _delete,
    ast.Pass: _pass,
    ast.Break: _break,
    ast.Continue: _continue,
    ast.Global: _declare(GLOBAL),
    ast.Nonlocal: _declare(NONLOCAL),
    ast.Import: _import,
    ast.ImportFrom: _import_from,
    ast.If: conditions.branch,
    ast.For: loops.for_loop,
    ast.AsyncFor: loops.for_loop,
    ast.While: loops.while_loop,
    ast.With: contexts.with_block,
    ast.AsyncWith: contexts.with_block,
    ast.Try: _try,
    ast.TryStar: _try,
    ast.Match: matching.match,
}
"""Runs each kind of statement; what ended the block early, or None."""

if hasattr(ast, "TypeAlias"):
    HANDLERS[ast.TypeAlias] = _pass
