"""Loops: unrolled where the passes are known, else run often enough to see what one pass hands to the next."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gradlint.frontends.static.language.branches import Signal, alternatives, settle
from gradlint.frontends.static.language.carried import hands_on
from gradlint.frontends.static.language.conditions import assume, note_test
from gradlint.frontends.static.language.node_facts import kept
from gradlint.frontends.static.language.targets import assign
from gradlint.frontends.static.record.tensors_inside import is_module_class
from gradlint.frontends.static.values import Constant, Instance, Sequence, Symbol, Tensor, Value
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

UNROLLED = 64
"""Passes of a loop that are told apart."""
PARTS_UNROLLED = 4096
"""Passes that are told apart of a loop over the parts of a model."""
TRAINING_PASSES = 2
"""Passes of a loop that backpropagates: what one step keeps for the next shows in the second."""
STEP = "step"
STEPPING = ("backward", STEP, "training_step", "manual_backward")
"""Method names that show that a loop trains."""


def for_loop(run: Run, at: ast.For | ast.AsyncFor) -> Signal:
    """`for`: every known item in turn; over what is not known, one item for all."""
    items, exact = run.iterate(run.evaluate(at.iter), at.iter)
    trains = _may_train(run, at)
    if exact and not trains and (len(items) <= UNROLLED or _are_parts(run, items)):
        return _passes(run, at, items, exact=True)
    with uncounted(run):
        if trains:
            chosen = items[:TRAINING_PASSES] if len(items) > 1 else items * TRAINING_PASSES
            return _passes(run, at, [blurred(item) for item in chosen], exact=False)
        if not items:
            run.doubt()
            return None
        return _uncertain(run, at, items if not exact else [run.join(items[:UNROLLED])])


def _are_parts(run: Run, items: list[Value]) -> bool:
    """Whether a loop goes over the modules or parameters of a model, named or not: each is treated by itself."""
    return len(items) <= PARTS_UNROLLED and all(_is_part(run, item) for item in items)


def _is_part(run: Run, item: Value) -> bool:
    if isinstance(item, Sequence) and item.kind == "tuple" and item.items:
        return _is_part(run, item.items[-1])
    return item.parameter if isinstance(item, Tensor) else run.is_module(item)


@contextmanager
def uncounted(run: Run) -> Iterator[None]:
    """Ops that run while it is not known how often they do."""
    first = len(run.tape.nodes)
    yield
    if len(run.tape.nodes) > first:
        run.doubt()


def while_loop(run: Run, at: ast.While) -> Signal:
    """`while`: as long as the condition is known; then as a loop of unknown length."""
    from gradlint.frontends.static.run import Loop

    first = len(run.pending)
    trains = _may_train(run, at)
    run.loops.append(Loop(run.frame(at), exact=False, sampled=trains))
    try:
        if trains:
            _forget_counters(run, at)
        for _ in range(TRAINING_PASSES if trains else UNROLLED):
            test = run.evaluate(at.test)
            answer = run.truth(test)
            if answer is None:
                note_test(run, test, at.test)
            if answer is False:
                return _ended(run, at, first, None)
            if answer is None and not trains:
                break
            signal = _one_pass(run, at.body)
            if signal is not None:
                return _ended(run, at, first, signal)
            if trains is False and answer is None:
                break
        with uncounted(run):
            if not trains:
                alternatives(run, [lambda: None, _guarded(run, at)])
        return _ended(run, at, first, None)
    finally:
        run.loops.pop()


def _guarded(run: Run, at: ast.While) -> Callable[[], Signal]:
    def way() -> Signal:
        assume(run, at.test, True)
        signal = _one_pass(run, at.body)
        return _one_pass(run, at.body) if signal is None and hands_on(run, at) else signal

    return way


def is_training(at: ast.AST) -> bool:
    """Whether a loop (or function) calls `backward`, `step` or the like itself."""
    return bool(_steps(at))


def _may_train(run: Run, at: ast.AST) -> bool:
    """Whether a loop calls these of something that may be a loss, an optimizer or a trainer."""
    return run.activation.module.trains and any(not _is_own_step(run, call) for call in _steps(at))


def _is_own_step(run: Run, call: ast.Attribute) -> bool:
    """Whether `x.step` is a method of a module of the project, which computes rather than trains."""
    holder = call.value
    plain = isinstance(holder, ast.Name) or (
        isinstance(holder, ast.Attribute) and isinstance(holder.value, ast.Name) and holder.value.id == "self"
    )
    if call.attr != STEP or not plain:
        return False
    value = run.evaluate(holder)
    return isinstance(value, Instance) and is_module_class(value.cls)


@kept
def _steps(at: ast.AST) -> tuple[ast.Attribute, ...]:
    return tuple(
        node.func
        for node in ast.walk(at)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STEPPING
    )


def _passes(run: Run, at: ast.For | ast.AsyncFor, items: list[Value], exact: bool) -> Signal:
    """One pass for every item."""
    from gradlint.frontends.static.run import Loop

    first = len(run.pending)
    loop = Loop(run.frame(at), exact=exact, sampled=not exact)
    run.loops.append(loop)
    signal: Signal = None
    try:
        if loop.sampled:
            _forget_counters(run, at)
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
                    run.doubt()
                    break
                items = items if len(items) > loop.iteration or exact else [*items, items[-1]]
            elif loop.sampled and len(items) == 1 and hands_on(run, at):
                items = [*items, items[-1]]
    finally:
        run.loops.pop()
    return _ended(run, at, first, signal)


def _trained(run: Run, first: int) -> bool:
    """Whether anything was trained since an event."""
    return any(event.kind in (EventKind.BACKWARD, EventKind.STEP) for event in run.events[first:])


def _forget_counters(run: Run, at: ast.AST) -> None:
    """Lets the few passes that stand for all of a loop run with counters whose number is not known.

    `steps += 1` is 1 in the first pass, and `if steps % 10 == 0` holds in others.
    """
    names = run.activation.scope.names
    for name in _counters(at):
        value = names.get(name)
        if isinstance(value, Constant) and type(value.value) is int:
            run.write(names, name, Symbol("int"))


@kept
def _counters(at: ast.AST) -> tuple[str, ...]:
    """The names that a loop changes by `+=` or the like and gives no other value."""
    targets = (n.target for n in ast.walk(at) if isinstance(n, ast.AugAssign))
    augmented = {id(target): target.id for target in targets if isinstance(target, ast.Name)}
    stored = (n for n in ast.walk(at) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    others = {n.id for n in stored if id(n) not in augmented}
    return tuple(dict.fromkeys(name for name in augmented.values() if name not in others))


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
