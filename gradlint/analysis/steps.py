"""What one training step leaves behind for the next."""

from __future__ import annotations

from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.training import Event, EventKind


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


def _earlier_loss(graph: ModelGraph, backward: Event) -> int | None:
    """The loss of the step before, by the same backward call."""
    events = graph.training.of(EventKind.BACKWARD) if graph.training else ()
    before = [e.node for e in events if e.frame == backward.frame and e.node is not None]
    place = before.index(backward.node) if backward.node in before else 0
    return before[place - 1] if place else None


def _reads_old(graph: ModelGraph, node: int, earlier: int) -> bool:
    return any(
        edge.open and edge.source <= earlier and _is_computed(graph, edge.source) for edge in graph.incoming(node)
    )


def _is_computed(graph: ModelGraph, node: int) -> bool:
    """Whether a value has a history of gradients: an op with an open way from a parameter.

    An attribute that was computed from a parameter once and for all is another fault (an unregistered parameter).
    """
    kept = {hidden_node for hidden in graph.model.hidden for hidden_node in hidden.nodes}
    if graph.node(node).kind is not NodeKind.OP or node in kept:
        return False
    parameters = {p.node for p in graph.model.parameters if p.node is not None}
    return bool(graph.reaching([node], lambda edge: edge.open) & parameters)
