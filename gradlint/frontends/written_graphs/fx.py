"""A model graph as a `torch.fx.Graph`.

Its nodes, names and order are those of the graph; it is there to be read and walked. Arguments that no front-end keeps,
such as callables and long tuples, are missing, so it need not run.
"""

from __future__ import annotations

import keyword
import operator
import re
from collections.abc import Callable
from typing import Any

import torch

from gradlint import ops
from gradlint.frontends.written_graphs.calls import Call, calls, identifier
from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.recording import decode

HOMES = (torch.nn.functional, torch, torch.linalg, torch.special, torch.fft, torch.Tensor)
"""Where a function of torch is looked for, the plainest first."""

_UNFIT = re.compile(r"[^\w.]", re.ASCII)
"""What must not stand in the name of an attribute, since torch writes it into code as it is."""

FACTS = "gradient"
"""The key of a node's meta data that holds the facts of its edges: by source, how gradient passes."""


def code(job: dict[str, Any]) -> dict[str, Any]:
    """The code of the graph in a job's recording, in the worker's child."""
    (graph,) = decode(job["recording"]).graphs()
    return {"code": fx_graph(graph, job["kept"]).python_code("self").src}


def fx_graph(graph: ModelGraph, kept: list[int]) -> torch.fx.Graph:
    """The part `kept` of a graph."""
    made = torch.fx.Graph()
    values: dict[int, torch.fx.Node] = {}
    numbers = set(kept)
    for node in graph.nodes:
        if node.id in numbers and node.kind is NodeKind.INPUT:
            values[node.id] = made.placeholder(identifier(node.name, "input"))
    for call in calls(graph, kept):
        for number in call.operands:
            if number not in values:
                values[number] = _leaf(made, graph.node(number))
        _call(made, values, call)
    outputs = [values[number] for number in graph.model.outputs or graph.model.targets if number in values]
    made.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
    return made


def _leaf(made: torch.fx.Graph, node: Node) -> torch.fx.Node:
    """A parameter, buffer or constant: an attribute of the module."""
    parts = (f"{part}_" if keyword.iskeyword(part) else part for part in _UNFIT.sub("_", node.name).split("."))
    name = ".".join(parts) or f"constant_{node.id}"
    return made.create_node("get_attr", name, name=identifier(name, "value"))


def _call(made: torch.fx.Graph, values: dict[int, torch.fx.Node], call: Call) -> None:
    read = [values[number] for number in call.operands]
    facts = ops.facts(call.first.op)
    listed = facts is not None and facts.kind is ops.Kind.JOIN
    args = _placed([read] if listed else read, {place: _plain(value) for place, value in call.positional.items()})
    options = {name: _plain(value) for name, value in call.named.items() if name.isidentifier()}
    result = made.call_function(_function(call.first), tuple(args), options)
    result.meta[FACTS] = {str(values[e.source]): (e.passage.value, e.reason and e.reason.value) for e in call.edges}
    result.meta["module"] = call.first.module
    values[call.first.id] = result
    if len(call.nodes) > 1:
        for place, node in enumerate(call.nodes):
            values[node.id] = made.call_function(operator.getitem, (result, place))


def _placed(operands: list[Any], literals: dict[int, Any]) -> list[Any]:
    """Operands fill the places that no literal takes."""
    args: list[Any] = []
    waiting = iter(operands)
    for place in range(len(operands) + len(literals)):
        args.append(literals[place] if place in literals else next(waiting, None))
    return args


def _plain(value: Any) -> Any:
    """A literal as an argument: the name of a type becomes the type."""
    if isinstance(value, str) and isinstance(getattr(torch, value, None), torch.dtype):
        return getattr(torch, value)
    return tuple(value) if isinstance(value, list) else value


def _function(node: Node) -> Callable[..., Any]:
    """torch's function for an op; one of its name that cannot be called where torch has none."""
    name = node.op
    found = (getattr(home, name, None) for home in HOMES)
    return next((function for function in found if callable(function)), None) or _unknown(name)


def _unknown(name: str) -> Callable[..., Any]:
    def unknown(*args: Any, **options: Any) -> Any:
        raise NotImplementedError(f"{name} is known by its name only")

    unknown.__name__ = unknown.__qualname__ = identifier(name, "op")
    unknown.__module__ = "gradlint"
    return unknown
