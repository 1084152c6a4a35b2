"""`with` blocks: a library's contexts by the vocabulary, the project's by their own methods or generators."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static import vocabulary
from gradlint.frontends.static.language import function_calls
from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.language.branches import Signal
from gradlint.frontends.static.language.expressions import arguments
from gradlint.frontends.static.language.functions import CONTEXT_BINDING
from gradlint.frontends.static.language.node_facts import kept
from gradlint.frontends.static.language.targets import assign
from gradlint.frontends.static.values import (
    Arguments,
    Bound,
    Constant,
    Function,
    Instance,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def with_block(run: Run, at: ast.With | ast.AsyncWith) -> Signal:
    """`with`: its contexts one inside of the other around the body."""
    return _nested(run, at, 0)


def _nested(run: Run, at: ast.With | ast.AsyncWith, depth: int) -> Signal:
    if depth == len(at.items):
        return run.execute(at.body)
    item = at.items[depth]
    generator = _generator(run, item.context_expr)
    if generator is not None:
        return _around(run, at, depth, *generator)
    context = run.evaluate(item.context_expr)
    place = _head(at, depth)
    grad = len(run.grad)
    given = _enter(run, context, place)
    if item.optional_vars is not None:
        assign(run, item.optional_vars, given)
    try:
        return _nested(run, at, depth + 1)
    finally:
        _leave(run, context, place)
        del run.grad[max(grad, 1) :]


@kept
def _head(at: ast.With | ast.AsyncWith, depth: int) -> ast.AST:
    """The head of a `with` statement, where Python enters its contexts."""
    last = at.items[depth].context_expr
    head = ast.Pass(lineno=at.lineno, col_offset=at.col_offset)
    head.end_lineno, head.end_col_offset = last.end_lineno, last.end_col_offset
    return head


def _enter(run: Run, context: Value, place: ast.AST) -> Value:
    if isinstance(context, Instance):
        found = in_class(context.cls, "__enter__")
        return run.call(bind(run, found, context, place), Arguments(), place) if found is not None else context
    given = vocabulary.enter(run, context, place)
    return context if given is None else given


def _leave(run: Run, context: Value, place: ast.AST) -> None:
    if isinstance(context, Instance):
        found = in_class(context.cls, "__exit__")
        if found is not None:
            nothing = Constant(None)
            run.call(bind(run, found, context, place), Arguments((nothing, nothing, nothing)), place)
    else:
        vocabulary.leave(run, context, place)


def _generator(run: Run, at: ast.expr) -> tuple[Function, Value | None, Arguments, ast.Call] | None:
    """The function behind a call of a `contextlib.contextmanager` of the project's own."""
    if not isinstance(at, ast.Call) or not isinstance(at.func, (ast.Name, ast.Attribute)):
        return None
    target = run.evaluate(at.func)
    receiver: Value | None = None
    if isinstance(target, Bound):
        receiver, target = target.receiver, target.function
    if not isinstance(target, Function) or target.binding != CONTEXT_BINDING:
        return None
    return target, receiver, arguments(run, at), at


def _around(
    run: Run,
    at: ast.With | ast.AsyncWith,
    depth: int,
    function: Function,
    receiver: Value | None,
    given: Arguments,
    place: ast.Call,
) -> Signal:
    """Runs the body where the generator yields."""
    signals: list[Signal] = []
    here = run.activation

    def body(value: Value) -> None:
        inner, run.activation = run.activation, here
        target = at.items[depth].optional_vars
        try:
            if target is not None:
                assign(run, target, value)
            signals.append(_nested(run, at, depth + 1))
        finally:
            run.activation = inner

    function_calls.call_function(run, function, given, place, receiver, body)
    return signals[0] if signals else run.execute(at.body)
