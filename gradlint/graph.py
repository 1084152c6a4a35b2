"""The model graph: values, the ops that made them, and how gradient passes along every edge.

A node is one value: a parameter, buffer, input or constant, or one output of an op call (the outputs of one call
share its
`call` number). An edge leads from a value that an op read to a value that it made. The graph is directed and acyclic:
an in-place write makes a new value, recorded loops are unrolled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gradlint.compilation import Compilation
from gradlint.frame import Frame as Frame
from gradlint.training import TrainingStep

if TYPE_CHECKING:
    import networkx as nx


class Passage(StrEnum):
    """How gradient passes along an edge, from the made value back to the read one."""

    FLOWS = "flows"
    BLOCKED = "blocked"
    ZERO = "zero"
    RAISES = "raises"
    UNKNOWN = "unknown"


_PASSING = (Passage.FLOWS, Passage.UNKNOWN)


class Reason(StrEnum):
    """Why an edge does not pass gradient on."""

    MASKED = "masked"
    NUMPY = "numpy"
    SCALAR = "scalar"
    REWRAP = "rewrap"
    DETACH = "detach"
    INTEGER_CAST = "integer-cast"
    NON_DIFFERENTIABLE = "non-differentiable"
    ZERO = "zero"
    GRAD_DISABLED = "grad-disabled"
    CUSTOM_FUNCTION = "custom-function"
    OPAQUE = "opaque"


class NodeKind(StrEnum):
    """Where a value comes from."""

    OP = "op"
    PARAMETER = "parameter"
    BUFFER = "buffer"
    INPUT = "input"
    CONSTANT = "constant"
    OPAQUE = "opaque"


class ValueKind(StrEnum):
    """What carries a value: a framework's tensor, an array outside of it, a Python number, or something unreadable."""

    TENSOR = "tensor"
    ARRAY = "array"
    SCALAR = "scalar"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Moments:
    """Sizes of the elements of a tensor: E[x^2], E[x], and per axis E[x y] of two elements that differ in it alone."""

    square: float
    mean: float = 0.0
    cross: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Signal:
    """How large a value and the gradient that arrives at it are (root mean squares), measured or predicted.

    For an activation, `dead` is the share of its units (the entries of its feature axis) whose derivative is zero
    wherever they were seen, `saturated` the share of elements whose derivative is less than a twentieth of its bound.
    """

    rms: float
    mean: float = 0.0
    gradient_rms: float | None = None
    dead: float | None = None
    saturated: float | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One value and the op call that made it.

    `frames` are the frames that led to the call, innermost first, torch's own left out. `grad_enabled` is the grad mode
    of the call and `grad_frame` the place that switched it off. `shape` and `dtype` are None where unknown, `measured`
    where no forward and backward pass was measured.
    """

    id: int
    kind: NodeKind
    op: str
    native: str = ""
    name: str = ""
    call: int = -1
    module: str = ""
    frames: tuple[Frame, ...] = ()
    value: ValueKind = ValueKind.TENSOR
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    literals: dict[str, Any] = field(default_factory=dict)
    grad_enabled: bool = True
    grad_frame: Frame | None = None
    inplace: bool = False
    measured: Signal | None = None

    @property
    def at(self) -> Frame | None:
        """The innermost frame of the user's own code, else the innermost of all, else None."""
        return next((frame for frame in self.frames if frame.user), self.frames[0] if self.frames else None)


@dataclass(frozen=True, slots=True)
class Edge:
    """A value that an op read and a value that it made, with the gradient fact between them."""

    source: int
    target: int
    passage: Passage = Passage.FLOWS
    reason: Reason | None = None

    @property
    def open(self) -> bool:
        """Whether a gradient can pass."""
        return self.passage in _PASSING


class GradientState(StrEnum):
    """What one trainable parameter received in the backward passes."""

    ARRIVES = "arrives"
    NONE = "none"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True)
class Initialisation:
    """A known initialiser's call on a parameter: the function's name, its literal arguments, its place."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    frame: Frame | None = None
    library: bool = False


UNKNOWN_SIZE = -1
"""Size of an axis of a parameter that source does not tell."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A registered parameter of a model; `UNKNOWN_SIZE` in its shape counts as one element.

    `node` is its value in the graph (None: the forward never touched it); `unused_part` then is the largest part of the
    model around it that was not touched either, `made` the place that built it, `owner_read` whether code of the file
    reads
    the attribute that holds it. `frozen` is the place that switched its gradient off, `moved_by_hand` says that a
    function
    of the file updates it outside of an optimizer, `optimized` whether an optimizer has it (None: no optimizer was
    seen).
    `initialisations` are the calls that filled it, oldest first, the factory of its memory among them;
    `filled_elsewhere` says that an initialising method of the file that did not run reads it.
    `measured_rms` is the root mean square of its first gradient, `moments` are those of its first values where they
    exist, `losses` those that its steps follow.
    """

    name: str
    shape: tuple[int, ...]
    elements: int
    trainable: bool = True
    node: int | None = None
    gradient: GradientState = GradientState.UNMEASURED
    made: Frame | None = None
    frozen: Frame | None = None
    unused_part: str = ""
    owner_read: bool = False
    moved_by_hand: bool = False
    optimized: bool | None = None
    initialisations: tuple[Initialisation, ...] = ()
    filled_elsewhere: bool = False
    measured_rms: float | None = None
    moments: Moments | None = None
    losses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Hidden:
    """A module, parameter or tensor that learns but that `parameters()` of the model does not see.

    `kind` is "module", "parameter" or "tensor"; `holder` the attribute that keeps it, such as `stack.convs`;
    `container`
    the Python type of the holder ("list", "dict", "" for a plain attribute). `non_leaf` says that it was computed
    from a parameter.
    """

    kind: str
    holder: str
    container: str
    names: tuple[str, ...]
    elements: int
    frame: Frame | None
    nodes: tuple[int, ...] = ()
    optimized: bool = False
    non_leaf: bool = False


@dataclass(frozen=True, slots=True)
class FunctionCheck:
    """What was found on a custom autograd function: `fault` is empty when nothing is wrong."""

    name: str
    fault: str
    frame: Frame | None
    call_frame: Frame | None = None
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Model:
    """One model of a graph: its name, where its class or factory stands, how it was captured, its parameters.

    `outputs` are the nodes that its forward returned, `targets` those at which reach is judged, `calls` the places of
    the user's own that call each part, `built` those that built each layer of a library. `trained` says that a loss and
    an optimizer were seen at work on it (or that the caller means to train it). `unapplied` are the initialising
    functions of its file that nothing names. `complete` says that every op that runs is in the graph, `closed` that
    nothing that could not be read may hold or read a parameter; a rule that claims an absence asks for the one that it
    stands on.
    `compiled` says that the program compiles or exports what it defines, `compilation` what the compiler made of this
    model (None: it was not asked).
    """

    name: str
    path: str
    line: int
    capture: str
    inputs: tuple[str, ...] = ()
    reach_at: str = "outputs"
    parameters: tuple[Parameter, ...] = ()
    hidden: tuple[Hidden, ...] = ()
    functions: tuple[FunctionCheck, ...] = ()
    outputs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    calls: dict[str, Frame] = field(default_factory=dict)
    built: dict[str, Frame] = field(default_factory=dict)
    unapplied: tuple[Initialisation, ...] = ()
    trained: bool = False
    complete: bool = True
    closed: bool = True
    compiled: bool = False
    compilation: Compilation | None = None

    @cached_property
    def trainable(self) -> tuple[Parameter, ...]:
        """The registered parameters that require a gradient."""
        return tuple(p for p in self.parameters if p.trainable)

    @cached_property
    def read(self) -> dict[int, Parameter]:
        """The registered parameters that some op reads, by their nodes."""
        return {p.node: p for p in self.parameters if p.node is not None}


class _Values:
    """Nodes by number, and the edges into and out of each by the number of the other end."""

    __slots__ = ("into", "nodes", "out_of")

    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        self.nodes: dict[int, Node] = {node.id: node for node in nodes}
        self.into: dict[int, dict[int, Edge]] = {number: {} for number in self.nodes}
        self.out_of: dict[int, dict[int, Edge]] = {number: {} for number in self.nodes}
        for edge in edges:
            for end in (edge.source, edge.target):
                if end not in self.into:
                    self.into[end], self.out_of[end] = {}, {}
            self.out_of[edge.source][edge.target] = self.into[edge.target][edge.source] = edge


def _closure(start: Iterable[int], beside: dict[int, dict[int, Edge]], follow: Callable[[Edge], bool]) -> set[int]:
    """All nodes that lie on ways along edges that `follow` accepts; `beside` has a node's edges by their other ends."""
    seen = {node for node in start if node in beside}
    waiting = list(seen)
    while waiting:
        for other, edge in beside[waiting.pop()].items():
            if other not in seen and follow(edge):
                seen.add(other)
                waiting.append(other)
    return seen


class ModelGraph:
    """A model with the values of its forward pass (and of its loss, where the loss is known).

    Reach is judged at `model.targets`: the loss values, else the outputs.
    """

    def __init__(
        self,
        model: Model,
        nodes: Iterable[Node],
        edges: Iterable[Edge],
        training: TrainingStep | None = None,
    ) -> None:
        self.model = model
        self.training = training
        self._values = _Values(nodes, edges)

    def for_model(self, model: Model) -> ModelGraph:
        """The same values judged for another model of the same recording."""
        twin = ModelGraph(model, (), (), self.training)
        twin._values = self._values
        return twin

    def __len__(self) -> int:
        return len(self._values.into)

    def __contains__(self, node: int) -> bool:
        return node in self._values.into

    def node(self, node: int) -> Node:
        """The node of this number; `KeyError` when there is none."""
        return self._values.nodes[node]

    @property
    def nodes(self) -> Iterator[Node]:
        """All nodes in the order of their making."""
        return iter(self._values.nodes.values())

    @property
    def edges(self) -> Iterator[Edge]:
        """All edges."""
        return (edge for edges in self._values.out_of.values() for edge in edges.values())

    def incoming(self, node: int) -> Iterator[Edge]:
        """Edges from the values that this one was made of."""
        return iter(self._values.into[node].values())

    def outgoing(self, node: int) -> Iterator[Edge]:
        """Edges to the values that were made of this one."""
        return iter(self._values.out_of[node].values())

    def edge(self, source: int, target: int) -> Edge:
        """The edge between two nodes; `KeyError` when there is none."""
        return self._values.out_of[source][target]

    def digraph(self) -> nx.DiGraph:
        """The values as a graph of networkx: every node's data has its "node", every edge's its "edge"."""
        import networkx

        values: nx.DiGraph = networkx.DiGraph()
        values.add_nodes_from((node.id, {"node": node}) for node in self.nodes)
        values.add_edges_from((edge.source, edge.target, {"edge": edge}) for edge in self.edges)
        return values

    def reaching(self, targets: Iterable[int], follow: Callable[[Edge], bool] = lambda edge: True) -> set[int]:
        """All nodes from which a way along edges that `follow` accepts leads to one of `targets` (these included)."""
        return _closure(targets, self._values.into, follow)

    def reached(self, sources: Iterable[int], follow: Callable[[Edge], bool] = lambda edge: True) -> set[int]:
        """All nodes to which a way along edges that `follow` accepts leads from one of `sources` (these included)."""
        return _closure(sources, self._values.out_of, follow)

    @cached_property
    def flowing(self) -> frozenset[int]:
        """The nodes that a gradient from some target reaches."""
        return frozenset(self.reaching(self.model.targets, lambda edge: edge.passage in _PASSING))

    @cached_property
    def useful(self) -> frozenset[int]:
        """The nodes that some target is computed from, gradient or not."""
        return frozenset(self.reaching(self.model.targets))
