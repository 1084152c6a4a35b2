"""The straight runs of a model: weight layers in sequence with one way through them, and what stands between them.

A run ends where the signal is normalised, where it splits into two ways that both lead to a target, where it meets
another signal (a skip, a gate, a concatenation), and at every op whose effect on the scale is not known. What is left
is the part of a model where each layer's scale multiplies with the next one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
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


_known: WeakKeyDictionary[ModelGraph, dict[frozenset[ops.Kind], tuple[Run, ...]]] = WeakKeyDictionary()


def runs(graph: ModelGraph, through: frozenset[ops.Kind] = PASSED) -> tuple[Run, ...]:
    """The straight runs of a graph through some kinds of op, each set of weights once, computed once."""
    known = _known.setdefault(graph, {})
    if through not in known:
        every = _Walk(graph, through).runs()
        known[through] = tuple({tuple(weight.name for weight in run.weights): run for run in every}.values())
    return known[through]


class _Walk:
    """One pass over a graph; `flowing` are the nodes that get a gradient, `static` those made of parameters alone."""

    def __init__(self, graph: ModelGraph, through: frozenset[ops.Kind]) -> None:
        self.graph = graph
        self.through = through
        self.flowing = graph.reaching(graph.model.targets, lambda edge: edge.open)
        self.weights = {p.node: p for p in graph.model.trainable if p.node is not None and len(p.shape) >= MATRIX}
        self.static = _static(graph)

    def runs(self) -> Iterator[Run]:
        """The runs in the order of their first layers."""
        seen: set[int] = set()
        for node in self.graph.nodes:
            if node.id in self.flowing and node.id not in seen and self._weight(node) is not None:
                layers, end = self._run(node)
                seen |= {layer.node.id for layer in layers}
                yield Run(layers, self._is_bypassed(layers, end), self._is_followed(layers[-1]))

    def _run(self, first: Node) -> tuple[tuple[Layer, ...], Node | None]:
        """The layers from a weight op on, and the op that ends them (None at a target or a fork)."""
        layers: list[Layer] = []
        node = first
        steps: list[Node] = []
        for after in self._way(first):
            if not self._passes(after):
                return (*layers, self._layer(node, steps)), after
            if self._weight(after) is None:
                steps.append(after)
            else:
                layers.append(self._layer(node, steps))
                node, steps = after, []
        return (*layers, self._layer(node, steps)), None

    def _layer(self, node: Node, steps: Iterable[Node]) -> Layer:
        weight = self._weight(node)
        assert weight is not None
        return Layer(node, weight, tuple(steps))

    def _way(self, node: Node) -> Iterator[Node]:
        """The only reader of a value, its only reader, and so on; what ends the run is the last."""
        while True:
            readers = [e.target for e in self.graph.outgoing(node.id) if e.open and e.target in self.flowing]
            if len(readers) != 1:
                return
            node = self.graph.node(readers[0])
            yield node

    def _passes(self, node: Node) -> bool:
        """Whether a run goes on through an op: one signal enters it (a norm reads its running statistic too), and its
        effect on the scale is known."""
        known = ops.facts(node.op) if node.kind is NodeKind.OP else None
        if known is None or (known.kind is not ops.Kind.NORM and len(self._signals(node)) != 1):
            return False
        return known.kind in self.through or self._weight(node) is not None

    def _signals(self, node: Node) -> set[int]:
        """The values that an op reads, but for parameters, what is made of them, and constant numbers and vectors."""
        return {e.source for e in self.graph.incoming(node.id) if not self._is_constant(e.source)}

    def _is_constant(self, node: int) -> bool:
        value = self.graph.node(node)
        small = value.shape is not None and len(value.shape) < MATRIX
        return node in self.static or (value.kind is NodeKind.CONSTANT and small)

    def _weight(self, node: Node) -> Parameter | None:
        """The trainable weight of a linear map or convolution that uses it as it is."""
        return self._weighted.get(node.id)

    @cached_property
    def _weighted(self) -> dict[int, Parameter]:
        found = ((node.id, self._weight_of(node)) for node in self.graph.nodes)
        return {number: weight for number, weight in found if weight is not None}

    def _weight_of(self, node: Node) -> Parameter | None:
        known = ops.facts(node.op) if node.kind is NodeKind.OP else None
        if known is None or known.kind not in WEIGHTED:
            return None
        sources = [self._viewed(edge.source) for edge in self.graph.incoming(node.id)]
        found = [self.weights[source] for source in sources if source in self.weights]
        return found[0] if len(found) == 1 else None

    def _viewed(self, node: int) -> int:
        """The value behind views and casts."""
        while (known := ops.facts(self.graph.node(node).op)) is not None and known.kind in VIEWS:
            sources = [edge.source for edge in self.graph.incoming(node)]
            if len(sources) != 1:
                return node
            node = sources[0]
        return node

    def _is_followed(self, last: Layer) -> bool:
        """Whether the run's result goes through another weight."""
        return last.node.id in self._before_weights

    @cached_property
    def _before_weights(self) -> frozenset[int]:
        """The nodes with an open way to the op of a weight behind them; edges lead from lower to higher numbers."""
        found: set[int] = set()
        for node in sorted((node.id for node in self.graph.nodes), reverse=True):
            ahead = [edge.target for edge in self.graph.outgoing(node) if edge.open]
            if any(target in found or target in self._weighing for target in ahead):
                found.add(node)
        return frozenset(found)

    @cached_property
    def _weighing(self) -> frozenset[int]:
        """The ops of weights that get a gradient."""
        return frozenset(n for n in self.flowing if n in self._weighted)

    def _is_bypassed(self, layers: tuple[Layer, ...], end: Node | None) -> bool:
        """Whether a run ends in a sum with a value of the same origin: a residual branch, or a shortcut beside it."""
        if end is None or end.op not in SUMS:
            return False
        first = layers[0].node.id
        others = [source for source in self._signals(end) if not self._descends(source, first)]
        return any(self._origins[other] & self._origins[first] for other in others)

    def _descends(self, node: int, origin: int) -> bool:
        """Whether a value was computed from another; nothing older than that one is looked at."""
        return node >= origin and origin in self.graph.reaching([node], lambda edge: edge.source >= origin)

    @cached_property
    def _origins(self) -> dict[int, int]:
        """The values without a history, parameters aside, that each node's gradient leads to, as a set of bits."""
        found: dict[int, int] = {}
        fresh = 1
        for node in sorted(node.id for node in self.graph.nodes):
            origins = 0
            for edge in self.graph.incoming(node):
                origins |= found[edge.source] if edge.open else 0
            if not origins and node not in self.static:
                origins, fresh = fresh, fresh << 1
            found[node] = origins
        return found


def _static(graph: ModelGraph) -> frozenset[int]:
    """The parameters, and the values that are computed from nothing else."""
    found = {parameter.node for parameter in graph.model.parameters if parameter.node is not None}
    for node in graph.nodes:
        sources = [edge.source for edge in graph.incoming(node.id)]
        if sources and found.issuperset(sources):
            found.add(node.id)
    return frozenset(found)
