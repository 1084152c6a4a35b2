"""Custom autograd functions: their forward is opaque to autograd, their backward says what gradient comes back."""

from __future__ import annotations

import ast
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from gradlint.frame import Frame
from gradlint.frontends.static.language.attributes import in_class
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Choice,
    Class,
    Constant,
    External,
    Foreign,
    Function,
    Sequence,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import FunctionCheck, NodeKind, Passage, Reason

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

CONTEXT = "torch.autograd.function.FunctionCtx"
MISSING = "its backward is missing"
COUNT = "its backward returns the wrong number of gradients"
NOTHING = "its backward returns no gradient for an input that needs one"
ZERO = "its backward returns zeros for an input that the output depends on"
"""What the recorder says of the same faults."""


def apply(run: Run, cls: Class, arguments: Arguments, at: ast.AST) -> Value:
    """`Function.apply(…)`: one value with an edge from every tensor among the arguments."""
    first, drawn = len(run.tape.nodes), len(run.tape.edges)
    shown = _forward(run, cls, arguments, at)
    behind = _behind(run, shown, first, drawn)
    touched = _behind(run, shown, first, drawn, blocked=True)
    gradients = _gradients(run, cls, at)
    fault, closed = _judged(run, arguments, gradients, behind, touched)
    node = run.add(NodeKind.OP, f"Function:{cls.name}", at, call=run.tape.call())
    for position, value in enumerate(arguments.positional):
        blocked = position in closed
        fact = (Passage.BLOCKED, Reason.CUSTOM_FUNCTION) if blocked else (Passage.FLOWS, None)
        for source in run.nodes_in((value,)):
            run.tape.link(source, node, *fact)
    place = _backward_at(cls)
    _note(run, cls, FunctionCheck(cls.name, fault, place, run.frame(at), (node,)))
    return _result(shown, node)


def _note(run: Run, cls: Class, found: FunctionCheck) -> None:
    """One check for all calls of a function: with the first fault, and the values that all of them made."""
    before = run.customs.get(id(cls.node))
    if before is not None:
        main = before if before.fault or not found.fault else found
        found = replace(main, nodes=(*before.nodes, *found.nodes))
    run.customs[id(cls.node)] = found


def _forward(run: Run, cls: Class, arguments: Arguments, at: ast.AST) -> Value:
    """What the forward gives, for its shape alone: autograd records nothing inside of it."""
    from gradlint.frontends.static.run import Switch

    forward = in_class(cls, "forward")
    if not isinstance(forward, Function):
        return Unknown("a custom function without a forward")
    given = arguments.positional if in_class(cls, "setup_context") else (Foreign(CONTEXT), *arguments.positional)
    run.grad.append(Switch(False, None))
    try:
        return run.call(forward, Arguments(given, arguments.named, arguments.exact), at)
    finally:
        run.grad.pop()


def _result(shown: Value, node: int) -> Value:
    if isinstance(shown, Sequence) and shown.kind == "tuple":
        return Sequence([_result(item, node) for item in shown.items], "tuple", shown.exact)
    if isinstance(shown, Tensor):
        return Tensor(node, shown.shape, shown.dtype, shown.carrier)
    return Tensor(node)


def _gradients(run: Run, cls: Class, at: ast.AST) -> Value | None:
    """What the backward returns for gradients that are not known; None where there is no backward."""
    from gradlint.frontends.static.run import RaisedError

    backward = in_class(cls, "backward") or in_class(cls, "vjp")
    if not isinstance(backward, Function):
        return None if _only_known_bases(cls) else Unknown("a backward that cannot be read")
    places = len(backward.node.args.args) - 1
    given = (Foreign(CONTEXT), *(Tensor(run.add(NodeKind.INPUT, "", at)) for _ in range(places)))
    edges, events = len(run.tape.edges), len(run.events)
    try:
        return run.call(backward, Arguments(given), at)
    except RaisedError:
        return Unknown("a backward that raises")
    finally:
        _forget(run, edges, events)


def _forget(run: Run, edges: int, events: int) -> None:
    """A backward pass is no part of the forward's graph: its values stay on the tape, its edges do not."""
    run.tape.erase(edges)
    del run.events[events:]


def _only_known_bases(cls: Class) -> bool:
    return all(isinstance(base, (Class, External)) for base in cls.order)


def _behind(run: Run, shown: Value, first: int, drawn: int, blocked: bool = False) -> set[int]:
    """The values that the forward's result depends on through ops that would pass a gradient on, or through any.

    `first` is its first node, `drawn` the number of edges that were there before it.
    """
    sources: dict[int, list[int]] = {}
    drawn_since = itertools.islice(reversed(run.tape.edges.items()), len(run.tape.edges) - drawn)
    for (source, target), (passage, reason) in drawn_since:
        if target >= first and (blocked or passage is Passage.FLOWS or reason is Reason.GRAD_DISABLED):
            sources.setdefault(target, []).append(source)
    found = set(run.nodes_in(shown))
    queue = list(found)
    while queue:
        fresh = set(sources.get(queue.pop(), ())) - found
        found |= fresh
        queue.extend(fresh)
    return found


def _judged(
    run: Run, arguments: Arguments, gradients: Value | None, behind: set[int], touched: set[int]
) -> tuple[str, set[int]]:
    """The fault, empty where there is none or where it cannot be told, and the inputs that get no gradient.

    A step function whose only gradient is zero everywhere hides that nothing before it can learn.
    """
    count = len(arguments.positional)
    if gradients is None:
        return MISSING, set(range(count))
    items = gradients.items if isinstance(gradients, Sequence) and gradients.kind == "tuple" else [gradients]
    whole = not isinstance(gradients, Sequence) or gradients.exact
    if isinstance(gradients, Unknown) or not whole or not arguments.exact:
        return "", set()
    if len(items) < count:
        return COUNT, set()
    closed = {i for i, item in enumerate(items[:count]) if isinstance(item, Constant) and item.value is None}
    learning = {i for i in closed if isinstance(arguments.positional[i], Tensor)}
    every = {i for i, value in enumerate(arguments.positional) if isinstance(value, (Tensor, Unknown, Choice))}
    given = [arguments.positional[i] for i in learning]
    needing = any(isinstance(t, Tensor) and t.parameter and _is_behind(run, t, behind) for t in given)
    zero = {i for i in every - learning if _is_zero(run, items[i])}
    zeros = {i for i in zero if _is_behind(run, arguments.positional[i], touched if zero == every else behind)}
    fault = NOTHING if needing or (learning and learning == every) else ZERO if zeros else ""
    return fault, learning | zeros


ZEROS = frozenset({"zeros", "zeros_like", "new_zeros"})


def _is_zero(run: Run, gradient: Value) -> bool:
    """Whether a gradient is a tensor of zeros that nothing was written into."""
    if not isinstance(gradient, Tensor) or gradient.node == NO_NODE:
        return False
    return run.tape.nodes[gradient.node].native in ZEROS


def _is_behind(run: Run, value: Value, behind: set[int]) -> bool:
    return isinstance(value, Tensor) and run.read(value) in behind


def _backward_at(cls: Class) -> Frame:
    backward = in_class(cls, "backward")
    module = cls.scope.module
    node = backward.node if isinstance(backward, Function) else cls.node
    source = module.source
    start = source.column(node.lineno, node.col_offset)
    end = len(source.line(node.lineno).rstrip()) + 1

    return Frame(source.path, node.lineno, start, node.lineno, end, f"{cls.name}.backward", module.user)
