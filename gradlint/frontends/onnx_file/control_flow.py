"""Constants, branches and loops: operators whose attributes hold a value or a graph.

A branch's result is one of two; a loop's body is read once, and what it hands to its next round is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file import lowering as core
from gradlint.frontends.onnx_file.dtypes import name_of
from gradlint.frontends.onnx_file.lowering import Call, Lowering, Maker, open_graph
from gradlint.frontends.onnx_file.signatures import OPEN
from gradlint.frontends.onnx_file.values import Binding, Constant, constant_of
from gradlint.graph import NodeKind

MOST_NUMBERS = 8


def _constant(_lowering: Lowering, call: Call) -> Sequence[Binding]:
    """The value of a Constant node, of whichever attribute holds it."""
    given = call.attributes
    name = call.label
    if "value" in given:
        return [constant_of(given["value"].t, name, False)]
    if "sparse_value" in given:
        return [core.sparse_constant(given["sparse_value"].sparse_tensor, name, False)]
    for key, dtype in (("value_float", "float32"), ("value_int", "int64")):
        if key in given:
            value = given[key].f if dtype == "float32" else given[key].i
            return [Constant(name, (), dtype, value, False)]
    for key, dtype in (("value_floats", "float32"), ("value_ints", "int64")):
        if key in given:
            values = list(given[key].floats if dtype == "float32" else given[key].ints)
            few = values if dtype == "int64" and len(values) <= MOST_NUMBERS else None
            return [Constant(name, (len(values),), dtype, values[0] if len(values) == 1 else few, False)]
    return [Constant(name, None, "string", None, False)]


def _graph(call: Call, name: str) -> onnx.GraphProto:
    """A graph among a node's attributes; `TargetError` when there is none."""
    attribute = call.attributes.get(name)
    if attribute is None or not attribute.HasField("g"):
        raise TargetError(f"the node `{call.label}` ({call.proto.op_type}) has no graph `{name}`")
    return attribute.g


def _if(lowering: Lowering, call: Call) -> Sequence[Binding]:
    """Both branches; each result is that of one of them."""
    body = call.body
    yes = open_graph(lowering, _graph(call, "then_branch"), body, ())
    no = open_graph(lowering, _graph(call, "else_branch"), body, ())
    return [_one_of(lowering, call, one, other) for one, other in zip(yes, no, strict=False)]


def _one_of(lowering: Lowering, call: Call, *choices: Binding | None) -> Binding:
    values = lowering.values
    nodes = [values.node_of(one) for one in choices if one is not None]
    return values.joined(nodes, lowering.places.of(call.proto, lowering.seen), call.label)


def _loop(lowering: Lowering, call: Call) -> Sequence[Binding]:
    """One round: the state is that before the loop or behind the round, what is collected comes from the round."""
    graph = _graph(call, "body")
    values = lowering.values
    round_number = values.add(NodeKind.OP, "arange", native="onnx::Loop", name=call.label, dtype="int64")
    goes_on = values.add(NodeKind.OP, "arange", native="onnx::Loop", name=call.label, dtype="bool")
    state = [_derived(lowering, call, "identity", _given(call, one)) for one in call.reads[2:]]
    made = open_graph(lowering, graph, call.body, (round_number, goes_on, *state))[1:]
    return _behind(lowering, call, state, made)


def _scan(lowering: Lowering, call: Call) -> Sequence[Binding]:
    """One round over the first slices of what is scanned."""
    graph = _graph(call, "body")
    scanned = call.attributes["num_scan_inputs"].i if "num_scan_inputs" in call.attributes else 0
    reads = list(call.reads)
    # Version 8 has a first input for the lengths of sequences.
    if len(reads) == len(graph.input) + 1:
        reads = reads[1:]
    split = max(len(reads) - max(scanned, 0), 0)
    state = [_derived(lowering, call, "identity", _given(call, one)) for one in reads[:split]]
    slices = [_derived(lowering, call, "select", _given(call, one)) for one in reads[split:]]
    return _behind(lowering, call, state, open_graph(lowering, graph, call.body, (*state, *slices)))


def _sequence_map(lowering: Lowering, call: Call) -> Sequence[Binding]:
    """One call of the body on an item of every sequence."""
    items = [_derived(lowering, call, "select", _given(call, one)) for one in call.reads]
    made = open_graph(lowering, _graph(call, "body"), call.body, items)
    return [_derived(lowering, call, "stack", one) for one in made]


def _behind(lowering: Lowering, call: Call, state: Sequence[Binding], made: Sequence[Binding]) -> Sequence[Binding]:
    """What a loop hands out: its last state, and what every round adds to."""
    last = [_one_of(lowering, call, before, after) for before, after in zip(state, made, strict=False)]
    return [*last, *(_derived(lowering, call, "stack", one) for one in made[len(state) :])]


def _given(call: Call, read: Binding | None) -> Binding:
    """An input of a loop; one that is left out is a constant."""
    return read if read is not None else Constant(call.label, None, name_of(0), None, False)


def _derived(lowering: Lowering, call: Call, name: str, source: Binding) -> Binding:
    """One slice of a value, or all slices of it put together."""
    values = lowering.values
    node = values.node_of(source)
    frames = lowering.places.of(call.proto, lowering.seen)
    dtype = values.nodes[node].dtype
    native = f"onnx::{call.proto.op_type}"
    about = {"name": call.label, "frames": frames, "dtype": dtype, "call": values.call()}
    made = values.add(NodeKind.OP, name, native, static=node in values.static, **about)
    values.link(node, made, OPEN)
    return made


MAKERS: Mapping[str, Maker] = {
    "Constant": _constant,
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    "SequenceMap": _sequence_map,
}
"""The operators of the standard that are not simply a function of their inputs."""
