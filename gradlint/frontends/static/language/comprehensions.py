"""Comprehensions and generator expressions, evaluated at once."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.language.branches import Signal, alternatives
from gradlint.frontends.static.language.conditions import assume, note_test
from gradlint.frontends.static.language.loops import UNROLLED, uncounted
from gradlint.frontends.static.language.targets import assign
from gradlint.frontends.static.python import keys
from gradlint.frontends.static.values import Mapping, Scope, Sequence, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def listing(kind: str) -> Callable[[Run, Any], Value]:
    """Evaluates a list, set or generator comprehension."""

    def evaluate(run: Run, at: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
        made = Sequence([], kind, made=run.frame(at))
        made.exact = _in_own_scope(run, at.generators, lambda: made.items.append(run.evaluate(at.elt)))
        return made

    return evaluate


def mapping(run: Run, at: ast.DictComp) -> Value:
    """Evaluates a dict comprehension."""
    made = Mapping(made=run.frame(at))

    def one() -> None:
        keys.put(made, run.evaluate(at.key), run.evaluate(at.value))

    made.exact = _in_own_scope(run, at.generators, one) and made.exact
    return made


def _in_own_scope(run: Run, generators: list[ast.comprehension], each: Callable[[], None]) -> bool:
    activation = run.activation
    outer = activation.scope
    first = run.iterate(run.evaluate(generators[0].iter), generators[0].iter)
    activation.scope = Scope({}, outer.module, outer)
    try:
        return _nested(run, generators, 0, each, first)
    finally:
        activation.scope = outer


def _nested(
    run: Run,
    generators: list[ast.comprehension],
    depth: int,
    each: Callable[[], None],
    first: tuple[list[Value], bool] | None = None,
) -> bool:
    """Runs `each` for every combination; whether these are all for sure."""
    if depth == len(generators):
        each()
        return True
    generator = generators[depth]
    items, exact = first or run.iterate(run.evaluate(generator.iter), generator.iter)
    if not exact and not items:
        run.doubt()
    with nullcontext() if exact and len(items) <= UNROLLED else uncounted(run):
        for item in items[:UNROLLED]:
            assign(run, generator.target, item)
            exact = _filtered(run, generators, depth, each) and exact
    return exact and len(items) <= UNROLLED


def _filtered(run: Run, generators: list[ast.comprehension], depth: int, each: Callable[[], None]) -> bool:
    sure = True
    for test in generators[depth].ifs:
        value = run.evaluate(test)
        answer = run.truth(value)
        if answer is False:
            return True
        if answer is None:
            note_test(run, value, test)
        sure = sure and answer is True
    if sure:
        return _nested(run, generators, depth + 1, each)

    def way() -> Signal:
        if all(assume(run, test, True) for test in generators[depth].ifs):
            _nested(run, generators, depth + 1, each)
        return None

    alternatives(run, [way, lambda: None])
    return False
