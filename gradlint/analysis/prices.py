"""What a cut costs on the way to a loss, when the cut to blame is sought: the cheaper, the likelier a mistake.

Correct code is full of masks and selections, and has detached branches and rollouts without gradients too; it has no
round trips through numbers. So of two ways to a loss the one with the rarer kind of cut is to blame. A surcharge lies
on what is cut on purpose for a reason that the graph shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gradlint import ops
from gradlint.frame import Frame
from gradlint.graph import Edge, ModelGraph, Node, Reason, ValueKind
from gradlint.training import EventKind

PRICES = {Reason.NON_DIFFERENTIABLE: 12, Reason.DETACH: 11, Reason.GRAD_DISABLED: 11}
CUT_PRICE = 10
ON_PURPOSE = 100
"""More than the cuts of any mistaken way together; what a loss costs, too, that trains other parameters."""

ASIDE = 5
"""What makes a detach dearer than a mask, and cheaper than two of them."""

AGES = 1000
"""Cuts on one way by which their age counts less than their price; of equal ways the one cut last is to blame."""

HARD = frozenset({Reason.NUMPY, Reason.SCALAR, Reason.REWRAP, Reason.NON_DIFFERENTIABLE, Reason.INTEGER_CAST})
"""Cuts that stay cut when gradients are switched on again before them."""

_WHOLE = ("int", "uint", "bool")
_DIFFERENCES, _SUMS = frozenset({"sub", "rsub"}), frozenset({"add", "sub", "rsub"})
_COPIES = frozenset({"copy_", "set:data"})

Surcharge = Callable[[Edge], int]


def price(graph: ModelGraph, edge: Edge) -> int:
    """What the cut of this edge costs: nothing where it is a part of another one.

    What leaves a number or an array was cut when these were made; a detach, or an op without gradient, that only
    conversions read was made for them.
    """
    if not is_cut(graph, edge) or _is_outside(graph.node(edge.source)):
        return 0
    if _prepares(graph, edge) or _goes_on(graph, edge):
        return 0
    return PRICES.get(edge.reason, CUT_PRICE) if edge.reason else CUT_PRICE


def is_cut(graph: ModelGraph, edge: Edge) -> bool:
    """Whether an edge ends a gradient; that of a whole number is a consequence of the cut that made it whole."""
    dtype = graph.node(edge.source).dtype
    return not edge.open and not (dtype is not None and dtype.startswith(_WHOLE))


def _is_outside(node: Node) -> bool:
    return node.value in (ValueKind.ARRAY, ValueKind.SCALAR)


def _prepares(graph: ModelGraph, edge: Edge) -> bool:
    """Whether a softer cut serves the conversions behind it: `x.detach().numpy()`, `x.detach().clone().tolist()`."""
    if edge.reason not in (Reason.DETACH, Reason.GRAD_DISABLED):
        return False
    readers = _readers(graph, edge.target)
    while len(readers) == 1 and readers[0].open and _is_copy(graph.node(readers[0].target)):
        readers = _readers(graph, readers[0].target)
    return bool(readers) and all(not reader.open and reader.reason in HARD for reader in readers)


def _readers(graph: ModelGraph, node: int) -> list[Edge]:
    return [reader for reader in graph.outgoing(node) if reader.target in graph.useful]


def _is_copy(node: Node) -> bool:
    """Whether an op leaves the values of its one input as they are."""
    known = ops.facts(node.op)
    return known is not None and known.kind in (ops.Kind.RESHAPE, ops.Kind.CAST)


def _goes_on(graph: ModelGraph, edge: Edge) -> bool:
    """Whether gradients were off already where the value was made: a block without them is one cut."""
    before = list(graph.incoming(edge.source)) if edge.reason is Reason.GRAD_DISABLED else []
    return bool(before) and all(earlier.reason is Reason.GRAD_DISABLED for earlier in before)


def surcharges(graph: ModelGraph) -> Surcharge:
    """A function from an edge to what it costs beside its price, because it is cut on purpose."""
    data, state, blocks = between_steps(graph), carried_state(graph), rehearsals(graph)

    def surcharge(edge: Edge) -> int:
        if edge.target in state:
            return ON_PURPOSE
        if not price(graph, edge):
            return 0
        meant = edge.target in data or _is_rehearsed(graph, edge, blocks) or _is_straight_through(graph, edge)
        return ON_PURPOSE if meant else ASIDE * _is_aside(graph, edge)

    return surcharge


def _steps(graph: ModelGraph) -> Iterator[tuple[int, int]]:
    """The first and the last loss of every loop: what its backward passes begin at."""
    places: dict[Frame | None, dict[int, None]] = {}
    for event in graph.training.events if graph.training else ():
        if event.kind in (EventKind.LOSS, EventKind.BACKWARD) and event.node is not None:
            places.setdefault(event.frame, {})[event.node] = None
    return ((min(nodes), max(nodes)) for nodes in places.values() if len(nodes) > 1)


def between_steps(graph: ModelGraph) -> frozenset[int]:
    """The values that two steps of one loop read: data of an earlier rollout, which no step learns through."""
    return frozenset(node for one, two in _steps(graph) for node in graph.reaching([one]) & graph.reaching([two]))


def carried_state(graph: ModelGraph) -> frozenset[int]:
    """The values that are written over what an earlier step read: moving averages, queues, target networks."""
    return frozenset(node for one, two in _steps(graph) for node in _rewritten(graph, one, two))


def _rewritten(graph: ModelGraph, first: int, last: int) -> set[int]:
    trainable = {p.node for p in graph.model.trainable}
    old = graph.reaching([first]) - trainable
    found: set[int] = set()
    for node in sorted(node for node in graph.reaching([last]) if node > first):
        made = graph.node(node)
        before = next((edge.source for edge in graph.incoming(node)), None)
        if made.inplace and (before in old or before in found or (made.native in _COPIES and not made.grad_enabled)):
            found.add(node)
        elif before in old and made.native in ("get:data", "detach"):
            old.add(node)
    return found


def rehearsals(graph: ModelGraph) -> frozenset[Frame]:
    """The switches of gradients under which all that is read of the model learns elsewhere.

    So a fixed point is sought, a rollout made, a target computed, before the same layers run with gradients.
    """
    fed = graph.flowing
    learning: dict[Frame, bool] = {}
    for parameter in graph.model.trainable:
        for edge in graph.outgoing(parameter.node) if parameter.node is not None and parameter.node in graph else ():
            place = graph.node(edge.target).grad_frame
            if edge.reason is Reason.GRAD_DISABLED and place is not None:
                learning[place] = learning.get(place, True) and parameter.node in fed
    return frozenset(place for place, all_fed in learning.items() if all_fed)


def _is_rehearsed(graph: ModelGraph, edge: Edge, blocks: frozenset[Frame]) -> bool:
    return edge.reason is Reason.GRAD_DISABLED and graph.node(edge.target).grad_frame in blocks


def _is_aside(graph: ModelGraph, edge: Edge) -> bool:
    """Whether a value is used beside its detached copy, with gradient or for another loss (a generator's samples).

    Who keeps both knows what the copy is for.
    """
    if edge.reason is not Reason.DETACH:
        return False
    others = [beside for beside in graph.outgoing(edge.source) if beside != edge and beside.target in graph.useful]
    own = _losses_behind(graph, edge) if others else set()
    return any(beside.open or _losses_behind(graph, beside) - own for beside in others)


def _losses_behind(graph: ModelGraph, edge: Edge) -> set[int]:
    return graph.reached([edge.target]).intersection(graph.model.targets)


def _is_straight_through(graph: ModelGraph, edge: Edge) -> bool:
    """Whether a detach is that of `z + (q - z).detach()`: what it takes away comes back with its gradient."""
    if edge.reason is not Reason.DETACH or graph.node(edge.source).op not in _DIFFERENCES:
        return False
    parts = {before.source for before in graph.incoming(edge.source)}
    sums = (after.target for after in graph.outgoing(edge.target) if graph.node(after.target).op in _SUMS)
    return any(parts & {beside.source for beside in graph.incoming(node) if beside.open} for node in sums)
