"""Which parameters a gradient reaches, and which expression is to blame for those that it does not.

Blame is a cheapest-way search: from the losses backwards along value flow, an edge that passes gradient costs nothing
and a closed one costs its reason's price. The closed edges on a parameter's cheapest way are the cuts to mend.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from itertools import groupby
from weakref import WeakKeyDictionary

from gradlint.analysis.prices import AGES, HARD, ON_PURPOSE, is_cut, price, surcharges
from gradlint.frame import Frame
from gradlint.graph import Edge, GradientState, ModelGraph, Node, Parameter, Reason
from gradlint.training import NO_GRADIENT, EventKind

PRECEDENCE = (
    Reason.MASKED,
    Reason.NUMPY,
    Reason.SCALAR,
    Reason.REWRAP,
    Reason.DETACH,
    Reason.INTEGER_CAST,
    Reason.NON_DIFFERENTIABLE,
    Reason.ZERO,
    Reason.CUSTOM_FUNCTION,
    Reason.OPAQUE,
    Reason.GRAD_DISABLED,
)
"""Of several cuts in one expression the first in this order is named (catalogue of rules, GL1)."""

READ = "source"
"""How a model was captured whose backward passes are read and not run."""

RELATED_LIMIT = 4


@dataclass(frozen=True, slots=True)
class Cut:
    """A closed edge, the op behind it and the place to name: of a switched-off grad mode, the switch."""

    edge: Edge
    node: Node
    reason: Reason
    place: Frame | None


@dataclass(frozen=True, slots=True)
class Cause:
    """One cut to mend, the parameters that it starves, and the cuts that it hides or that run beside it."""

    cut: Cut
    parameters: tuple[Parameter, ...]
    hidden: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """What a backward pass does for a model: `starved` contains `unused`; both are names of trainable parameters.

    `dropped` are parameters that take part in the forward pass but in none of its results.
    """

    starved: tuple[str, ...]
    unused: tuple[str, ...]
    dropped: tuple[Parameter, ...]
    causes: tuple[Cause, ...]


_known: WeakKeyDictionary[ModelGraph, Reach] = WeakKeyDictionary()


def reach(graph: ModelGraph) -> Reach:
    """The reach of a graph, computed once."""
    found = _known.get(graph)
    if found is None:
        found = _known[graph] = _reach(graph)
    return found


def _reach(graph: ModelGraph) -> Reach:
    trainable = graph.model.trainable
    unused = [p for p in trainable if p.node is None or p.node not in graph or not any(graph.outgoing(p.node))]
    starved = _starved(graph, trainable)
    lost = [p for p in starved if p not in unused]
    steps = {own: _cheapest(graph, own) for own in {p.losses for p in lost}}
    masked = [(_cut(graph, edge), graph.reaching([edge.source])) for edge in _masked(graph)]
    served = {own: graph.reaching(own) for own in steps if own}
    hiding = [tuple(c for c, behind in masked if p.node in behind and _serves(c, served.get(p.losses))) for p in lost]
    traced = [(p, (*before, *_cuts(graph, steps[p.losses], p))) for p, before in zip(lost, hiding, strict=True)]
    return Reach(
        starved=tuple(p.name for p in trainable if p in starved or p in unused),
        unused=tuple(p.name for p in unused),
        dropped=tuple(p for p, cuts in traced if not cuts and not _in_outputs(graph, p)),
        causes=tuple(_causes(graph, [(p, cuts) for p, cuts in traced if cuts])),
    )


def _serves(cut: Cut, served: set[int] | None) -> bool:
    """Whether a cut stands before a parameter's own losses, as far as these are known."""
    return served is None or cut.edge.target in served


def measured(graph: ModelGraph) -> bool:
    """Whether a backward pass ran to its end (or failed because nothing required a gradient)."""
    ran = graph.training if graph.model.capture != READ else None
    passes = ran.of(EventKind.BACKWARD) if ran else ()
    return any(not event.error or NO_GRADIENT in event.error for event in passes)


def _starved(graph: ModelGraph, trainable: Iterable[Parameter]) -> list[Parameter]:
    """The parameters without a gradient: none arrived, or every way passes a gradient that is zero by construction."""
    targets = graph.model.targets
    flowing, real = graph.flowing, measured(graph)
    closed = any(p.node not in flowing for p in trainable)
    vanishing = graph.reaching(targets, _passes_something) if closed else flowing
    return [p for p in trainable if _is_starved(p, flowing, vanishing, real)]


def _is_starved(parameter: Parameter, flowing: Set[int], vanishing: Set[int], real: bool) -> bool:
    if real and parameter.gradient is GradientState.NONE:
        return True
    if parameter.node is None:
        return not real
    if parameter.node in flowing:
        return False
    return parameter.node in vanishing or not real


def _passes_something(edge: Edge) -> bool:
    """Whether autograd itself sees a connection, if only of zeros."""
    closed_by_value = edge.reason in (Reason.ZERO, Reason.CUSTOM_FUNCTION)
    return edge.open or closed_by_value


def _in_outputs(graph: ModelGraph, parameter: Parameter) -> bool:
    """Whether some output of the model is computed from a parameter, though the loss is not."""
    return parameter.node is not None and parameter.node in graph.reaching(graph.model.outputs)


def _cheapest(graph: ModelGraph, own: tuple[int, ...] = ()) -> dict[int, Edge]:
    """For every node that some target is computed from, the first edge of its cheapest way there.

    `own` are the losses to prefer, those that train the parameter in question.
    """
    unit = AGES * len(graph)
    targets = [target for target in graph.model.targets if target in graph]
    best = {target: 0 if not own or target in own else ON_PURPOSE * unit for target in targets}
    first: dict[int, Edge] = {}
    surcharge = surcharges(graph)
    queue = [(cost, -target) for target, cost in best.items()]
    heapq.heapify(queue)
    while queue:
        cost, negative = heapq.heappop(queue)
        if cost > best[-negative]:
            continue
        for edge in graph.incoming(-negative):
            paid = price(graph, edge) + surcharge(edge)
            total = cost + (paid * unit + len(graph) - edge.target if paid else 0)
            if total < best.get(edge.source, total + 1):
                best[edge.source] = total
                first[edge.source] = edge
                heapq.heappush(queue, (total, -edge.source))
    return first


def _cuts(graph: ModelGraph, steps: dict[int, Edge], parameter: Parameter) -> tuple[Cut, ...]:
    """The cuts on a parameter's cheapest way, in its direction; empty when no way leads to a target."""
    return tuple(_cut(graph, edge) for edge in way(steps, parameter.node) if is_cut(graph, edge))


def _masked(graph: ModelGraph) -> Iterator[Edge]:
    """The gradients that were switched on again behind a cut, on the way to a target, the last one first."""
    found = (edge for edge in graph.edges if edge.reason is Reason.MASKED and edge.target in graph.useful)
    return iter(sorted(found, key=lambda edge: edge.target, reverse=True))


def way(steps: dict[int, Edge], node: int | None) -> Iterator[Edge]:
    """The edges of the cheapest way from a node."""
    while node is not None and node in steps:
        edge = steps[node]
        yield edge
        node = edge.target


def cheapest_way(graph: ModelGraph, node: int) -> tuple[Edge, ...]:
    """The edges from a value to the nearest target; empty when no target is computed from it."""
    return tuple(way(_cheapest(graph), node))


def _cut(graph: ModelGraph, edge: Edge) -> Cut:
    node = graph.node(edge.target)
    reason = edge.reason or Reason.OPAQUE
    place = node.grad_frame if reason is Reason.GRAD_DISABLED and node.grad_frame else node.at
    return Cut(edge, node, reason, place)


def _causes(graph: ModelGraph, traced: list[tuple[Parameter, tuple[Cut, ...]]]) -> Iterator[Cause]:
    """Groups parameters by the cut that is to blame."""
    blamed = [(_blamed(cuts), parameter, cuts) for parameter, cuts in traced]

    def key(item: tuple[Cut, Parameter, tuple[Cut, ...]]) -> tuple[str, str, int, int]:
        cut = item[0]
        place = cut.place or Frame("", 0)
        return (cut.reason.value, place.path, place.line, place.column)

    for _, group in groupby(sorted(blamed, key=key), key=key):
        members = list(group)
        main = members[0][0]
        others = {_position(cut): cut for _, _, cuts in members for cut in cuts}
        others |= {_position(cut): cut for cut in _beside(graph, [p for _, p, _ in members])}
        others.pop(_position(main), None)
        yield Cause(main, tuple(p for _, p, _ in members), tuple(others.values())[:RELATED_LIMIT])


def _blamed(cuts: tuple[Cut, ...]) -> Cut:
    """The cut to name: of those in the first one's expression the first by precedence; a masked one before all."""
    masked = [cut for cut in cuts if cut.reason is Reason.MASKED]
    if masked:
        return masked[0]
    together = [cut for cut in cuts if cut is cuts[0] or _same_expression(cut.place, cuts[0].place)]
    main = min(together, key=lambda cut: PRECEDENCE.index(cut.reason))
    if main.reason is Reason.GRAD_DISABLED:
        return next((cut for cut in cuts if cut.reason in HARD), main)
    return main


def _same_expression(one: Frame | None, other: Frame | None) -> bool:
    """Whether two places share lines, as the calls of one chain do."""
    if one is None or other is None or one.path != other.path:
        return False
    return one.line <= max(other.end_line, other.line) and other.line <= max(one.end_line, one.line)


def _beside(graph: ModelGraph, parameters: list[Parameter]) -> Iterator[Cut]:
    """The cuts at the border of what these parameters reach with a gradient, where a target lies behind."""
    start = [p.node for p in parameters if p.node is not None]
    for node in graph.reached(start, lambda edge: edge.open):
        for edge in graph.outgoing(node):
            if is_cut(graph, edge) and edge.target in graph.useful:
                yield _cut(graph, edge)


def _position(cut: Cut) -> tuple[str, str, int, int]:
    place = cut.place or Frame("", 0)
    return (cut.reason.value, place.path, place.line, place.column)
