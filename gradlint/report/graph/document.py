"""A graph as JSON: every value and edge, without folding. Fields are added, never changed.

`GraphDocument.model_json_schema()` describes it. Read back with `GraphDocument.model_validate_json(text).graph()`.
"""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gradlint import __version__
from gradlint.analysis.reach import reach
from gradlint.frame import Frame
from gradlint.graph import Edge, Model, ModelGraph, Node, NodeKind, Parameter, Passage, Reason, ValueKind
from gradlint.report.graph.shown import Shown

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Place(_Part):
    """A position in a source: 1-based, `column` in code points, `end_column` exclusive, 0 where an end is unknown."""

    path: str
    line: int
    column: int = 1
    end_line: int = 0
    end_column: int = 0
    function: str = ""
    user: bool = Field(True, description="Whether it is the user's own code, not a library's.")


class Value(_Part):
    """One value and the op call that made it; the outputs of one call share its number."""

    id: int
    kind: NodeKind
    op: str = Field(description="Canonical name of the op; empty for what no op made.")
    native: str = Field("", description="The framework's own name of the op.")
    name: str = Field("", description="Name of a parameter, buffer or input.")
    call: int = -1
    module: str = Field("", description="Dotted path of the module that ran.")
    value: ValueKind = ValueKind.TENSOR
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    literals: dict[str, Any] = Field(default_factory=dict, description="Plain arguments by position or name.")
    grad_enabled: bool = True
    grad_place: Place | None = Field(None, description="Where the grad mode was switched off.")
    inplace: bool = False
    frames: tuple[Place, ...] = Field((), description="The frames that led to the call, innermost first.")


class Flow(_Part):
    """How gradient passes from a made value (`target`) back to one that was read (`source`)."""

    source: int
    target: int
    passage: Passage = Passage.FLOWS
    reason: Reason | None = None


class Weight(_Part):
    """A registered parameter; `node` is its value in the graph, None when the forward pass never touches it."""

    name: str
    shape: tuple[int, ...]
    elements: int
    trainable: bool = True
    node: int | None = None
    starved: bool = Field(False, description="Trainable, and gets no gradient.")
    unused: bool = Field(False, description="Trainable, and nothing is computed from it.")


class GraphDocument(_Part):
    """A model graph. `targets` are the nodes at which reach is judged: the loss, else the outputs."""

    schema_version: int = SCHEMA_VERSION
    gradlint: str = __version__
    name: str
    path: str
    line: int
    capture: str = Field(description="recorded, exported, onnx or source.")
    complete: bool = Field(True, description="Whether every op that runs is in the graph.")
    reach_at: str = "outputs"
    inputs: tuple[str, ...] = ()
    outputs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    parameters: tuple[Weight, ...] = ()
    nodes: tuple[Value, ...] = ()
    edges: tuple[Flow, ...] = ()

    def graph(self) -> ModelGraph:
        """The graph that this document describes."""
        model = Model(
            name=self.name,
            path=self.path,
            line=self.line,
            capture=self.capture,
            inputs=self.inputs,
            reach_at=self.reach_at,
            parameters=tuple(Parameter(w.name, w.shape, w.elements, w.trainable, w.node) for w in self.parameters),
            outputs=self.outputs,
            targets=self.targets,
            complete=self.complete,
        )
        edges = (Edge(flow.source, flow.target, flow.passage, flow.reason) for flow in self.edges)
        return ModelGraph(model, map(_node, self.nodes), edges)


def document(shown: Shown) -> GraphDocument:
    """The document of a graph: its calls' values, and the parameters, buffers and constants that these read."""
    graph, model = shown.graph, shown.graph.model
    read = {edge.source for call in shown.calls for edge in call.edges}
    weights = {p.node for p in model.parameters if p.node is not None}
    kept = {number for number in shown.own | read | weights if number in graph}
    result = reach(graph)
    return GraphDocument(
        name=model.name,
        path=model.path,
        line=model.line,
        capture=model.capture,
        complete=model.complete,
        reach_at=model.reach_at,
        inputs=model.inputs,
        outputs=tuple(number for number in model.outputs if number in kept),
        targets=tuple(number for number in model.targets if number in kept),
        parameters=tuple(_weight(p, set(result.starved), set(result.unused)) for p in model.parameters),
        nodes=tuple(_value(node) for node in graph.nodes if node.id in kept),
        edges=tuple(
            Flow(source=e.source, target=e.target, passage=e.passage, reason=e.reason)
            for number in sorted(shown.own)
            for e in graph.incoming(number)
            if e.source in kept
        ),
    )


def render(shown: Shown, depth: int | None = None) -> str:  # noqa: ARG001
    """The document as text in ASCII, which every terminal shows."""
    return json.dumps(document(shown).model_dump(), indent=1, allow_nan=False) + "\n"


def _weight(parameter: Parameter, starved: set[str], unused: set[str]) -> Weight:
    name = parameter.name
    return Weight(
        name=name,
        shape=parameter.shape,
        elements=parameter.elements,
        trainable=parameter.trainable,
        node=parameter.node,
        starved=name in starved,
        unused=name in unused,
    )


def _value(node: Node) -> Value:
    return Value(
        id=node.id,
        kind=node.kind,
        op=node.op,
        native=node.native,
        name=node.name,
        call=node.call,
        module=node.module,
        value=node.value,
        dtype=node.dtype,
        shape=node.shape,
        literals={key: _finite(value) for key, value in node.literals.items()},
        grad_enabled=node.grad_enabled,
        grad_place=_place(node.grad_frame) if node.grad_frame else None,
        inplace=node.inplace,
        frames=tuple(map(_place, node.frames)),
    )


def _finite(value: Any) -> Any:
    """JSON has no infinity: it is written as text."""
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _place(frame: Frame) -> Place:
    return Place(
        path=frame.path,
        line=frame.line,
        column=frame.column,
        end_line=frame.end_line,
        end_column=frame.end_column,
        function=frame.function,
        user=frame.user,
    )


def _frame(place: Place) -> Frame:
    return Frame(place.path, place.line, place.column, place.end_line, place.end_column, place.function, place.user)


def _node(value: Value) -> Node:
    return Node(
        id=value.id,
        kind=value.kind,
        op=value.op,
        native=value.native,
        name=value.name,
        call=value.call,
        module=value.module,
        frames=tuple(map(_frame, value.frames)),
        value=value.value,
        dtype=value.dtype,
        shape=value.shape,
        literals=value.literals,
        grad_enabled=value.grad_enabled,
        grad_frame=_frame(value.grad_place) if value.grad_place else None,
        inplace=value.inplace,
    )
