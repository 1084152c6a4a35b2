"""Which values of a model graph are shown, and the calls that made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from gradlint.analysis.reach import reach
from gradlint.graph import Edge, ModelGraph, Node, NodeKind

_DISCRETE = ("int", "uint", "bool")
"""How the names of the types begin that carry no gradient."""

_LEAVES = frozenset({NodeKind.PARAMETER, NodeKind.BUFFER, NodeKind.CONSTANT})


@dataclass(frozen=True, slots=True)
class Call:
    """One op call (or an input): the values that it made, and an edge from each value that it read."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @property
    def first(self) -> Node:
        """The first value that it made."""
        return self.nodes[0]


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of a graph that belongs to its model: its calls in the order of execution, which made the values `own`.

    All other values are leaves, named beside the ops that read them: parameters, buffers, constants. `starved` are the
    nodes of the trainable parameters that get no gradient, `live` all values that learn.
    """

    graph: ModelGraph
    calls: tuple[Call, ...]
    own: frozenset[int]
    starved: frozenset[int]
    live: frozenset[int]

    def is_leaf(self, node: int) -> bool:
        """Whether a value stands beside the ops that read it."""
        return node not in self.own

    def fact(self, edge: Edge) -> str:
        """`blocked: detach`; empty where gradient flows, and where the value could have none: a number, an index."""
        dtype = self.graph.node(edge.source).dtype
        if edge.passage == "flows" or (dtype is not None and dtype.startswith(_DISCRETE)):
            return ""
        told = edge.reason.value if edge.reason and edge.reason.value != edge.passage.value else ""
        return f"{edge.passage.value}: {told}" if told else edge.passage.value

    def stops(self, edge: Edge) -> bool:
        """Whether an edge stops a gradient that some parameter would get."""
        return not edge.open and edge.source in self.live and edge.target in self.graph.useful


def shown(graph: ModelGraph) -> Shown:
    """What a forward pass of the model (and its loss) computes; the building of its weights is left out."""
    names = set(reach(graph).starved)
    starved = {p.node for p in graph.model.parameters if p.name in names and p.node is not None}
    calls = tuple(_calls(graph, members(graph)))
    own = frozenset(node.id for call in calls for node in call.nodes)
    learning = [p.node for p in graph.model.trainable if p.node is not None]
    live = graph.reached(learning, lambda edge: edge.open)
    return Shown(graph, calls, own, frozenset(starved), frozenset(live))


def members(graph: ModelGraph) -> set[int]:
    """The nodes of a model: all that its results are computed from, and all that its parameters or inputs went into.

    Of a training loop only the first pass counts: the later ones show the same again.
    """
    every = {number for number in (*graph.model.outputs, *graph.model.targets) if number in graph}
    first = _first_pass(graph, every)
    useful = graph.reaching(first)
    computed = _computed(graph, useful)
    if len(first) == len(every):
        return useful | computed
    last = max(first)
    return useful | {number for number in computed if number <= last}


def _first_pass(graph: ModelGraph, ends: set[int]) -> list[int]:
    """Of results that were computed by the same expression over and over, the first one."""
    found: dict[tuple[str, str, object], int] = {}
    for number in sorted(ends):
        node = graph.node(number)
        found.setdefault((node.op, node.module, node.at or number), number)
    return list(found.values())


def _computed(graph: ModelGraph, useful: set[int]) -> set[int]:
    """All that is computed from the parameters and the inputs of a model."""
    inputs = (node.id for node in graph.nodes if node.kind is NodeKind.INPUT and node.id in useful)
    own = (p.node for p in graph.model.parameters if p.node is not None)
    return graph.reached([*own, *inputs])


def _calls(graph: ModelGraph, kept: set[int]) -> Iterator[Call]:
    made = [node for node in graph.nodes if node.id in kept and node.kind not in _LEAVES]
    for node in made:
        if node.kind is NodeKind.INPUT:
            yield Call((node,), ())
    live = _computed(graph, kept) & graph.useful
    begins = min((n.id for n in made if n.id in live and n.kind is not NodeKind.INPUT), default=0)
    # What was computed before the forward pass began is how parameters and buffers got their values.
    others = (node for node in made if node.kind is not NodeKind.INPUT and node.id >= begins)
    for _, group in groupby(others, key=_call_of):
        nodes = tuple(group)
        yield Call(nodes, tuple(_reads(graph, nodes)))


def _call_of(node: Node) -> tuple[int, int, str, str]:
    """What the outputs of one call have in common; a node without a call stands alone."""
    return (node.call, -1 if node.call >= 0 else node.id, node.op, node.module)


def _reads(graph: ModelGraph, nodes: tuple[Node, ...]) -> Iterator[Edge]:
    """One edge from each value that a call read: the one that passes most, where its outputs differ."""
    best: dict[int, Edge] = {}
    for node in nodes:
        for edge in graph.incoming(node.id):
            old = best.get(edge.source)
            if old is None or (edge.open and not old.open):
                best[edge.source] = edge
    return iter(best.values())
