"""The values of a graph while it is read: nodes and edges in order, and what a name stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import onnx

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file import dtypes
from gradlint.frontends.onnx_file.attributes import Numbers, number
from gradlint.frontends.onnx_file.signatures import OPEN, Fact
from gradlint.frontends.onnx_file.wording import LONGEST, shown
from gradlint.graph import Edge, Frame, Node, NodeKind

MOST_NODES = 4_000_000
"""Values of one file, functions written out; the largest models that exist have some 100,000."""

NO_TEXT = "one of its names is no text"

LARGEST = 1 << 62
"""Elements that a tensor may say that it has."""


@dataclass(slots=True, eq=False)
class Constant:
    """An initialiser or a constant, which becomes a node when something reads it as a tensor."""

    name: str
    shape: tuple[int, ...] | None
    dtype: str | None
    literal: Numbers | None
    initialiser: bool
    node: int = -1

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape or ():
            count *= size
        return count


def constant_of(tensor: onnx.TensorProto, name: str, initialiser: bool) -> Constant:
    """The constant in a tensor; `TargetError` for sizes that no tensor has."""
    shape = checked(tensor.dims, name)
    return Constant(name, shape, dtypes.name_of(tensor.data_type), number(tensor), initialiser)


def checked(dims: Any, name: str) -> tuple[int, ...]:
    """The sizes of a tensor; `TargetError` when some are negative or their product is beyond any memory."""
    shape = tuple(dims)
    elements = 1
    for size in shape:
        elements *= size
        if size < 0 or elements > LARGEST:
            raise TargetError(f"the tensor `{name}` has sizes that no tensor has: {list(shape)[:8]}")
    return shape


Binding = int | Constant
"""What a name stands for: a node's number, or a constant."""


@dataclass(eq=False)
class Scope:
    """The names that a graph, a branch or a function's body can read."""

    values: dict[str, Binding]
    outer: Scope | None = None

    def find(self, name: str) -> Binding | None:
        """What a name stands for here; None for nothing."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        return None


@dataclass(slots=True, eq=False)
class Values:
    """All that was read so far; `places` are the positions at which the targets of edges read their sources.

    `static` are the nodes that are computed from constants alone, `foreign` counts the operators that nobody knows.
    """

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    static: set[int] = field(default_factory=set)
    constants: dict[int, Constant] = field(default_factory=dict)
    calls: int = 0
    foreign: dict[str, int] = field(default_factory=dict)

    def add(self, kind: NodeKind, op: str, *facts: Any, static: bool = False, **named: Any) -> int:
        """The number of a new node of some facts; `TargetError` when there are too many."""
        number = len(self.nodes)
        if number >= MOST_NODES:
            raise TargetError(f"written out it has more than {MOST_NODES} values")
        node = Node(number, kind, op, *facts, **named)
        if not (isinstance(node.name, str) and isinstance(node.module, str)):
            raise TargetError(NO_TEXT)
        if not (node.name.isprintable() and node.module.isprintable() and len(node.name) + len(node.module) < LONGEST):
            node = replace(node, name=shown(node.name), module=shown(node.module))
        self.nodes.append(node)
        if static:
            self.static.add(number)
        return number

    def link(self, source: int, target: int, fact: Fact = OPEN, place: int = -1) -> None:
        """Draws an edge from what a call reads at a place."""
        self.edges.append(Edge(source, target, *fact))
        self.places.append(place)

    def node_of(self, binding: Binding) -> int:
        """The node of what a name stands for."""
        if isinstance(binding, int):
            return binding
        if binding.node < 0:
            about = {"name": binding.name, "dtype": binding.dtype, "shape": binding.shape}
            binding.node = self.add(NodeKind.CONSTANT, "constant", static=True, **about)
            self.constants[binding.node] = binding
        return binding.node

    def dtype(self, binding: Binding | None) -> str | None:
        """The element type of what a name stands for."""
        if binding is None:
            return None
        return binding.dtype if isinstance(binding, Constant) else self.nodes[binding].dtype

    def joined(self, sources: list[int], frames: tuple[Frame, ...], name: str) -> int:
        """A value that is one of several, which a branch or a loop decides."""
        static = self.static.issuperset(sources)
        about = {"name": name, "frames": frames, "dtype": self.nodes[sources[0]].dtype, "call": self.call()}
        made = self.add(NodeKind.OP, "phi", "phi", static=static, **about)
        for source in dict.fromkeys(sources):
            self.link(source, made)
        return made

    def call(self) -> int:
        """The number of a new op call."""
        self.calls += 1
        return self.calls


@dataclass(frozen=True, slots=True)
class Types:
    """What a graph says of the types and shapes of its values, by name."""

    dtypes: Mapping[str, str | None]
    shapes: Mapping[str, tuple[int, ...] | None]


def types_of(graph: onnx.GraphProto) -> Types:
    """The types that a graph tells of its inputs, outputs and inner values."""
    every = {one.name: one.type for one in _infos(graph)}
    return Types(
        {name: dtypes.of_type(one) for name, one in every.items()},
        {name: dtypes.shape_of(one) for name, one in every.items()},
    )


def _infos(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    yield from graph.value_info
    yield from graph.output
    yield from graph.input
