"""Several ways that a program may go: each is run from the same state, then what they changed is joined.

A way that leaves early (`return`, `break`, `continue`) is joined later, where it comes back to the others: until then
it stands among `run.pending`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Many
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.heap import ABSENT, Cell, Change, read, tick
from gradlint.frontends.static.language.node_facts import text_of
from gradlint.frontends.static.record.tape import PHI
from gradlint.frontends.static.values import (
    NO_NODE,
    Choice,
    Constant,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import NodeKind, Passage
from gradlint.training import Condition

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

OPTIONS = 8
"""Alternatives that are told apart; of more only their tensors are known."""

RAISE = "raise"
Signal = str | None


@dataclass(slots=True, eq=False)
class Pending:
    """A way that left early: by what, mark and time of the state that it started from, and what it had changed."""

    signal: str
    mark: int
    changes: dict[Cell, Change]
    began: int = 0


def alternatives(run: Run, ways: Many[Callable[[], Signal]], test: ast.expr | None = None) -> Signal:
    """Runs every way from the present state and joins them; what ended them when none went through.

    `test` is the expression that decides, and then the first way is the one where it holds. Raises `RaisedError` when
    every way does.
    """
    from gradlint.frontends.static.run import RaisedError

    run.conditions += 1
    mark, began = run.heap.open(), tick()
    falling: list[dict[Cell, Change]] = []
    leaving: list[Pending] = []
    try:
        for index, way in enumerate(ways):
            first = len(run.pending)
            with _doubted(run, test, index == 0):
                signal = _signal(run, way, RaisedError)
            changes = run.heap.now(mark)
            _rebase(run, run.pending[first:], mark, began)
            run.heap.undo(mark)
            if signal is None:
                falling.append(changes)
            elif signal != RAISE:
                leaving.append(Pending(signal, mark, changes, began))
        return _continue(run, began, falling, leaving, RaisedError)
    finally:
        run.conditions -= 1
        run.heap.close()


@contextmanager
def _doubted(run: Run, test: ast.expr | None, taken: bool) -> Iterator[None]:
    """Keeps the undecided test in mind while one of its ways is run."""
    if test is None:
        yield
        return
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    text = text_of(test.operand if isinstance(test, ast.UnaryOp) and negated else test)
    run.doubts.append(Condition(text, taken is not negated, run.frame(test)))
    try:
        yield
    finally:
        run.doubts.pop()


def _signal(run: Run, way: Callable[[], Signal], raised: type[Exception]) -> Signal:
    """How a way ends; the stacks of the run are as before."""
    modules, grad, loops, activation = len(run.modules), len(run.grad), len(run.loops), run.activation
    try:
        return way()
    except raised:
        del run.modules[modules:], run.grad[grad:], run.loops[loops:]
        run.activation = activation
        return RAISE


def _continue(
    run: Run, began: int, falling: list[dict[Cell, Change]], leaving: list[Pending], raised: type[Exception]
) -> Signal:
    """Goes on in the joined state of the ways that went through, else in the state of one that left."""
    if not falling and not leaving:
        raise raised
    last = None if falling else leaving.pop()
    for pending in leaving:
        _hold(run, pending)
    if last is not None:
        _apply(run, last.changes)
        return last.signal
    _join_changes(run, falling, began)
    return None


def _hold(run: Run, pending: Pending) -> None:
    run.heap.open()
    run.pending.append(pending)


def _apply(run: Run, changes: dict[Cell, Change]) -> None:
    for change in changes.values():
        run.heap.write(change.target, change.key, change.content)


def _is_younger(target: Any, began: int) -> bool:
    """Whether something was made after a branch began: no other way knows it, so it is as its own way left it."""
    return getattr(target, "birth", 0) > began


def _join_changes(run: Run, ways: list[dict[Cell, Change]], began: int) -> None:
    """Writes into every place that some way changed what all of them have there.

    What was made inside of a way comes first: a join of it with another reads it as its way left it.
    """
    places = {cell: change for way in ways for cell, change in way.items()}
    for cell, change in _younger_first(places, began):
        old = read(change.target, change.key)
        own = _is_younger(change.target, began)
        contents = [way[cell].content if cell in way else old for way in ways if cell in way or not own]
        _write_joined(run, change, contents)


def _younger_first(places: dict[Cell, Change], began: int) -> list[tuple[Cell, Change]]:
    return sorted(places.items(), key=lambda place: not _is_younger(place[1].target, began))


def _write_joined(run: Run, place: Change, contents: list[Any]) -> None:
    joined = contents[0]
    for content in contents[1:]:
        joined = _join_contents(run, place, joined, content)
    run.heap.write(place.target, place.key, joined)


def _rebase(run: Run, held: Iterable[Pending], mark: int, began: int) -> None:
    """Tells what the ways that left inside of this one had changed since its own start."""
    for pending in held:
        if pending.mark <= mark:
            continue
        after = run.heap.before(pending.mark)
        for cell, change in run.heap.before(mark).items():
            if cell not in pending.changes:
                content = after[cell].content if cell in after else read(change.target, change.key)
                pending.changes[cell] = Change(change.target, change.key, content)
        pending.mark, pending.began = mark, began


def settle(run: Run, first: int, signals: Iterable[str], alive: bool = True, dead: Any = None) -> bool:
    """Joins the ways that left by one of these signals, those held before `first` apart; whether any way goes on.

    `alive` is false where the present state is that of no way (all others left or raised); `dead` are the names of a
    function that has ended, which nobody reads any more.
    """
    chosen = [p for p in run.pending[first:] if p.signal in signals]
    run.pending[first:] = [p for p in run.pending[first:] if p.signal not in signals]
    for pending in reversed(chosen):
        before = run.heap.before(pending.mark)
        places = {**before, **pending.changes}
        for cell, change in _younger_first(places, pending.began):
            if change.target is dead:
                continue
            now = read(change.target, change.key)
            then = pending.changes[cell].content if cell in pending.changes else before[cell].content
            if _is_younger(change.target, pending.began):
                then = now = then if cell in pending.changes else now
            _write_joined(run, change, [now, then] if alive else [then])
        alive = True
    for _ in chosen:
        run.heap.close()
    return alive


def _join_contents(run: Run, place: Change, one: Any, other: Any) -> Any:
    """What a place holds after either of two ways."""
    if one is other or other is ABSENT:
        return one
    if one is ABSENT:
        return other
    if place.key == "base":
        return one or other
    if isinstance(one, Value) and isinstance(other, Value):
        return join(run, (one, other))
    if type(one) is list and type(other) is list:
        if isinstance(place.target, Sequence) and len(one) != len(other):
            run.heap.write(place.target, "exact", False)
        return _join_items(run, one, other)
    if place.key == "node":
        return run.linked(NodeKind.OP, PHI, [n for n in (one, other) if n != NO_NODE], None, Passage.FLOWS)
    if place.key in ("exact", "leaf"):
        return one and other
    return one if one == other else None if place.key in ("shape", "dtype") else other


def _join_items(run: Run, one: list[Value], other: list[Value]) -> list[Value]:
    """The items of a list after either of two ways: the longer one's, joined where both have one."""
    shared = [join(run, pair) for pair in zip(one, other, strict=False)]
    longer = one if len(one) > len(other) else other
    return shared + longer[len(shared) :]


def join(run: Run, values: Iterable[Value]) -> Value:
    """One value that stands for several alternatives."""
    found: list[Value] = []
    for value in values:
        for option in value.options if isinstance(value, Choice) else (value,):
            if not any(_same(option, known) for known in found):
                found.append(option)
    if len(found) == 1:
        return found[0]
    if not found:
        return Constant(None)
    return _merged(run, found)


def _same(one: Value, other: Value) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Constant) and isinstance(other, Constant):
        return type(one.value) is type(other.value) and bool(_equal(one.value, other.value))
    if isinstance(one, Symbol) and isinstance(other, Symbol):
        return one.type == other.type
    return isinstance(one, Tensor) and isinstance(other, Tensor) and one.node == other.node != NO_NODE


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:
        return False


def _merged(run: Run, options: list[Value]) -> Value:
    if all(isinstance(o, Tensor) and not o.parameter and o.node != NO_NODE for o in options):
        return phi(run, options)
    tuples = [o for o in options if isinstance(o, Sequence) and o.kind == "tuple" and o.exact]
    if len(tuples) == len(options) and len({len(t.items) for t in tuples}) == 1:
        columns = zip(*(t.items for t in tuples), strict=True)
        return Sequence([join(run, column) for column in columns], "tuple")
    if len(options) > OPTIONS:
        plain = all(isinstance(o, (Constant, Symbol)) for o in options)
        return Symbol() if plain else run.opaque("one of many alternatives", options, None)
    return Choice(tuple(options))


def phi(run: Run, options: Many[Value]) -> Tensor:
    """One tensor that stands for several."""
    nodes = list(dict.fromkeys(node for o in options if (node := run.read(o)) != NO_NODE))
    tensors = [o for o in options if isinstance(o, Tensor)]
    node = nodes[0] if len(nodes) == 1 else run.linked(NodeKind.OP, PHI, nodes, None, Passage.FLOWS)
    made = Tensor(node, _agreed([t.shape for t in tensors]), _agreed([t.dtype for t in tensors]))
    if tensors:
        made.carrier = tensors[0].carrier
    raw = run.tape.nodes[node]
    if len(nodes) > 1:
        raw.dtype, raw.shape, raw.value = made.dtype, made.shape, made.carrier
    return made


def _agreed(facts: list[Any]) -> Any:
    return facts[0] if facts and all(fact == facts[0] for fact in facts) else None


def settled(run: Run, choice: Choice) -> Value:
    """A choice among tensors, None and numbers aside, as one tensor; any other as it is."""
    present = [o for o in choice.options if not isinstance(o, (Constant, Symbol))]
    tensors = [o for o in present if isinstance(o, Tensor)]
    if not tensors or any(not isinstance(o, (Tensor, Unknown)) for o in present):
        return choice
    if any(isinstance(o, Constant) and o.value is None for o in choice.options):
        run.doubt()
    return phi(run, present) if len(present) > 1 else tensors[0]
