"""Calls with graphs inside: grad mode, autocast, branches, loops, maps; what is not known stays opaque."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from gradlint.errors import TargetError
from gradlint.frontends.exported_program.lowering import Call, Lowering, Maker, Read, Scope, inside, outputs_of
from gradlint.frontends.exported_program.schema import GRAPH, Argument, Graph, Node, names_in
from gradlint.frontends.static.record import passages
from gradlint.graph import NodeKind, Passage, Reason

PREFIX = "torch.ops.higher_order."
PHI = "phi"
"""The op of a value that is one of several, which a branch or a loop decides."""


def maker_of(node: Node) -> Maker | None:
    """What reads a call with graphs inside; None for any other."""
    if not node.target.startswith(PREFIX):
        return None
    return MAKERS.get(node.target.removeprefix(PREFIX), _other)


def graphs_of(node: Node) -> Iterator[tuple[int, Graph]]:
    """The graphs among the arguments of a call, with their positions; `TargetError` for one that is none."""
    for position, entry in enumerate(node.inputs):
        held = entry.arg.get("as_graph")
        if held is None:
            continue
        try:
            yield position, GRAPH.validate_python(held["graph"])
        except (ValidationError, KeyError, TypeError):
            raise TargetError(f"it is no exported program: a graph inside of {node.target} cannot be read") from None


def reads_after(scope: Scope, node: Node, position: int) -> list[Read]:
    """What the arguments behind a position hold, one entry for each value."""
    return [read for entry in node.inputs[position + 1 :] for read in _reads(scope, entry.arg)]


def reads_at(scope: Scope, node: Node, position: int) -> list[Read]:
    """What one argument holds."""
    return list(_reads(scope, node.inputs[position].arg)) if position < len(node.inputs) else []


def _reads(scope: Scope, argument: Argument) -> list[Read]:
    if "as_graph" in argument:
        return []
    found = [Read(name, scope.values.get(name)) for name in names_in(argument)]
    return found or ([] if _is_empty(argument) else [Read("", None)])


def _is_empty(argument: Argument) -> bool:
    """Whether an argument is a list without items."""
    return any(held == [] for held in argument.values())


def bind(scope: Scope, call: Call, made: Sequence[int | None]) -> None:
    """Gives the outputs of a call the values that a graph inside of it returned."""
    for (name, _), value in zip(outputs_of(call.node), made, strict=False):
        if value is not None:
            scope.values[name] = value


def _with_grad_mode(lowering: Lowering, scope: Scope, call: Call) -> None:
    enabled = next((entry.arg["as_bool"] for entry in call.node.inputs if "as_bool" in entry.arg), True)
    for position, graph in graphs_of(call.node):
        reads = reads_after(scope, call.node, position)
        bind(scope, call, inside(lowering, scope, graph, reads, grad=bool(enabled)))


def _as_it_is(lowering: Lowering, scope: Scope, call: Call) -> None:
    """A graph that is run once on the arguments behind it."""
    for position, graph in graphs_of(call.node):
        bind(scope, call, inside(lowering, scope, graph, reads_after(scope, call.node, position)))


def _branches(lowering: Lowering, scope: Scope, call: Call) -> None:
    """`cond(predicate, then, otherwise, operands)`: each result is one of two."""
    found = list(graphs_of(call.node))
    reads = reads_after(scope, call.node, found[-1][0]) if found else []
    results = [inside(lowering, scope, graph, reads) for _, graph in found]
    tested = [read.value for read in reads_at(scope, call.node, 0) if read.value is not None]
    for position, (name, _) in enumerate(outputs_of(call.node)):
        made = [one[position] for one in results if position < len(one)]
        scope.values[name] = joined(lowering, scope, call, name, [value for value in made if value is not None])
        for test in tested:
            lowering.tape.link(test, scope.values[name], Passage.BLOCKED, Reason.NON_DIFFERENTIABLE)


def joined(lowering: Lowering, scope: Scope, call: Call, name: str, sources: Sequence[int]) -> int:
    """A value that is one of several."""
    number = lowering.made(NodeKind.OP, PHI, scope.metas.get(name), call)
    for source in dict.fromkeys(sources):
        lowering.tape.link(source, number)
        lowering.wanted[number] |= lowering.wanted[source] and lowering.grad
    return number


def _while(lowering: Lowering, scope: Scope, call: Call) -> None:
    """`while_loop(test, body, carried, extra)`: two passes stand for all, each result is carried or made."""
    found = [graph for _, graph in graphs_of(call.node)]
    if len(found) != len(("test", "body")):
        _other(lowering, scope, call)
        return
    begun, extra = reads_at(scope, call.node, 2), reads_at(scope, call.node, 3)
    carried = [read.value for read in begun]
    first = inside(lowering, scope, found[1], [*begun, *extra])
    again = inside(lowering, scope, found[1], [*(Read("", value) for value in first), *extra])
    for position, (name, _) in enumerate(outputs_of(call.node)):
        made = [one[position] for one in (carried, first, again) if position < len(one)]
        scope.values[name] = joined(lowering, scope, call, name, [value for value in made if value is not None])


def _map(lowering: Lowering, scope: Scope, call: Call) -> None:
    """`map_impl(body, mapped, extra)` and `scan(body, initial, mapped, extra)`: one pass stands for all."""
    for position, graph in graphs_of(call.node):
        made = inside(lowering, scope, graph, reads_after(scope, call.node, position))
        for (name, _), value in zip(outputs_of(call.node), made, strict=False):
            if value is not None:
                scope.values[name] = joined(lowering, scope, call, name, [value])


def _other(lowering: Lowering, scope: Scope, call: Call) -> None:
    """A call whose graphs are used in a way that is not known: everything that it makes may depend on all it reads."""
    name = call.node.target.removeprefix("torch.ops.")
    lowering.foreign[call.node.target] = lowering.foreign.get(call.node.target, 0) + 1
    for output, _ in outputs_of(call.node):
        number = lowering.made(NodeKind.OPAQUE, name, scope.metas.get(output), call)
        for operand in call.reads:
            carries = passages.carries(lowering.tape.nodes[operand.value].dtype)
            fact = (Passage.UNKNOWN, Reason.OPAQUE) if carries else (Passage.BLOCKED, Reason.NON_DIFFERENTIABLE)
            lowering.tape.link(operand.value, number, *fact)
            lowering.wanted[number] |= carries and lowering.wanted[operand.value]
        scope.values[output] = number


MAKERS: dict[str, Maker] = {
    "wrap_with_set_grad_enabled": _with_grad_mode,
    "wrap_with_autocast": _as_it_is,
    "wrap": _as_it_is,
    "wrap_activation_checkpoint": _as_it_is,
    "tag_activation_checkpoint": _as_it_is,
    "strict_mode": _as_it_is,
    "invoke_subgraph": _as_it_is,
    "hints_wrapper": _as_it_is,
    "cond": _branches,
    "while_loop": _while,
    "map_impl": _map,
    "map": _map,
    "scan": _map,
    "associative_scan": _other,
}
"""What reads each higher-order op."""
