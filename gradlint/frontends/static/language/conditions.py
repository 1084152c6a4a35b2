"""Conditions: which ways a program may go, and what is known of the values on each of them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.language.branches import RAISE, Signal, alternatives
from gradlint.frontends.static.language.node_facts import text_of
from gradlint.frontends.static.values import Choice, Constant, Instance, Symbol, Tensor, Truth, Value
from gradlint.graph import NodeKind, Passage, Reason, ValueKind
from gradlint.training import Condition

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


TRUTH = "__bool__"
"""What a tensor's truth is recorded as."""


def choice(run: Run, at: ast.IfExp) -> Value:
    """`body if test else orelse`."""
    test = run.evaluate(at.test)
    answer = run.truth(test)
    if answer is not None:
        return run.evaluate(at.body if answer else at.orelse)
    results: list[Value] = []
    note_test(run, test, at.test)
    ways = [_evaluating(run, at.test, True, at.body, results), _evaluating(run, at.test, False, at.orelse, results)]
    alternatives(run, ways, at.test)
    return run.join(results)


def _evaluating(run: Run, test: ast.expr, answer: bool, at: ast.expr, results: list[Value]) -> Callable[[], Signal]:
    def way() -> Signal:
        if not assume(run, test, answer):
            return RAISE
        results.append(run.evaluate(at))
        return None

    return way


def boolean(run: Run, at: ast.BoolOp) -> Value:
    """`a and b`, `a or b`: the operand that decides."""
    stop = isinstance(at.op, ast.Or)
    return _rest(run, at.values, 0, stop)


def _rest(run: Run, operands: list[ast.expr], position: int, stop: bool) -> Value:
    operand = operands[position]
    value = run.evaluate(operand)
    if position == len(operands) - 1:
        return value
    answer = run.truth(value)
    if answer is stop:
        return value
    if answer is not None:
        return _rest(run, operands, position + 1, stop)
    note_test(run, value, operand)
    results = [_deciding(run, value, stop)]

    def way() -> Signal:
        if not assume(run, operand, not stop):
            return RAISE
        results.append(_rest(run, operands, position + 1, stop))
        return None

    alternatives(run, [lambda: None, way])
    return run.join([r for r in results if r is not None])


def _deciding(run: Run, value: Value, stop: bool) -> Value:
    """The operand, as far as it may be the one that decides."""
    if isinstance(value, Choice):
        kept = [option for option in value.options if run.truth(option) in (stop, None)]
        return run.join(kept) if kept else Constant(stop)
    if isinstance(value, Symbol) and value.type == "bool":
        return Constant(stop)
    return value


def branch(run: Run, at: ast.If) -> str | None:
    """`if`: the way that is taken, or both."""
    test = run.evaluate(at.test)
    answer = run.truth(test)
    if answer is not None:
        return run.execute(at.body if answer else at.orelse)
    note_test(run, test, at.test)
    return alternatives(run, [_way(run, at.test, True, at.body), _way(run, at.test, False, at.orelse)], at.test)


def _way(run: Run, test: ast.expr, answer: bool, body: list[ast.stmt]) -> Callable[[], Signal]:
    def way() -> Signal:
        run.doubts.append(Condition(text_of(test), answer, run.frame(test)))
        try:
            return run.execute(body) if assume(run, test, answer) else RAISE
        finally:
            run.doubts.pop()

    return way


def note_test(run: Run, test: Value, at: ast.AST, literals: dict[str, Any] | None = None) -> None:
    """A condition on a tensor's value is Python reading it, as a truth value that has no gradient."""
    if isinstance(test, Truth) and test.of is not None:
        test = test.of
    for value in run.tensors_in(test) if isinstance(test, (Tensor, Choice)) else ():
        if isinstance(value, Tensor):
            node = run.linked(NodeKind.OP, TRUTH, (run.read(value),), at, Passage.BLOCKED, Reason.SCALAR)
            run.tape.nodes[node].value, run.tape.nodes[node].requires_grad = ValueKind.SCALAR, False
            run.tape.nodes[node].literals.update(literals or {})


def assume(run: Run, test: ast.expr, answer: bool) -> bool:
    """Narrows what a condition speaks of to the options that agree with its answer; false when none does."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return assume(run, operand, not answer)
        case ast.BoolOp(op=op, values=operands):
            if isinstance(op, ast.And) == answer:
                return all(assume(run, operand, answer) for operand in operands)
            return True
        case ast.Name() | ast.Attribute():
            return _narrow(run, test, test, answer)
        case ast.Compare(left=ast.Name() | ast.Attribute() as left, ops=[_], comparators=[ast.Constant()]):
            return _narrow(run, left, test, answer)
        case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name() | ast.Attribute() as left, _]):
            return _narrow(run, left, test, answer)
    return True


def _narrow(run: Run, place: ast.expr, test: ast.expr, answer: bool) -> bool:
    holder = _holder(run, place)
    if holder is None:
        return True
    names, name = holder
    value = names.get(name)
    if not isinstance(value, Choice):
        return True
    kept = [option for option in value.options if _agrees(run, names, name, option, test) in (answer, None)]
    if kept and len(kept) < len(value.options):
        run.write(names, name, run.join(kept))
    return bool(kept)


def _agrees(run: Run, names: dict[str, Value], name: str, option: Value, test: ast.expr) -> bool | None:
    """The condition's answer if the name stood for one option."""
    old = names[name]
    names[name] = option
    try:
        return run.truth(run.evaluate(test))
    finally:
        names[name] = old


def _holder(run: Run, place: ast.expr) -> tuple[dict[str, Value], str] | None:
    """The dict and key behind a name, or behind an attribute of a plain object."""

    if isinstance(place, ast.Name):
        scope = run.activation.scope
        return (scope.names, place.id) if place.id in scope.names else None
    if isinstance(place, ast.Attribute) and isinstance(place.value, ast.Name):
        owner = run.evaluate(place.value)
        if isinstance(owner, Instance) and place.attr in owner.attributes:
            return owner.attributes, place.attr
    return None
