"""Makes training steps of the events of a run: which events belong to one loop, and what each backward pass reaches."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from gradlint import ops
from gradlint.frame import Frame
from gradlint.frontends.static.record.tape import PHI, Tape, frames_of
from gradlint.frontends.static.steps.training_state import FREED, identity
from gradlint.frontends.static.values import Tensor, Unknown
from gradlint.graph import NodeKind, Passage, Reason
from gradlint.training import Event, EventKind, TrainingStep

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

OPEN = (Passage.FLOWS, Passage.UNKNOWN)
RECURRENT = frozenset(
    {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
)
TRAINING = (EventKind.BACKWARD, EventKind.STEP, EventKind.UPDATE, EventKind.REBOUND)
LEAVING = frozenset({Reason.DETACH, Reason.SCALAR, Reason.NUMPY, Reason.REWRAP})
"""Cuts that take a value out of its history."""

SCALING = frozenset({"mul", "__mul__", "__rmul__", "rmul", "div", "truediv", "__truediv__"})


class Flow:
    """The tape of a run, read along its edges."""

    def __init__(self, run: Run) -> None:
        self.tape: Tape = run.tape
        self.owners = _owners(run)

    @cached_property
    def sources(self) -> dict[int, list[int]]:
        """The values that gradient flows back to, by the value that was made of them."""
        found: dict[int, list[int]] = defaultdict(list)
        for (source, target), (passage, _) in self.tape.edges.items():
            if passage in OPEN:
                found[target].append(source)
        return found

    @cached_property
    def certain_sources(self) -> dict[int, list[int]]:
        """As `sources`, without what an unknown call or one of several branches may have made."""
        found: dict[int, list[int]] = defaultdict(list)
        for (source, target), (passage, _) in self.tape.edges.items():
            if passage is Passage.FLOWS and self.tape.nodes[target].native != PHI:
                found[target].append(source)
        return found

    @cached_property
    def targets(self) -> dict[int, list[int]]:
        """The values that were certainly made of a value with gradient."""
        found: dict[int, list[int]] = defaultdict(list)
        for (source, target), (passage, _) in self.tape.edges.items():
            if passage is Passage.FLOWS:
                found[source].append(target)
        return found

    def behind(self, node: int | None) -> set[int]:
        """All values that gradient flows back to from one."""
        return _closure([node] if node is not None else [], self.sources)

    def certainly_behind(self, node: int | None) -> set[int]:
        """All values that gradient flows back to from one, whatever the unknown parts of the program do."""
        return _closure([node] if node is not None else [], self.certain_sources)

    def ahead(self, nodes: Iterable[int]) -> set[int]:
        """All values that were made of some values with gradient."""
        return _closure(nodes, self.targets)

    def summed(self, one: int, other: int) -> set[int]:
        """All values that were made of parts of two losses that the losses do not have in common."""
        weights = [node for node in self.owners if self.tape.nodes[node].kind is NodeKind.PARAMETER]
        made = self.ahead(weights) - set(weights)
        learnt = {node for node in made if self.tape.nodes[node].requires_grad is not False}
        first, second = self.certainly_behind(one) & learnt, self.certainly_behind(other) & learnt
        return self.ahead(first - second) & self.ahead(second - first)

    def value_of(self, node: int) -> set[int]:
        """All values that one was computed from, also where it left its history on the way."""
        found: dict[int, list[int]] = defaultdict(list)
        for (source, target), (passage, reason) in self.tape.edges.items():
            if passage in OPEN or reason in LEAVING:
                found[target].append(source)
        return _closure([node], found)

    def cuts(self, node: int) -> list[tuple[int, int, Reason]]:
        """The places at which a value left its history on the way to one, the earliest first: source, target, why."""
        history = self.value_of(node)
        return sorted(
            (source, target, reason)
            for (source, target), (passage, reason) in self.tape.edges.items()
            if target in history and passage not in OPEN and reason in LEAVING and reason is not None
        )

    def frame(self, node: int) -> Frame | None:
        """The user's own place of a value's op."""
        raw = self.tape.nodes[node]
        frames = frames_of(raw.at, raw.activation)
        return next((frame for frame in frames if frame.user), None)


def _owners(run: Run) -> dict[int, int]:
    """The identity of the tensor that each leaf of the tape stands for."""
    tensors = {id(kept): kept for kept in run.keep if isinstance(kept, Tensor)}
    known = {node: identity(run, tensors[key]) for key, node in run.leaves.items() if key in tensors}
    return run.training.owners | known


def _closure(start: Iterable[int], edges: dict[int, list[int]]) -> set[int]:
    seen = set(start)
    queue = list(seen)
    while queue:
        fresh = [node for node in edges.get(queue.pop(), ()) if node not in seen]
        seen.update(fresh)
        queue.extend(fresh)
    return seen


def steps_of(run: Run, events: list[Event], complete: bool = True) -> tuple[TrainingStep, ...]:
    """The training steps of one program: one for each outermost loop that trains, one for what trains outside."""
    if not any(event.kind in TRAINING or event.kind is EventKind.OPTIMIZER for event in events):
        return ()
    told = _told(run, events)
    groups = list(_groups(told))
    return tuple(
        TrainingStep(
            tuple(group),
            "framework" if any(event.facts.get("framework") for event in group) else "file",
            group[0].loop[0] if group[0].loop else None,
            tuple(event for other in groups if other is not group for event in other),
            complete,
        )
        for group in groups
        if any(event.kind in TRAINING or event.kind is EventKind.OPTIMIZER for event in group)
    )


def _groups(events: list[Event]) -> Iterator[list[Event]]:
    """The events outside of all loops, then those of each run of each outermost loop."""
    yield from filter(None, [[event for event in events if not event.loop]])
    group: list[Event] = []
    for event in (event for event in events if event.loop):
        if group and (event.loop[0] != group[0].loop[0] or event.iteration[0] < group[-1].iteration[0]):
            yield group
            group = []
        group.append(event)
    if group:
        yield group


def _told(run: Run, events: list[Event]) -> list[Event]:
    """The events with what only the whole tape tells."""
    flow = Flow(run)
    passes = [event for event in events if event.kind is EventKind.BACKWARD]
    behind = {event.node: flow.behind(event.node) for event in passes}
    told = [_backward(run, flow, e, behind[e.node]) if e.kind is EventKind.BACKWARD else e for e in events]
    passes = [event for event in told if event.kind is EventKind.BACKWARD]
    asked = [e for e in events if e.kind is EventKind.GRADIENT and e.node is not None]
    reached = [(e, behind[e.node]) for e in passes] + [(e, flow.behind(e.node)) for e in asked]
    fed = set().union(*(nodes for _, nodes in reached)) if reached else set()
    told = [_forward(event, reached) if event.kind is EventKind.FORWARD else event for event in _with_modes(told)]
    told = [e for e in told if e.kind is not EventKind.KEPT or _is_kept(run, flow, e, passes, behind)]
    kept = list(_kept(flow, told, fed))
    return sorted(told + kept, key=lambda e: e.order) if kept else told


def _is_kept(run: Run, flow: Flow, event: Event, passes: list[Event], behind: dict[int | None, set[int]]) -> bool:
    """Whether a list keeps what was backpropagated during its life, or was made of it, and is not backpropagated again.

    A list that a forward pass fills is new in each.
    """
    if event.facts.get("written"):
        return True
    own = flow.behind(event.facts["older"])
    weights = [node for node in own & flow.owners.keys() if _is_trainable(run, flow.owners[node])]
    learnt = (own & flow.ahead(weights)) - flow.owners.keys()
    used = [e for e in passes if learnt & behind[e.node] and e.facts["trainable"]]
    held = any(event.facts["born"] < run.training.passes[e.order] for e in used)
    return held and all(e.order < event.order and not e.facts.get("create") for e in used)


def _with_modes(events: list[Event]) -> Iterator[Event]:
    """The events, a forward pass with the mode that its model was last put into."""
    modes: dict[int | None, str] = {}
    for event in events:
        if event.kind in (EventKind.TRAIN, EventKind.EVAL):
            modes[event.subject] = str(event.kind)
        if event.kind is EventKind.FORWARD:
            event = replace(event, facts=event.facts | {"mode": modes.get(event.subject, "")})
        yield event


def _forward(event: Event, reached: list[tuple[Event, set[int]]]) -> Event:
    """A forward pass with the backward passes (and gradients asked for) that go through its result."""
    own = set(event.facts.get("nodes", ()))
    passes = [other for other, nodes in reached if own & nodes]
    trains = tuple(other.order for other in passes if other.kind is EventKind.BACKWARD)
    return replace(event, facts=event.facts | {"feeds": bool(passes), "passes": trains})


def _backward(run: Run, flow: Flow, event: Event, behind: set[int]) -> Event:
    """A backward pass with the parameters that it reaches, or the cut before its loss."""
    nodes = flow.tape.nodes
    reached = tuple(dict.fromkeys(flow.owners[node] for node in sorted(behind) if node in flow.owners))
    unknown = event.node is None or any(nodes[node].kind is NodeKind.OPAQUE for node in behind)
    facts = event.facts | {
        "reached": reached,
        "trainable": tuple(n for n in reached if _is_trainable(run, n, event.order)),
        "networks": tuple(n for n in reached if _is_parameter(run, n)),
        "recurrent": _recurrent(flow, behind),
        "half": _half(run, flow, event, behind, reached),
        "scaled": event.facts.get("scaled") or _is_scaled(run, behind),
        "multiplied": event.node is not None and nodes[event.node].native in SCALING,
        "minimised": _minimised(flow, event.node),
    }
    learns = _learns(run, flow, behind)
    event = replace(event, parameters=None if unknown or not learns else reached, facts=facts)
    return event if unknown or learns else _detached(flow, event)


def _is_scaled(run: Run, behind: set[int]) -> bool:
    """Whether a loss, or one of the values that it may be, was scaled."""
    values = (run.training.values.get(number) for number in run.training.scaled)
    return any(isinstance(value, (Tensor, Unknown)) and value.node in behind for value in values)


def _is_parameter(run: Run, number: int) -> bool:
    tensor = run.training.values.get(number)
    return isinstance(tensor, Tensor) and tensor.parameter


def _is_trainable(run: Run, number: int, order: int | None = None) -> bool:
    """Whether a tensor is a parameter that nothing froze, or that was set free again before an event."""
    tensor = run.training.values.get(number)
    if not isinstance(tensor, Tensor) or not tensor.parameter or tensor.state.get("requires_grad") is False:
        return False
    freed = tensor.state.get(FREED)
    return id(tensor) not in run.frozen or (freed is not None and order is not None and freed <= order)


def _learns(run: Run, flow: Flow, behind: set[int]) -> bool:
    """Whether any value behind a loss may need a gradient: a parameter, or a leaf that was not built from a result."""
    for node in behind & flow.owners.keys():
        tensor = run.training.values.get(flow.owners[node])
        if isinstance(tensor, Tensor) and (tensor.parameter or tensor.state.get("requires_grad") is not None):
            return True
    return False


def _detached(flow: Flow, event: Event) -> Event:
    """A backward pass that reaches nothing, with the cut behind the loss, or else the last cut of all."""
    cuts = flow.cuts(event.node) if event.node is not None else []
    if not cuts:
        return event
    of_loss = [cut for cut in cuts if any(_is_loss(flow, node) for node in flow.behind(cut[0]))]
    of_loss = of_loss or [cut for cut in cuts if _is_measure(flow, *cut[:2], event.node)]
    of_loss = [cut for cut in of_loss if not any(_is_loss(flow, n) for n in flow.ahead([cut[1]]))]
    _, target, reason = of_loss[0] if of_loss else cuts[-1]
    facts = event.facts | {"reason": str(reason), "native": flow.tape.nodes[target].native, "on_loss": bool(of_loss)}
    return replace(event, blamed=target, written=flow.frame(target), facts=facts)


def _is_measure(flow: Flow, source: int, target: int, loss: int | None) -> bool:
    """Whether a value that leaves its history is a loss by hand: one number, of which only the loss is made."""
    number = flow.tape.nodes[source]
    ahead = flow.value_of(loss) - flow.value_of(target) if loss is not None else set()
    read = Counter(into for _, into in flow.tape.edges if into in ahead)
    shapes = {node: flow.tape.nodes[node].shape for node in ahead}
    numbers = all(read[node] == 1 if shape is None else shape == () for node, shape in shapes.items())
    return number.kind is NodeKind.OP and number.shape == () and numbers


def _is_loss(flow: Flow, node: int) -> bool:
    found = ops.lookup("torch", flow.tape.nodes[node].native)
    return found is not None and found.kind == "loss"


def _recurrent(flow: Flow, behind: set[int]) -> str:
    """The recurrent op that a backward pass goes through; empty where there is none."""
    return next((native for node in sorted(behind) if (native := flow.tape.nodes[node].native) in RECURRENT), "")


def _half(run: Run, flow: Flow, event: Event, behind: set[int], reached: tuple[int, ...]) -> str:
    """Why the gradients are float16: "autocast" or "half"; empty where they are not for sure."""
    regions = [(a, b) for a, b, tests in run.training.half if not event.opposes(tests)]
    ops_inside = [n for n in behind if flow.tape.nodes[n].kind is NodeKind.OP and any(a <= n < b for a, b in regions)]
    if ops_inside:
        return "autocast"
    since = [run.training.halved[number] for number in reached if number in run.training.halved]
    return "half" if any(order <= event.order for order in since) else ""


LOOKED_THROUGH = frozenset({"mean", "sum", "item", "mul", "__mul__", "div", "truediv", "add", "__add__", PHI})
SQUARES = frozenset({"pow", "__pow__", "square", "abs"})
DEPTH = 6


def _minimised(flow: Flow, node: int | None) -> bool:
    """Whether a loss is a known measure of error, sums and averages aside: to go up on it cannot be meant."""
    for _ in range(DEPTH):
        if node is None:
            return False
        native = flow.tape.nodes[node].native
        if _is_loss(flow, node) or native in SQUARES:
            return True
        sources = flow.sources.get(node, [])
        if native not in LOOKED_THROUGH or len(sources) != 1:
            return False
        negative = any(isinstance(v, (int, float)) and v < 0 for v in flow.tape.nodes[node].literals.values())
        node = None if negative and native not in ("mean", "sum") else sources[0]
    return False


def _kept(flow: Flow, events: list[Event], fed: set[int]) -> Iterator[Event]:
    """Values that hold the graphs of several steps, and that nothing is backpropagated through."""
    by_place: dict[Frame | None, list[Event]] = defaultdict(list)
    for event in events:
        if event.kind is EventKind.BACKWARD and event.node is not None and event.loop:
            by_place[event.frame].append(event)
    for passes in by_place.values():
        losses = list(dict.fromkeys(event.node for event in passes if event.node is not None))
        if len(losses) < 2 or any(event.facts.get("create") for event in passes):
            continue
        both = flow.ahead(losses[:1]) & flow.ahead(losses[1:2]) - fed or flow.summed(losses[0], losses[1]) - fed
        both = {node for node in both if flow.tape.nodes[node].native != PHI and flow.tape.nodes[node].at is not None}
        lists = {event.facts.get("newer") for event in events if event.kind is EventKind.KEPT}
        if both and not flow.behind(min(both)) & lists:
            node = min(both)
            yield replace(passes[1], kind=EventKind.KEPT, frame=flow.frame(node), node=node, facts={})
