"""Loops: unrolled where the passes are known, else run often enough to see what one pass hands to the next."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static.language.branches import Signal, alternatives, settle
from gradlint.frontends.static.language.conditions import assume
from gradlint.frontends.static.language.targets import assign
from gradlint.frontends.static.values import Constant, Sequence, Symbol, Value
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

UNROLLED = 64
"""Passes of a loop that are told apart."""
TRAINING_PASSES = 2
"""Passes of a loop that backpropagates: what one step keeps for the next shows in the second."""
STEPPING = ("backward", "step", "training_step", "manual_backward")
"""Method names that show that a loop trains."""


def for_loop(run: Run, at: ast.For | ast.AsyncFor) -> Signal:
    """`for`: every known item in turn; over what is not known, one item for all."""
    items, exact = run.iterate(run.evaluate(at.iter), at.iter)
    trains = run.activation.module.trains and is_training(at)
    if exact and len(items) <= UNROLLED and not trains:
        return _passes(run, at, items, exact=True)
    if trains:
        chosen = items[:TRAINING_PASSES] if len(items) > 1 else items * TRAINING_PASSES
        return _passes(run, at, [blurred(item) for item in chosen], exact=False)
    if not items:
        return None
    return _uncertain(run, at, items if not exact else [run.join(items[:UNROLLED])])


def while_loop(run: Run, at: ast.While) -> Signal:
    """`while`: as long as the condition is known; then as a loop of unknown length."""
    from gradlint.frontends.static.run import Loop

    first = len(run.pending)
    run.loops.append(Loop(run.frame(at), exact=False))
    try:
        trains = run.activation.module.trains and is_training(at)
        for _ in range(TRAINING_PASSES if trains else UNROLLED):
            answer = run.truth(run.evaluate(at.test))
            if answer is False:
                return _ended(run, at, first, None)
            if answer is None and not trains:
                break
            signal = _one_pass(run, at.body)
            if signal is not None:
                return _ended(run, at, first, signal)
            if trains is False and answer is None:
                break
        if not trains:
            alternatives(run, [lambda: None, _guarded(run, at)])
        return _ended(run, at, first, None)
    finally:
        run.loops.pop()


def _guarded(run: Run, at: ast.While) -> Callable[[], Signal]:
    def way() -> Signal:
        assume(run, at.test, True)
        return _one_pass(run, at.body)

    return way


@functools.lru_cache(maxsize=8192)
def is_training(at: ast.AST) -> bool:
    """Whether a loop (or function) calls `backward`, `step` or the like itself."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STEPPING
        for node in ast.walk(at)
    )


def _passes(run: Run, at: ast.For | ast.AsyncFor, items: list[Value], exact: bool) -> Signal:
    """One pass for every item."""
    from gradlint.frontends.static.run import Loop

    first = len(run.pending)
    loop = Loop(run.frame(at), exact=exact)
    run.loops.append(loop)
    signal: Signal = None
    try:
        noted = len(run.events)
        while loop.iteration < len(items):
            assign(run, at.target, items[loop.iteration])
            signal = _one_pass(run, at.body)
            loop.iteration += 1
            if signal is not None:
                break
            if _trained(run, noted):
                # Two passes show what one leaves for the next.
                if loop.iteration >= TRAINING_PASSES:
                    break
                items = items if len(items) > loop.iteration or exact else [*items, items[-1]]
    finally:
        run.loops.pop()
    return _ended(run, at, first, signal)


def _trained(run: Run, first: int) -> bool:
    """Whether anything was trained since an event."""
    return any(event.kind in (EventKind.BACKWARD, EventKind.STEP) for event in run.events[first:])


def blurred(item: Value) -> Value:
    """A loop's counter without its number, so that one pass stands for any."""
    match item:
        case Constant(value=int()):
            return Symbol("int")
        case Sequence(items=items, kind="tuple"):
            return Sequence([blurred(part) for part in items], "tuple", item.exact, item.made)
    return item


def _one_pass(run: Run, body: list[ast.stmt]) -> Signal:
    first = len(run.pending)
    signal = run.execute(body)
    alive = settle(run, first, ("continue",), alive=signal in (None, "continue"))
    return None if alive else signal


def _ended(run: Run, at: ast.For | ast.AsyncFor | ast.While, first: int, signal: Signal) -> Signal:
    """Behind a loop: ways that left it by `break` come back, `else` runs where it was not left."""
    if signal is None and at.orelse:
        signal = run.execute(at.orelse)
    alive = settle(run, first, ("break",), alive=signal in (None, "break"))
    return None if alive else signal


def _uncertain(run: Run, at: ast.For | ast.AsyncFor, items: list[Value]) -> Signal:
    """Passes whose number is not known: none, or some."""

    def way() -> Signal:
        return _passes(run, at, items, exact=False)

    return alternatives(run, [lambda: None, way])
