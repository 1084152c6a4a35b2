"""Which constants of a graph are its weights: floating initialisers that feed a weight's place in some operator.

Directly, or through what is computed from constants alone (a transposition, a cast, weight normalisation). A vector
that is added to, or multiplies, what a weight made is a bias or a scale. Integer initialisers behind a
DequantizeLinear store what was quantised: weights that nothing trains.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gradlint.frontends.onnx_file.canonical import NATIVE, WEIGHTS
from gradlint.frontends.onnx_file.dtypes import TRAINABLE
from gradlint.frontends.onnx_file.values import Constant, Values
from gradlint.frontends.onnx_file.wording import shown
from gradlint.graph import Node, NodeKind, Parameter

STATIC_PLACES = {"MatMul": (1,), "Gemm": (1, 2), "Gather": ()}
"""Where weights stand when an operator reads nothing but constants: a table of positions meets a small network."""

LOOPED = frozenset({f"{NATIVE}Loop", f"{NATIVE}Scan", f"{NATIVE}SequenceMap"})
"""What a loop begins with is a state, and nothing that is learnt."""

VECTORED = frozenset({"Add", "Sub", "Mul", "Div"})


Read = tuple[int, int, bool]
"""What a node reads: the value's number, the position (below 0 where it has none), whether a gradient can pass."""


class Weights:
    """The weights of one file's values."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._reads: dict[int, list[Read]] = defaultdict(list)
        for edge, place in zip(values.edges, values.places, strict=True):
            self._reads[edge.target].append((edge.source, place, edge.open))

    def found(self) -> dict[int, bool]:
        """The nodes of constants that are weights, and whether they can be trained."""
        found: dict[int, bool] = {}
        learnt: set[int] = set()
        walked: set[int] = set()
        for node in self._values.nodes:
            reads = self._reads.get(node.id)
            if reads is None:
                continue
            weights = self._weights(node, reads, learnt)
            for weight in weights:
                found.update(self._behind(weight, walked))
            if weights or any(source in learnt and is_open for source, _, is_open in reads):
                learnt.add(node.id)
        return found

    def _weights(self, node: Node, reads: list[Read], learnt: set[int]) -> list[int]:
        """The static values at a weight's places of an op."""
        op_type = node.native.removeprefix(NATIVE)
        static = self._values.static
        if op_type in WEIGHTS:
            places = STATIC_PLACES.get(op_type, WEIGHTS[op_type]) if node.id in static else WEIGHTS[op_type]
            return [source for source, place, _ in reads if place in places and source in static]
        if op_type in VECTORED and any(source in learnt for source, _, _ in reads):
            return [source for source, _, _ in reads if source in static and self._is_vector(source)]
        return []

    def _is_vector(self, node: int) -> bool:
        """Whether one axis alone has more than one element, by a value's own shape or that of what it is made of."""
        while (known := self._values.nodes[node]).shape is None and len(self._reads.get(node, ())) == 1:
            if known.native in LOOPED:
                return False
            node = self._reads[node][0][0]
        return known.shape is not None and sum(size > 1 for size in known.shape) == 1

    def _behind(self, node: int, walked: set[int]) -> Iterator[tuple[int, bool]]:
        """The initialisers that a static value is computed from, but for those behind what was walked before."""
        waiting = [node]
        while waiting:
            here = waiting.pop()
            if here in walked:
                continue
            walked.add(here)
            constant = self._values.constants.get(here)
            if constant is not None and _holds_weights(constant):
                yield here, constant.dtype in TRAINABLE
            waiting.extend(source for source, _, _ in self._reads.get(here, ()))


def _holds_weights(constant: Constant) -> bool:
    return constant.dtype is not None and constant.elements > 1 and constant.dtype not in ("bool", "string", "int64")


def parameters(values: Values) -> tuple[tuple[Parameter, ...], tuple[Node, ...]]:
    """The weights as parameters, and all nodes with those of the weights marked as such."""
    found = Weights(values).found()
    nodes = list(values.nodes)
    told: list[Parameter] = []
    for number, trainable in sorted(found.items()):
        constant = values.constants[number]
        kind, name = NodeKind.PARAMETER, shown(constant.name)
        nodes[number] = Node(number, kind, "parameter", name=name, dtype=constant.dtype, shape=constant.shape)
        told.append(Parameter(name, constant.shape or (), constant.elements, trainable=trainable, node=number))
    return tuple(told), tuple(nodes)
