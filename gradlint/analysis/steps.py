"""What one training step leaves behind for the next."""

from __future__ import annotations

from gradlint.frame import Frame
from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.training import HELD, Event, EventKind


def carried_over(graph: ModelGraph, backward: Event) -> Node | None:
    """The first op that reads a differentiable value of an earlier step of the same loop; None when there is none.

    Steps of one loop share the backward call's place. Only ways along which gradient flows from the loss count.
    """
    earlier = _earlier_loss(graph, backward)
    if earlier is None or backward.node is None or backward.node not in graph:
        return None
    behind = graph.reaching([backward.node], lambda edge: edge.open)
    fresh = sorted(node for node in behind if node > earlier)
    return next((graph.node(n) for n in fresh if _reads_old(graph, n, earlier)), None)


def place_of(graph: ModelGraph, backward: Event, old: Node) -> Frame | None:
    """Where a value of an earlier step is used: in the function that keeps it by a name, else where it is read."""
    earlier = _earlier_pass(graph, backward)
    kept = earlier.facts.get(HELD, {}) if earlier is not None else {}
    read = {edge.source for edge in graph.incoming(old.id)}
    own = [frame for frame in old.frames if frame.user]
    named = (frame for frame in own if not read.isdisjoint(kept.get(frame.function, ())))
    return next(named, own[0] if own else old.at)


def _earlier_loss(graph: ModelGraph, backward: Event) -> int | None:
    """The loss of the step before, by the same backward call."""
    before = _earlier_pass(graph, backward)
    return before.node if before is not None else None


def _earlier_pass(graph: ModelGraph, backward: Event) -> Event | None:
    events = graph.training.of(EventKind.BACKWARD) if graph.training else ()
    before = [event for event in events if event.frame == backward.frame and event.node is not None]
    place = next((i for i, event in enumerate(before) if event.node == backward.node), 0)
    return before[place - 1] if place else None


def _reads_old(graph: ModelGraph, node: int, earlier: int) -> bool:
    return any(
        edge.open and edge.source <= earlier and _is_computed(graph, edge.source) for edge in graph.incoming(node)
    )


def _is_computed(graph: ModelGraph, node: int) -> bool:
    """Whether a value has a history of gradients: an op with an open way from a trainable parameter.

    An attribute that was computed from a parameter once and for all is another fault (an unregistered parameter).
    """
    kept = {hidden_node for hidden in graph.model.hidden for hidden_node in hidden.nodes}
    if graph.node(node).kind is not NodeKind.OP or node in kept:
        return False
    learning = {p.node for p in graph.model.trainable if p.node is not None}
    return bool(graph.reaching([node], lambda edge: edge.open) & learning)
