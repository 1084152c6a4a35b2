"""From a model's nodes to values and edges: names resolved, functions written out, branches and loops opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import onnx

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file import order, schemas
from gradlint.frontends.onnx_file.attributes import input_name, literals, settled
from gradlint.frontends.onnx_file.canonical import Operator, dtype_of, name_of, operator
from gradlint.frontends.onnx_file.faults import Unknown
from gradlint.frontends.onnx_file.places import Places, module_of
from gradlint.frontends.onnx_file.signatures import UNKNOWN, passage, reads_only_shape, variant
from gradlint.frontends.onnx_file.values import Binding, Constant, Scope, Types, Values, checked, constant_of, types_of
from gradlint.frontends.onnx_file.wording import shown
from gradlint.graph import Frame, NodeKind, ValueKind

NESTED = 60
"""Functions in functions and branches in branches; what people write stays below ten."""

Attributes = Mapping[str, onnx.AttributeProto]
FunctionKey = tuple[str, str, str]


@dataclass
class Lowering:
    """The state of one file's reading: what is known of the model, and what was made so far."""

    places: Places
    versions: Mapping[str, int]
    functions: Mapping[FunctionKey, onnx.FunctionProto]
    values: Values = field(default_factory=Values)
    makers: Mapping[str, Maker] = field(default_factory=dict)
    unknown: list[Unknown] = field(default_factory=list)
    depth: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Body:
    """Where a node stands: the names that it can read, what is told of types, the attributes of a function's call."""

    scope: Scope
    types: Types
    given: Attributes = field(default_factory=dict)
    prefix: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One node with its attributes resolved, what it reads (None: left out), and where it stands."""

    proto: onnx.NodeProto
    attributes: Attributes
    reads: Sequence[Binding | None]
    body: Body

    @property
    def label(self) -> str:
        """The node's name, or that of what it makes."""
        return self.body.prefix + (self.proto.name or next(filter(None, self.proto.output), ""))


Maker = Callable[[Lowering, Call], Sequence[Binding]]


def lower(lowering: Lowering, nodes: Sequence[onnx.NodeProto], body: Body) -> None:
    """Reads the nodes of one graph or function in an order in which everything is made before it is read."""
    for proto in order.sorted_nodes(nodes, body.scope):
        attributes = _attributes(proto, body.given)
        reads = [body.scope.find(name) if name else None for name in proto.input]
        call = Call(proto, attributes, reads, body)
        for name, made in zip(proto.output, _made(lowering, call), strict=False):
            if name:
                body.scope.values[name] = made


def _attributes(proto: onnx.NodeProto, given: Attributes) -> Attributes:
    """The attributes of a node, those taken over that the call of the function around it gives."""
    found: dict[str, onnx.AttributeProto] = {}
    for one in proto.attribute:
        outer = given.get(one.ref_attr_name) if one.ref_attr_name else one
        if outer is not None:
            found[one.name] = outer
    return found


def _made(lowering: Lowering, call: Call) -> Sequence[Binding]:
    lowering.seen += 1
    proto = call.proto
    op_type, domain = proto.op_type, proto.domain
    function = lowering.functions.get((domain, op_type, proto.overload)) if lowering.functions else None
    if function is not None:
        return _inlined(lowering, call, function)
    domain = schemas.standard(domain)
    maker = lowering.makers.get(op_type) if not domain else None
    if maker is not None:
        return maker(lowering, call)
    version = call.body.versions.get(domain, schemas.LATEST)
    known = operator(op_type, domain, version)
    if known is None or known.schema is schemas.NOTHING or known.schema.deprecated:
        lowering.unknown.append(Unknown(op_type, domain, version, call.label, lowering.seen))
    return outputs(lowering, call, known)


def deeper(lowering: Lowering, nodes: Sequence[onnx.NodeProto], body: Body) -> None:
    """Reads what lies inside of a node; `TargetError` when it lies too deep, as where a function calls itself."""
    if lowering.depth >= NESTED:
        raise TargetError(f"its functions or branches lie more than {NESTED} deep in one another")
    lowering.depth += 1
    lower(lowering, nodes, body)
    lowering.depth -= 1


def _inlined(lowering: Lowering, call: Call, function: onnx.FunctionProto) -> Sequence[Binding]:
    """What the body of a function makes of a call's inputs."""
    names = zip(function.input, call.reads, strict=False)
    scope = Scope({name: read for name, read in names if read is not None})
    given = {one.name: one for one in function.attribute_proto} | dict(call.attributes)
    types = Types({}, {})
    versions = schemas.versions(function.opset_import) or call.body.versions
    inner = Body(scope, types, given, f"{call.label}/", versions)
    deeper(lowering, function.node, inner)
    return results(scope, function.output, function.name)


def results(scope: Scope, names: Iterable[str], owner: str) -> list[Binding]:
    """What the outputs of a body stand for."""
    found = [(name, scope.find(name)) for name in names]
    missing = next((name for name, one in found if one is None), None)
    if missing is not None:
        raise TargetError(f"`{owner}` returns `{missing}`, which nothing makes")
    return [one for _, one in found if one is not None]


def open_graph(lowering: Lowering, graph: onnx.GraphProto, body: Body, inputs: Sequence[Binding]) -> list[Binding]:
    """What a branch or a loop's body makes, its own inputs bound to some values."""
    scope = Scope(dict(zip((one.name for one in graph.input), inputs, strict=False)), body.scope)
    inner = Body(scope, types_of(graph), body.given, body.prefix, body.versions)
    bind_constants(graph, scope)
    deeper(lowering, graph.node, inner)
    return results(scope, (one.name for one in graph.output), graph.name)


def bind_constants(graph: onnx.GraphProto, scope: Scope) -> None:
    """Binds the initialisers of a graph."""
    for tensor in graph.initializer:
        scope.values[tensor.name] = constant_of(tensor, tensor.name, True)
    for sparse in graph.sparse_initializer:
        scope.values[sparse.values.name] = sparse_constant(sparse, sparse.values.name, True)


def sparse_constant(sparse: onnx.SparseTensorProto, name: str, initialiser: bool) -> Constant:
    """The constant in a sparse tensor."""
    values = constant_of(sparse.values, name, initialiser)
    return Constant(name, checked(sparse.dims, name), values.dtype, None, initialiser)


def outputs(lowering: Lowering, call: Call, known: Operator | None) -> list[Binding]:
    """What a call makes: each output depends on every input, in a way that is not known for a foreign operator."""
    values, proto = lowering.values, call.proto
    tensors, told = _arguments(values, call, known)
    maker = _Maker(call, known, _facts(lowering, call, known, told), tensors, [values.dtype(one) for one in call.reads])
    static = bool(tensors or told) and not (known is not None and known.random)
    static = static and all(node in values.static for _, node in tensors)
    return [_output(values, maker, position, name, static) for position, name in enumerate(proto.output)]


class _Maker(NamedTuple):
    """What the outputs of a call share: its facts as a node, the tensors that it reads by position, all their types."""

    call: Call
    known: Operator | None
    facts: _Facts
    tensors: Sequence[tuple[int, int]]
    read: Sequence[str | None]


class _Facts(NamedTuple):
    """Names, number, place and literals of a call, and the mode that its gradient facts depend on."""

    kind: NodeKind
    name: str
    native: str
    label: str
    number: int
    module: str
    frames: tuple[Frame, ...]
    told: dict[str, object]
    mode: str


def _facts(lowering: Lowering, call: Call, known: Operator | None, told: dict[str, object]) -> _Facts:
    proto, values = call.proto, lowering.values
    about = call.label, values.call(), module_of(proto), lowering.places.of(proto, lowering.seen)
    if known is None:
        native = shown(f"{proto.domain}.{proto.op_type}")
        values.foreign[native] = values.foreign.get(native, 0) + 1
        return _Facts(NodeKind.OPAQUE, native, native, *about, told, "")
    if call.attributes or known.schema.defaults:
        told |= literals(known.op_type, call.attributes, known.schema.defaults)
    told = settled(known.op_type, told)
    name = name_of(known, call.attributes, call.reads) if known.renamed else known.name
    mode = variant(known.op_type, told) if known.moded else known.op_type
    return _Facts(NodeKind.OP, name, known.native, *about, told, mode)


def _output(values: Values, maker: _Maker, position: int, output: str, static: bool) -> int:
    """The node of one output, and the edges that lead to it."""
    call, known, facts, tensors, read = maker
    types = call.body.types
    dtype = types.dtypes.get(output)
    if dtype is None and known is not None:
        own = dtype_of(call.attributes, known.op_type, read) if call.attributes or known.retyped else None
        dtype = own or schemas.output_dtype(known.schema, position, read)
    kind, name, native, label, number, module, frames, told, mode = facts
    shape = types.shapes.get(output)
    node = values.add(
        kind, name, native, label, number, module, frames, ValueKind.TENSOR, dtype, shape, told, static=static
    )
    for place, source in tensors:
        if known is None:
            values.link(source, node, UNKNOWN, place)
        elif not reads_only_shape(known.op_type, place):
            fact = passage(known.op_type, place, position, read[place], dtype, mode)
            values.link(source, node, fact, place)
    return node


def _arguments(values: Values, call: Call, known: Operator | None) -> tuple[list[tuple[int, int]], dict[str, object]]:
    """The tensors that a call reads by position, and the constant numbers by position and by torch's name."""
    tensors: list[tuple[int, int]] = []
    told: dict[str, object] = {}
    weights = known.weights if known is not None else ()
    for position, read in enumerate(call.reads):
        if isinstance(read, int):
            tensors.append((position, read))
        elif read is not None and read.literal is not None and position not in weights:
            told[str(position)] = read.literal
            if name := input_name(call.proto.op_type, position):
                told[name] = read.literal
        elif read is not None:
            tensors.append((position, values.node_of(read)))
    return tensors, told
