"""From the calls of an exported program to values and edges; graphs inside of calls are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradlint.errors import TargetError
from gradlint.frontends.exported_program import origins
from gradlint.frontends.exported_program.arguments import Operand, literals, operands
from gradlint.frontends.exported_program.memory import DETACHING, Memory, is_view, is_write, overwrites
from gradlint.frontends.exported_program.schema import Argument, Graph, Node, TensorMeta, names_in
from gradlint.frontends.onnx_file.places import Places
from gradlint.frontends.static.record import passages
from gradlint.frontends.tape import Tape
from gradlint.graph import Frame, NodeKind, Passage, Reason, ValueKind
from gradlint.graph import Node as Value
from gradlint.ops import Kind

MOST_VALUES = 4_000_000
"""Values of one file, with all graphs inside of calls opened."""

NESTED = 60
"""Graphs in graphs; what people write stays below ten."""

OPERATOR = "torch.ops."
AUTHORED = ("torch.ops.aten.", "torch.ops.prims.", "torch.ops.torchvision.", "_operator.")
"""Namespaces whose ops the table of facts knows; any other op is somebody's own."""

LITERAL = "clone"
SAME = {"lift_fresh_copy": LITERAL, "lift_fresh": LITERAL, "lift": LITERAL}
"""aten ops that stand for the making of a constant."""


@dataclass(slots=True, eq=False)
class Scope:
    """The values that the calls of one graph can read by name, and which of them share memory."""

    metas: Mapping[str, TensorMeta]
    values: dict[str, int] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    last_read: dict[str, int] = field(default_factory=dict)
    position: int = 0


@dataclass(slots=True, eq=False)
class Lowering:
    """The state of one file's reading. `wanted` says of each value whether it requires a gradient.

    `grad` is the grad mode, `switch` the place where it was turned off; `foreign` counts ops of somebody's own.
    """

    places: Places
    tape: Tape[Value] = field(default_factory=Tape)
    wanted: list[bool] = field(default_factory=list)
    seen: int = 0
    depth: int = 0
    grad: bool = True
    switch: Frame | None = None
    foreign: dict[str, int] = field(default_factory=dict)

    def add(self, kind: NodeKind, op: str, meta: TensorMeta | None, *, wanted: bool, **facts: Any) -> int:
        """The number of a new value; `TargetError` when there are too many."""
        number = len(self.tape.nodes)
        if number >= MOST_VALUES:
            raise TargetError(f"opened it has more than {MOST_VALUES:,} values")
        told = {"dtype": meta.dtype_name, "shape": meta.shape} if meta else {}
        self.wanted.append(wanted)
        return self.tape.add(Value(number, kind, op, **(told | facts)))

    def made(self, kind: NodeKind, op: str, meta: TensorMeta | None, call: Call, **facts: Any) -> int:
        """The number of a value that a call made."""
        return self.add(
            kind,
            op,
            meta,
            wanted=False,
            native=call.native,
            call=call.number,
            module=call.module,
            frames=call.frames,
            grad_enabled=self.grad,
            grad_frame=None if self.grad else self.switch,
            **facts,
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what it is, where it stands, what it reads; `custom` says that its author wrote its backward."""

    node: Node
    base: str
    native: str
    number: int
    module: str
    frames: tuple[Frame, ...]
    reads: tuple[Operand, ...]
    custom: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """What an input of a graph inside of a call gets: a value by its name outside; None for what is no tensor."""

    name: str
    value: int | None


Maker = Callable[[Lowering, Scope, Call], None]


def lower(lowering: Lowering, graph: Graph, scope: Scope) -> None:
    """Reads all calls of a graph."""
    for position, node in enumerate(graph.nodes):
        for entry in node.inputs:
            for name in names_in(entry.arg):
                scope.last_read[name] = position
    for output in graph.outputs:
        scope.last_read.update(dict.fromkeys(names_in(output), len(graph.nodes)))
    for position, node in enumerate(graph.nodes):
        scope.position = position
        _lower_node(lowering, scope, node)


def _lower_node(lowering: Lowering, scope: Scope, node: Node) -> None:
    from gradlint.frontends.exported_program.higher_order import maker_of

    lowering.seen += 1
    base = origins.base_name(node.target)
    reads = tuple(operands(node.inputs, scope.values))
    special = maker_of(node)
    if special is None and _is_metadata(base, node, reads):
        return
    native = SAME.get(base, origins.native_of(node.target, node.metadata))
    call = Call(
        node,
        base,
        native,
        lowering.tape.call(),
        origins.module_of(node.metadata),
        lowering.places.of_trace(node.metadata.get(origins.TRACE, ""), lowering.seen),
        reads,
        origins.in_custom_function(node.metadata),
    )
    (special or _op)(lowering, scope, call)


def _is_metadata(base: str, node: Node, reads: Sequence[Operand]) -> bool:
    """Whether a call makes nothing that gradient could pass: sizes, assertions, arithmetic on sizes."""
    if not any(map(names_in, node.outputs)):
        return True
    known = passages.found(base)
    if known is not None and known.kind is Kind.METADATA:
        return True
    return not node.target.startswith(OPERATOR) and not reads


def _op(lowering: Lowering, scope: Scope, call: Call) -> None:
    """An op of torch, or one of somebody's own."""
    if is_write(call.base) and call.reads and call.reads[0].place == 0:
        _write(lowering, scope, call)
        return
    told = literals(call.node.inputs)
    for position, (name, tag) in enumerate(outputs_of(call.node)):
        meta = scope.metas.get(name)
        number = lowering.made(*_kind(call), meta, call, literals=told, value=_carrier(tag))
        link(lowering, call, number, position)
        scope.values[name] = number
        if is_view(call.base) and call.reads and call.reads[0].name:
            scope.memory.share(call.reads[0].name, name, call.base in DETACHING)


def _kind(call: Call) -> tuple[NodeKind, str]:
    if not call.node.target.startswith(AUTHORED):
        return NodeKind.OPAQUE, call.node.target.removeprefix(OPERATOR)
    known = passages.found(call.native)
    return NodeKind.OP, known.name if known else call.native


def _carrier(tag: str) -> ValueKind:
    return ValueKind.TENSOR if tag in ("as_tensor", "as_tensors", "as_optional_tensor") else ValueKind.SCALAR


def outputs_of(node: Node) -> Iterator[tuple[str, str]]:
    """The names of what a call makes, in order, each with the tag of its argument."""
    for output in node.outputs:
        for tag in output:
            for name in names_in({tag: output[tag]}):
                yield name, tag


def link(lowering: Lowering, call: Call, number: int, position: int) -> None:
    """Draws the edges from everything that a call read to one value that it made."""
    nodes = lowering.tape.nodes
    made = passages.Made(position, _dtype(nodes[number]))
    own = nodes[number].kind is NodeKind.OPAQUE
    if own and position == 0:
        lowering.foreign[call.node.target] = lowering.foreign.get(call.node.target, 0) + 1
    for operand in call.reads:
        source = nodes[operand.value]
        read = passages.Read(operand.place, _dtype(source), lowering.wanted[operand.value])
        fact = _opaque_fact(read, made) if own else passages.passage(call.native, read, made, lowering.grad)
        if source.value is ValueKind.SCALAR:
            fact = passages.OPEN
        if call.custom and fact not in (None, passages.OPEN):
            fact = (Passage.UNKNOWN, Reason.CUSTOM_FUNCTION)
        if fact is not None:
            lowering.tape.link(operand.value, number, *fact)
            if lowering.grad and fact[0] is not Passage.BLOCKED and lowering.wanted[operand.value]:
                lowering.wanted[number] = True


def _opaque_fact(read: passages.Read, made: passages.Made) -> passages.Fact:
    """Of an op that nobody knows only the types tell something."""
    if passages.carries(read.dtype) and passages.carries(made.dtype):
        return Passage.UNKNOWN, Reason.OPAQUE
    return Passage.BLOCKED, Reason.NON_DIFFERENTIABLE


def _dtype(node: Value) -> str | None:
    """The type that decides whether a value carries gradient: a Python number that left a tensor has none."""
    return node.dtype


def _write(lowering: Lowering, scope: Scope, call: Call) -> None:
    """A write in place: the written value, and all that share its memory and are read later, get a new version."""
    target = call.reads[0].name
    kind, op = _kind(call)
    old = lowering.tape.nodes[call.reads[0].value]
    meta = scope.metas.get(target)
    told = literals(call.node.inputs)
    number = lowering.made(kind, op, meta, call, literals=told, inplace=True, value=old.value)
    link(lowering, call, number, 0)
    for other in scope.memory.sharing(target):
        if scope.last_read.get(other, -1) > scope.position and other in scope.values:
            _spread(lowering, scope, call, (target, number), other)
    for name, _ in outputs_of(call.node):
        scope.values[name] = number
        scope.memory.share(target, name, detached=False)
    scope.values[target] = number


def _spread(lowering: Lowering, scope: Scope, call: Call, written: tuple[str, int], other: str) -> None:
    """Lets a value that shares memory with a written one see the write."""
    name, write = written
    kind, op = _kind(call)
    old = scope.values[other]
    number = lowering.made(kind, op, scope.metas.get(other), call, inplace=True)
    cut = scope.memory.severed(name, other)
    if cut or not overwrites(call.base) or scope.metas.get(other) != scope.metas.get(name):
        lowering.tape.link(old, number)
    lowering.tape.link(write, number, *((Passage.BLOCKED, Reason.DETACH) if cut else passages.OPEN))
    lowering.wanted[number] = lowering.wanted[old] or (lowering.wanted[write] and not cut)
    scope.values[other] = number


def inside(
    lowering: Lowering, scope: Scope, graph: Graph, reads: Sequence[Read], *, grad: bool | None = None
) -> list[int | None]:
    """What a graph inside of a call makes of some values; None for what is no tensor.

    What it writes in place is written outside too. `grad` is its grad mode where that is another one than outside.
    Raises `TargetError` when graphs lie too deep.
    """
    if lowering.depth >= NESTED:
        raise TargetError(f"its graphs lie more than {NESTED} deep in one another")
    own = Scope({**graph.tensor_values})
    names = [name for argument in graph.inputs for name in names_in(argument)]
    given = {name: read for name, read in zip(names, reads, strict=False) if read.value is not None}
    own.values.update((name, read.value) for name, read in given.items() if read.value is not None)
    before = (lowering.grad, lowering.switch)
    if grad is not None and grad != lowering.grad:
        lowering.grad, lowering.switch = grad, _first_place(lowering, graph)
    lowering.depth += 1
    lower(lowering, graph, own)
    lowering.depth -= 1
    lowering.grad, lowering.switch = before
    written = {read.name: own.values[name] for name, read in given.items() if own.values[name] != read.value}
    scope.values.update((name, value) for name, value in written.items() if name in scope.values)
    return [own.values.get(name) for argument in graph.outputs for name in _names_or_none(argument)]


def _names_or_none(argument: Argument) -> Iterator[str]:
    found = names_in(argument)
    yield from found or [""]


def _first_place(lowering: Lowering, graph: Graph) -> Frame | None:
    """The first place in a graph: that of the switch itself is written nowhere."""
    for node in graph.nodes:
        if trace := node.metadata.get(origins.TRACE, ""):
            return next(iter(lowering.places.of_trace(trace, lowering.seen + 1)), None)
    return None
