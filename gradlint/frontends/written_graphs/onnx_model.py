"""A model graph as an ONNX model.

An op is one of the standard's where all its arguments have a place there, else one of the domain `gradlint`, with
these as attributes. Parameters, buffers and constants become inputs: a graph holds no weights. Facts, modules and
places stand in the metadata of nodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

from gradlint import __version__, ops
from gradlint.frontends.written_graphs.calls import Call, calls
from gradlint.graph import ModelGraph, Node, NodeKind

DOMAIN = "gradlint"
OPSET = 20
IR = 10
"""ONNX 1.16 reads both; metadata of nodes came with IR 10."""

STACK = "pkg.torch.onnx.stack_trace"
SCOPES = "pkg.torch.onnx.name_scopes"
"""Where torch's own exporter writes the author's lines and the modules."""

PASSAGE = "gradlint.passage"
BINARY = frozenset({"add", "sub", "mul", "div", "pow", "maximum", "minimum", "eq", "lt", "gt", "le", "ge"})
ALONE = frozenset(
    "relu sigmoid tanh exp log sqrt abs neg sin cos tan asin acos atan sinh cosh erf floor ceil round sign reciprocal "
    "softsign mish selu clone matmul prelu".split()
)
"""Ops without arguments beside tensors, in ONNX as in torch."""

Made = tuple[str, dict[str, Any]]
"""An op type of the standard and its attributes."""


def model_of(graph: ModelGraph, kept: Sequence[int]) -> onnx.ModelProto:
    """The part `kept` of a graph."""
    names = {node.id: _name(node) for node in graph.nodes}
    ops_made = list(calls(graph, kept))
    read = {number for call in ops_made for number in call.operands}
    made = {node.id for call in ops_made for node in call.nodes}
    inputs = [
        n for n in graph.nodes if n.id not in made and (n.id in read or (n.kind is NodeKind.INPUT and n.id in kept))
    ]
    ends = [number for number in dict.fromkeys(graph.model.outputs or graph.model.targets) if number in names]
    proto = helper.make_graph(
        [node for call in ops_made for node in _nodes(graph, call, names)],
        graph.model.name or "model",
        [_value(node, names) for node in inputs],
        [_value(graph.node(number), names) for number in ends if number in made or number in read],
        value_info=[_value(n, names) for call in ops_made for n in call.nodes if n.id not in ends and n.dtype],
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(
        proto, opset_imports=imports, ir_version=IR, producer_name="gradlint", producer_version=__version__
    )


def written(graph: ModelGraph, kept: Sequence[int]) -> bytes:
    """The bytes of an `.onnx` file."""
    return bytes(model_of(graph, kept).SerializeToString())


def _name(node: Node) -> str:
    """A name that no other value has."""
    text = (node.name or node.op or node.kind.value).encode("utf-8", "backslashreplace").decode()
    return text if node.kind is NodeKind.PARAMETER and node.name else f"{text}_{node.id}"


def _value(node: Node, names: dict[int, str]) -> onnx.ValueInfoProto:
    sizes: Sequence[Any] | None = node.shape
    return helper.make_tensor_value_info(names[node.id], _element_type(node.dtype), sizes)


def _element_type(dtype: str | None) -> int:
    """The number of an element type; float32 where it is not known, since an input must have one."""
    found = getattr(
        TensorProto, {"float32": "FLOAT", "float64": "DOUBLE"}.get(dtype or "", (dtype or "").upper()), None
    )
    return found if isinstance(found, int) else TensorProto.FLOAT


def _nodes(graph: ModelGraph, call: Call, names: dict[int, str]) -> Iterator[onnx.NodeProto]:
    inputs = [names[number] for number in call.operands]
    outputs = [names[node.id] for node in call.nodes]
    scalar = _scalar(call)
    if scalar is not None and call.first.op in BINARY:
        inputs.append(f"{outputs[0]}_scalar")
        number = helper.make_tensor(inputs[-1], _element_type(call.first.dtype), [], [scalar])
        yield helper.make_node("Constant", [], [inputs[-1]], value=number)
    standard = _standard(graph, call, len(inputs))
    if standard is None or not _fits(standard[0], len(inputs)):
        node = helper.make_node(_op_type(call), inputs, outputs, domain=DOMAIN, **_attributes(call))
    else:
        node = helper.make_node(standard[0], inputs, outputs, **standard[1])
    node.name = f"{call.first.module}/{outputs[0]}" if call.first.module else outputs[0]
    for key, value in _metadata(graph, call, names):
        entry = node.metadata_props.add()
        entry.key, entry.value = key, value
    yield node


def _op_type(call: Call) -> str:
    return call.first.op or "opaque"


def _scalar(call: Call) -> float | None:
    """The plain number that a binary op has for its second operand."""
    value = call.argument(1, "other")
    plain = type(value) in (int, float) and len(call.operands) == 1
    return value if plain and len(call.positional) + len(call.named) == 1 and value == value else None


def _standard(graph: ModelGraph, call: Call, inputs: int) -> Made | None:
    """The standard's op for a call, where nothing of the call would be lost."""
    facts = ops.facts(call.first.op)
    if call.first.kind is not NodeKind.OP or facts is None or len(call.nodes) != 1 or "repeated" in call.first.literals:
        return None
    if call.first.op in BINARY and inputs == 2 and (_scalar(call) is not None or not _has_arguments(call)):
        return facts.onnx[0], {}
    if call.first.op in ALONE and facts.onnx and not _has_arguments(call):
        return facts.onnx[0], {}
    adapter = ADAPTERS.get(call.first.op)
    return adapter(graph, call) if adapter is not None else None


def _fits(op_type: str, inputs: int) -> bool:
    """Whether an op of the standard takes so many inputs."""
    schema = onnx.defs.get_schema(op_type, OPSET)
    return bool(schema.min_input <= inputs <= schema.max_input)


def _has_arguments(call: Call) -> bool:
    return bool(call.positional or call.named)


def _softmax(graph: ModelGraph, call: Call) -> Made | None:  # noqa: ARG001
    axis = call.argument(1, "dim")
    alone = len(call.positional) + len(call.named) == 1
    return ({"softmax": "Softmax"}.get(call.first.op, "LogSoftmax"), {"axis": axis}) if _int(axis) and alone else None


def _cat(graph: ModelGraph, call: Call) -> Made | None:  # noqa: ARG001
    axis = call.argument(1, "dim", 0)
    return ("Concat", {"axis": axis}) if _int(axis) and len(call.positional) + len(call.named) <= 1 else None


def _linear(graph: ModelGraph, call: Call) -> Made | None:
    """`Gemm` is linear's for matrices alone."""
    flat = graph.node(call.operands[0]).shape if call.operands else None
    matrix = flat is not None and len(flat) == len(("batch", "features"))
    return ("Gemm", {"transB": 1}) if matrix and len(call.operands) > 1 and not _has_arguments(call) else None


def _int(value: Any) -> bool:
    return type(value) is int


ADAPTERS: dict[str, Callable[[ModelGraph, Call], Made | None]] = {
    "softmax": _softmax,
    "log_softmax": _softmax,
    "cat": _cat,
    "linear": _linear,
}
"""Ops with arguments that the standard has too."""


def _attributes(call: Call) -> dict[str, Any]:
    """The plain arguments of a call: what ONNX has no type for is written as JSON."""
    told = {f"arg{place}": value for place, value in call.positional.items()} | dict(call.named)
    return {name: _attribute(value) for name, value in told.items() if value is not None and name != "domain"}


def _attribute(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    numbers = isinstance(value, (list, tuple)) and value and all(type(item) is int for item in value)
    if isinstance(value, (int, float)) or numbers:
        return value
    return value.encode("utf-8", "backslashreplace") if isinstance(value, str) else json.dumps(value, default=str)


def _metadata(graph: ModelGraph, call: Call, names: dict[int, str]) -> Iterator[tuple[str, str]]:
    """The module, the author's lines, and the facts of edges that are not open."""
    if call.first.module:
        yield SCOPES, repr(["", call.first.module, ""])
    lines = [f'File "{f.path}", line {f.line}, in {f.function or "forward"}' for f in reversed(call.first.frames)]
    if lines:
        yield STACK, "\n".join(lines).encode("utf-8", "backslashreplace").decode()
    for edge in call.edges:
        if edge.passage != "flows":
            reason = f": {edge.reason.value}" if edge.reason else ""
            yield f"{PASSAGE}.{names[edge.source]}", f"{edge.passage.value}{reason}"
    del graph
