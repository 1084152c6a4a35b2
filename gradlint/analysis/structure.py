"""The straight runs of a model: weight layers in sequence with one way through them, and what stands between them.

A run ends where the signal is normalised, where it splits into two ways that both lead to a target, where it meets
another signal (a skip, a gate, a concatenation), and at every op whose effect on the scale is not known. What is left
is the part of a model where each layer's scale multiplies with the next one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from gradlint import ops
from gradlint.graph import Initialisation, ModelGraph, Node, NodeKind, Parameter

MATRIX = 2
"""Axes that a weight has at least; a bias and the affine parameters of a norm have one."""

WEIGHTED = frozenset({ops.Kind.LINEAR, ops.Kind.CONV})
VIEWS = frozenset({ops.Kind.RESHAPE, ops.Kind.CAST})
"""Ops that leave a weight's values as they are."""

PASSED = frozenset(
    {
        ops.Kind.ACTIVATION,
        ops.Kind.CAST,
        ops.Kind.DROPOUT,
        ops.Kind.ELEMENTWISE,
        ops.Kind.INDEXING,
        ops.Kind.JOIN,
        ops.Kind.PADDING,
        ops.Kind.POOL,
        ops.Kind.REDUCTION,
        ops.Kind.RESAMPLING,
        ops.Kind.RESHAPE,
    }
)
"""Kinds of op that a run goes through when only one signal enters them."""

HEALTHY = 5e-3
"""Share of the last weight's gradient that the first one's may fall to. Networks that train at once lie above it (MLPs
of 4 to 8 tanh layers, 12 with Xavier, AlexNet, autoencoders); GL402 speaks of a vanishing gradient below 1e-3."""

SUMS = frozenset({"add", "sub", "rsub"})
RECTIFIERS = frozenset({"relu", "relu6", "leaky_relu", "rrelu", "prelu"})
"""The ReLU family: about half of the signal's power is cut off (He et al. 2015, section 2.2)."""

_NOT_HIDDEN = frozenset({"softmax", "relu6"})
"""Saturating by the facts, but a competition between units, and a ReLU for every signal at the start of training."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One weight op of a run, its weight, and the ops between it and the next weight op or the run's end."""

    node: Node
    weight: Parameter
    steps: tuple[Node, ...]

    @property
    def saturating(self) -> tuple[Node, ...]:
        """The saturating activations behind the weight."""
        return tuple(step for step in self.steps if is_saturating(step))


@dataclass(frozen=True, slots=True)
class Run:
    """Weight layers in sequence; `bypassed` says that a skip leads around them, `followed` that more weights follow."""

    layers: tuple[Layer, ...]
    bypassed: bool
    followed: bool

    @property
    def shared(self) -> bool:
        """Whether one weight stands in it twice, as in a network that is unrolled over time."""
        return len({weight.name for weight in self.weights}) < len(self.layers)

    @property
    def weights(self) -> tuple[Parameter, ...]:
        """The weights in their order."""
        return tuple(layer.weight for layer in self.layers)

    @property
    def gradient_ratio(self) -> float | None:
        """The first weight's gradient over the last one's (root mean squares); None where they were not measured."""
        first, last = self.weights[0].measured_rms, self.weights[-1].measured_rms
        return first / last if first is not None and last else None


def initialised_by(weight: Parameter) -> Initialisation | None:
    """The user's own initialiser call that a weight saw last; None when only its layer's constructor filled it.

    The constructor's call stands where the weight itself was made.
    """
    last = weight.initialisations[-1] if weight.initialisations else None
    if last is None or last.library or last.frame == weight.made:
        return None
    return last


def is_saturating(node: Node) -> bool:
    """Whether an op is an activation that saturates at both ends: sigmoid, tanh, their hard variants, softsign."""
    known = ops.facts(node.op)
    return known is not None and known.saturating and known.name not in _NOT_HIDDEN


def is_rectifier(node: Node) -> bool:
    """Whether an op is of the ReLU family."""
    return node.op in RECTIFIERS


@dataclass(slots=True)
class _Known:
    """What was computed of a graph: what all runs stand on, and the runs by the kinds of op that they go through."""

    facts: _Facts
    runs: dict[frozenset[ops.Kind], tuple[Run, ...]]


_known: WeakKeyDictionary[ModelGraph, _Known] = WeakKeyDictionary()


def runs(graph: ModelGraph, through: frozenset[ops.Kind] = PASSED) -> tuple[Run, ...]:
    """The straight runs of a graph through some kinds of op, each set of weights once, computed once."""
    known = _known.get(graph)
    if known is None:
        known = _known[graph] = _Known(_facts(graph), {})
    if through not in known.runs:
        every = _Walk(graph, through, known.facts).runs()
        known.runs[through] = tuple({tuple(weight.name for weight in run.weights): run for run in every}.values())
    return known.runs[through]


@dataclass(frozen=True, slots=True)
class _Facts:
    """Numbers of nodes: those that get a gradient, those made of parameters alone, the trainable weights of linear maps
    and convolutions that use them as they are, those with an open way to such an op that gets a gradient, and the
    values without a history, parameters aside, that each node's gradient leads to, as a set of bits."""

    flowing: frozenset[int]
    static: frozenset[int]
    weighted: dict[int, Parameter]
    before_weights: frozenset[int]
    origins: dict[int, int]


def _facts(graph: ModelGraph) -> _Facts:
    flowing, static, weighted = graph.flowing, _static(graph), _weighted(graph)
    numbers = sorted(node.id for node in graph.nodes)
    before = _before(graph, numbers, flowing & weighted.keys())
    return _Facts(flowing, static, weighted, before, _origins(graph, numbers, static))


def _static(graph: ModelGraph) -> frozenset[int]:
    found = {parameter.node for parameter in graph.model.parameters if parameter.node is not None}
    for node in graph.nodes:
        sources = [edge.source for edge in graph.incoming(node.id)]
        if sources and found.issuperset(sources):
            found.add(node.id)
    return frozenset(found)


def _weighted(graph: ModelGraph) -> dict[int, Parameter]:
    weights = {p.node: p for p in graph.model.trainable if p.node is not None and len(p.shape) >= MATRIX}
    found: dict[int, Parameter] = {}
    for node in graph.nodes:
        known = ops.facts(node.op) if node.kind is NodeKind.OP else None
        if known is not None and known.kind in WEIGHTED:
            sources = [_viewed(graph, edge.source) for edge in graph.incoming(node.id)]
            used = [weights[source] for source in sources if source in weights]
            if len(used) == 1:
                found[node.id] = used[0]
    return found


def _viewed(graph: ModelGraph, node: int) -> int:
    """The value behind views and casts."""
    while (known := ops.facts(graph.node(node).op)) is not None and known.kind in VIEWS:
        sources = [edge.source for edge in graph.incoming(node)]
        if len(sources) != 1:
            return node
        node = sources[0]
    return node


def _before(graph: ModelGraph, numbers: list[int], weighing: frozenset[int]) -> frozenset[int]:
    """The nodes with an open way to one of some ops behind them; edges lead from lower to higher numbers."""
    found: set[int] = set()
    for number in reversed(numbers):
        for edge in graph.outgoing(number):
            if (edge.target in weighing or edge.target in found) and edge.open:
                found.add(number)
                break
    return frozenset(found)


def _origins(graph: ModelGraph, numbers: list[int], static: frozenset[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    fresh = 1
    for number in numbers:
        origins = 0
        for edge in graph.incoming(number):
            if edge.open:
                origins |= found[edge.source]
        if not origins and number not in static:
            origins, fresh = fresh, fresh << 1
        found[number] = origins
    return found


class _Walk:
    """One pass over a graph through some kinds of op."""

    def __init__(self, graph: ModelGraph, through: frozenset[ops.Kind], facts: _Facts) -> None:
        self.graph = graph
        self.through = through
        self.facts = facts

    def runs(self) -> Iterator[Run]:
        """The runs in the order of their first layers."""
        seen: set[int] = set()
        weighing = self.facts.flowing & self.facts.weighted.keys()
        for number in (number for number in self.facts.weighted if number in weighing):
            if number not in seen:
                layers, end = self._run(self.graph.node(number))
                seen |= {layer.node.id for layer in layers}
                yield Run(layers, self._is_bypassed(layers, end), layers[-1].node.id in self.facts.before_weights)

    def _run(self, first: Node) -> tuple[tuple[Layer, ...], Node | None]:
        """The layers from a weight op on, and the op that ends them (None at a target or a fork)."""
        layers: list[Layer] = []
        node = first
        steps: list[Node] = []
        for after in self._way(first):
            if not self._passes(after):
                return (*layers, self._layer(node, steps)), after
            if after.id not in self.facts.weighted:
                steps.append(after)
            else:
                layers.append(self._layer(node, steps))
                node, steps = after, []
        return (*layers, self._layer(node, steps)), None

    def _layer(self, node: Node, steps: Iterable[Node]) -> Layer:
        return Layer(node, self.facts.weighted[node.id], tuple(steps))

    def _way(self, node: Node) -> Iterator[Node]:
        """The only reader of a value, its only reader, and so on; what ends the run is the last."""
        while True:
            readers = [e.target for e in self.graph.outgoing(node.id) if e.target in self.facts.flowing and e.open]
            if len(readers) != 1:
                return
            node = self.graph.node(readers[0])
            yield node

    def _passes(self, node: Node) -> bool:
        """Whether a run goes on through an op: one signal enters it (a norm reads its running statistic too), and its
        effect on the scale is known."""
        known = ops.facts(node.op) if node.kind is NodeKind.OP else None
        if known is None or (known.kind not in self.through and node.id not in self.facts.weighted):
            return False
        return known.kind is ops.Kind.NORM or len(self._signals(node)) == 1

    def _signals(self, node: Node) -> set[int]:
        """The values that an op reads, but for parameters, what is made of them, and constant numbers and vectors."""
        return {e.source for e in self.graph.incoming(node.id) if not self._is_constant(e.source)}

    def _is_constant(self, node: int) -> bool:
        if node in self.facts.static:
            return True
        value = self.graph.node(node)
        return value.kind is NodeKind.CONSTANT and value.shape is not None and len(value.shape) < MATRIX

    def _is_bypassed(self, layers: tuple[Layer, ...], end: Node | None) -> bool:
        """Whether a run ends in a sum with a value of the same origin: a residual branch, or a shortcut beside it."""
        if end is None or end.op not in SUMS:
            return False
        first, last = layers[0].node.id, (layers[-1].node, *layers[-1].steps)[-1].id
        origins = self.facts.origins
        others = (source for source in self._signals(end) - {last} if origins[source] & origins[first])
        return any(not self._descends(other, first) for other in others)

    def _descends(self, node: int, origin: int) -> bool:
        """Whether a value was computed from another; nothing older than that one is looked at."""
        return node >= origin and origin in self.graph.reaching([node], lambda edge: edge.source >= origin)
