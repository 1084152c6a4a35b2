"""Backward passes that are certain to raise: a graph entered a second time, a saved value overwritten in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from gradlint.frame import Frame
from gradlint.frontends.static.record.tape import canonical
from gradlint.frontends.static.steps.training_steps import Flow
from gradlint.graph import NodeKind
from gradlint.training import OVERWRITTEN, RETAINED, SECOND_TIME, Event, EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

LEAF_WRITTEN = "a leaf Variable that requires grad is being used in an in-place operation"
"""torch's own messages, by which rules know what a backward call raises."""

SAVES_RESULT = frozenset(
    {"sigmoid", "tanh", "softmax", "log_softmax", "exp", "sqrt", "rsqrt", "reciprocal", "relu", "cumprod"}
)
"""Ops whose derivative is written in terms of their result (torch's derivatives.yaml: `result`)."""

SAVES_FACTORS = frozenset({"mul", "matmul", "bmm", "mm", "baddbmm", "addmm"})
"""Ops that keep each factor for the gradient of the other one."""

SAVES_INPUT = frozenset({"pow", "square", "log", "sin", "cos", "gelu", "silu", "softplus", "log1p", "atan", "erf"})
"""Ops whose derivative is written in terms of their input (torch's derivatives.yaml: `self`)."""

WRITES = frozenset({"add", "sub", "mul", "div", "setitem", "masked_fill", "clamp", "neg", "pow", "index_fill"})
WRITES |= {"fill", "zero", "copy", "index_add", "scatter", "scatter_add", "index_put", "lerp", "addcmul"}
"""In-place ops of which it is certain that they change the values."""


def with_errors(run: Run, events: Iterable[Event], targets: Iterable[int]) -> Iterator[Event]:
    """The events of a program, backward passes with what they are certain to raise.

    `targets` are the values that something else backpropagates through: the outputs of a model without a loss.
    """
    flow = Flow(run)
    writes = list(_overwritten(run, flow))
    earlier: dict[Frame | None, Event] = {}
    for event in events:
        if event.kind is not EventKind.BACKWARD or event.node is None:
            yield event
            continue
        before = earlier.get(event.frame)
        earlier[event.frame] = event
        if before is not None and not event.maybe and _enters_again(run, flow, before, event):
            if before.facts.get("retain"):
                yield replace(event, kind=EventKind.LOSS, error=RETAINED)
            else:
                event = replace(event, error=SECOND_TIME)
        yield _spoilt(flow, event, writes)
    spoilt = [_spoilt(flow, Event(EventKind.BACKWARD, node=target), writes) for target in targets]
    yield from (event for event in spoilt if event.error)
    yield from (Event(EventKind.FORWARD, at, error=LEAF_WRITTEN, written=at) for at in run.leaf_writes if at.user)


def _enters_again(run: Run, flow: Flow, before: Event, event: Event) -> bool:
    """Whether a loss leads back to computed values of the graph that an earlier pass has freed.

    All results of one call (the outputs and the last state of a recurrent layer) stand on one graph.
    """
    nodes = run.tape.nodes
    behind = (n for n in flow.certainly_behind(before.node) if nodes[n].kind is NodeKind.OP)
    freed = {node for node in behind if nodes[node].requires_grad is True and _has_history(flow, node)}
    calls = {nodes[node].call for node in freed if nodes[node].call > 0}
    again = {n for n in flow.certainly_behind(event.node) if n in freed or nodes[n].call in calls}
    return bool(again) and event.node != before.node


def _has_history(flow: Flow, node: int) -> bool:
    """Whether a value was computed from one that requires a gradient; a leaf was not."""
    return any(flow.tape.nodes[source].requires_grad is not False for source in flow.sources.get(node, ()))


def _spoilt(flow: Flow, event: Event, writes: list[tuple[int, int]]) -> Event:
    if event.error or not writes:
        return event
    behind = flow.behind(event.node)
    found = next((write for saver, write in writes if saver in behind), None)
    if found is None:
        return event
    return replace(event, error=OVERWRITTEN, blamed=found, written=flow.frame(found))


def _overwritten(run: Run, flow: Flow) -> Iterator[tuple[int, int]]:
    """Ops with a value that they have saved for backward and that is then overwritten: the op, the write."""
    nodes = run.tape.nodes
    for write, raw in enumerate(nodes):
        if not raw.inplace or raw.kind is not NodeKind.OP or canonical(raw.native) not in WRITES:
            continue
        if raw.overwrote >= 0:
            yield from ((saver, write) for saver in _savers(run, flow, raw.overwrote) if saver < write)


def _savers(run: Run, flow: Flow, value: int) -> Iterator[int]:
    """The ops that are certain to have kept a value for backward."""
    nodes = run.tape.nodes
    if nodes[value].requires_grad is True and canonical(nodes[value].native) in SAVES_RESULT:
        yield value
    for reader in flow.targets.get(value, ()):
        name = canonical(nodes[reader].native)
        others = [s for s in flow.sources.get(reader, ()) if s != value]
        if nodes[reader].inplace or nodes[reader].requires_grad is not True:
            continue
        as_factor = name in SAVES_FACTORS and any(_learns(run, other) for other in others)
        if as_factor or (name in SAVES_INPUT and nodes[value].requires_grad is True):
            yield reader


def _learns(run: Run, node: int) -> bool:
    raw = run.tape.nodes[node]
    return raw.requires_grad is True or raw.kind is NodeKind.PARAMETER
