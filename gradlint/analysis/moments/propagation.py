"""Forward through the values of a graph, and backward from its targets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gradlint import ops
from gradlint.analysis.moments import parts, sources
from gradlint.analysis.moments.calls import Backward, Call, Made, Operand, Value, single, source
from gradlint.analysis.moments.field import Field, constant, independent
from gradlint.analysis.moments.initial import Role, initial
from gradlint.analysis.moments.rules import rules
from gradlint.analysis.moments.views import sampled, viewed
from gradlint.graph import ModelGraph, Node, NodeKind, Parameter, Passage

INTEGERS = ("int", "uint", "bool")
PASSED = (Passage.FLOWS, Passage.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Step:
    """One call: its outputs, how their gradients pass back, and whether these are a guess."""

    call: Call
    backward: Backward
    guessed: bool = False


@dataclass(slots=True)
class Pass:
    """The state of one propagation: a value for each node, the steps taken, and the gradients that arrived.

    `guesses` are the nodes whose value stems from an op without a rule, `unsure` those whose gradient does.
    """

    graph: ModelGraph
    values: dict[int, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    gradients: dict[int, Field] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    guesses: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)


def run(graph: ModelGraph) -> Pass:
    """The moments of every value that the targets are made of, and of their gradients."""
    state = Pass(graph)
    forward(state)
    backward(state)
    return state


def forward(state: Pass) -> None:
    """Goes through the nodes in the order of their making; one without a shape, or behind one, gets no value."""
    parameters = {one.node: one for one in state.graph.model.parameters if one.node is not None}
    for outputs in _calls(state.graph):
        node = outputs[0]
        if node.kind is NodeKind.OP or (node.kind is NodeKind.OPAQUE and any(state.graph.incoming(node.id))):
            _apply(state, outputs)
        elif (value := _leaf(state.graph, node, parameters.get(node.id))) is not None:
            state.values[node.id] = value


def _calls(graph: ModelGraph) -> Iterator[tuple[Node, ...]]:
    """The nodes that the targets are made of, the outputs of one call together."""
    together: dict[int, list[Node]] = {}
    order: list[list[Node]] = []
    for node in graph.nodes:
        if node.id not in graph.useful:
            continue
        if node.call >= 0 and node.kind is NodeKind.OP and node.call in together:
            together[node.call].append(node)
            continue
        order.append([node])
        if node.call >= 0:
            together[node.call] = order[-1]
    return (tuple(nodes) for nodes in order)


def _leaf(graph: ModelGraph, node: Node, parameter: Parameter | None) -> Value | None:
    """A parameter, an input or a constant."""
    if parameter is not None:
        found = initial(parameter, _role(graph, node))
        return Value(found) if found is not None else None
    if node.shape is None:
        return None
    return Value(_seen(node) or independent(node.shape, 1.0))


def _seen(node: Node) -> Field | None:
    """The size of a value as it was measured; None where it was not."""
    if node.measured is None or node.shape is None:
        return None
    mean = node.measured.mean
    return independent(node.shape, max(node.measured.rms**2, mean * mean), mean)


def _role(graph: ModelGraph, node: Node) -> Role:
    """The op that reads a parameter, at which position, and the fan-in of the weight beside it."""
    for edge in graph.outgoing(node.id):
        reader = graph.node(edge.target)
        reads = [graph.node(other.source) for other in graph.incoming(reader.id)]
        position = next((at for at, one in enumerate(reads) if one.id == node.id), 0)
        weight = next((one for one in reads if one.kind is NodeKind.PARAMETER and len(one.shape or ()) > 1), None)
        fan = math.prod(weight.shape[1:]) if weight is not None and weight.shape else None
        return Role(reader.op, position, fan)
    return Role("", 0)


def _apply(state: Pass, outputs: tuple[Node, ...]) -> None:
    node = outputs[0]
    if node.shape is None:
        return
    call = _call(state, outputs)
    if call is None:
        _take_as_seen(state, outputs)
        return
    made = _made(state, call)
    if made is None:
        return
    for output, value in zip(outputs, made.values, strict=False):
        if value is not None:
            state.values[output.id] = value
    state.steps.append(Step(call, made.backward, _is_guess(state, call)))
    if state.steps[-1].guessed and not _is_norm(node):
        state.guesses.update(output.id for output in outputs)


def _take_as_seen(state: Pass, outputs: tuple[Node, ...]) -> None:
    """A value without a gradient that cannot be derived, such as coordinates, counts as it was measured."""
    for output in outputs:
        closed = all(edge.passage not in PASSED for edge in state.graph.incoming(output.id))
        seen = _seen(output) if closed else None
        if seen is not None:
            state.values[output.id] = Value(seen)


def _is_guess(state: Pass, call: Call) -> bool:
    """Whether the size of a result, or of what it passes back, stems from an op without a rule."""
    own = call.node.op in state.unknown and any(read.open for read in call.reads)
    return own or any(read.id in state.guesses for read in call.reads)


def _is_norm(node: Node) -> bool:
    """Whether an op gives its result a size of its own."""
    known = ops.facts(node.op)
    return known is not None and known.kind is ops.Kind.NORM


def _call(state: Pass, outputs: tuple[Node, ...]) -> Call | None:
    """The call with what it read; None when some value of it is not known."""
    reads = []
    for edge in state.graph.incoming(outputs[0].id):
        node = state.graph.node(edge.source)
        value = state.values.get(edge.source)
        if value is None:
            if _is_index(node):
                continue
            return None
        reads.append(Operand(node, value, edge.passage in PASSED))
    return Call(outputs, tuple(reads))


def _is_index(node: Node) -> bool:
    return node.value != "tensor" or (node.dtype or "").startswith(INTEGERS)


def _made(state: Pass, call: Call) -> Made | None:
    """What the op's rule says; a call that no rule fits keeps the size of what it reads."""
    made = _ruled(call)
    if made is None and _is_index(call.node):
        return None
    if made is None:
        state.unknown.add(call.node.op or "opaque")
        return _unmodelled(call)
    return made


def _ruled(call: Call) -> Made | None:
    rule = rules().get(call.node.op)
    if rule is None or not (call.reads or call.node.op in sources.RULES):
        return None
    try:
        return parts.applied(call, rule) or _chosen(call) or rule(call)
    except UNFIT:
        return None


def _chosen(call: Call) -> Made | None:
    return parts.chosen(call) if call.node.op in ("getitem", "select", "slice", "narrow") else None


UNFIT = (IndexError, ValueError, ZeroDivisionError, OverflowError)
"""What a rule raises for arguments of a form that it does not know."""


def _unmodelled(call: Call) -> Made:
    """An op without a rule is taken to keep the size of the first value with gradient that it reads."""
    reads = [read for read in call.reads if read.open and not _is_index(read.node)]
    if not reads:
        return source(_seen(call.node) or independent(call.shape, 1.0))
    same = next((read for read in reads if read.field.elements == call.elements), None)
    if same is None:
        return sampled(call, reads[0])
    shape = same.field.shape
    return single(viewed(same.field, call.shape), lambda g: iter([(same.id, viewed(g, shape))]))


def backward(state: Pass) -> None:
    """Passes the gradients of the targets back, call by call."""
    for target in state.graph.model.targets:
        if (value := state.values.get(target)) is not None and not _is_index(state.graph.node(target)):
            _arrive(state, target, _cotangent(state.graph, value.field))
    for step in reversed(state.steps):
        arrived = tuple(state.gradients.get(output.id) for output in step.call.outputs)
        if any(one is not None for one in arrived):
            closed = {read.id for read in step.call.reads if not read.open}
            _pass(state, step, arrived, closed)


def _pass(state: Pass, step: Step, arrived: Sequence[Field | None], closed: set[int]) -> None:
    try:
        passed = list(step.backward(arrived))
    except UNFIT:
        state.unknown.add(step.call.node.op)
        return
    unsure = step.guessed or any(output.id in state.unsure for output in step.call.outputs)
    for number, gradient in passed:
        if number not in closed and number in state.values:
            _arrive(state, number, gradient)
            if unsure:
                state.unsure.add(number)


def _cotangent(graph: ModelGraph, of: Field) -> Field:
    """One at a loss; independent numbers of size one at every output."""
    loss = graph.model.reach_at == "loss" and of.elements == 1
    return constant(of.shape, 1.0) if loss else independent(of.shape, 1.0)


def _arrive(state: Pass, number: int, gradient: Field) -> None:
    shape = state.values[number].field.shape
    fitted = gradient if gradient.shape == shape else viewed(gradient, shape)
    before = state.gradients.get(number)
    state.gradients[number] = fitted if before is None else parts.together(before, fitted)
