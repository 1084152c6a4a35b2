"""Small model graphs, written by hand."""

from __future__ import annotations

from typing import Any

from gradlint.graph import Edge, Model, ModelGraph, Node, NodeKind, Parameter, Passage, Reason

WIDTH = 4


class Sketch:
    """A graph that grows value by value; every method gives the number of the new one."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.parameters: list[Parameter] = []

    def value(self, kind: NodeKind, op: str = "", **facts: Any) -> int:
        number = len(self.nodes)
        known: dict[str, Any] = {"dtype": "float32", "shape": (2, WIDTH), "call": number}
        self.nodes.append(Node(id=number, kind=kind, op=op, **(known | facts)))
        return number

    def input(self, name: str = "x") -> int:
        return self.value(NodeKind.INPUT, name=name, call=-1)

    def weight(self, name: str) -> int:
        number = self.value(NodeKind.PARAMETER, name=name, call=-1, shape=(WIDTH, WIDTH))
        self.parameters.append(Parameter(name, (WIDTH, WIDTH), WIDTH**2, node=number))
        return number

    def op(self, op: str, *sources: int, module: str = "", closed: Reason | None = None, **facts: Any) -> int:
        number = self.value(NodeKind.OP, op, module=module, **facts)
        passage = Passage.BLOCKED if closed else Passage.FLOWS
        self.edges.extend(Edge(source, number, passage, closed) for source in sources)
        return number

    def linear(self, module: str, source: int, **facts: Any) -> int:
        weight = self.weight(f"{module}.weight" if module else "weight")
        return self.op("linear", source, weight, module=module, **facts)

    def graph(self, *outputs: int, name: str = "Net") -> ModelGraph:
        model = Model(
            name, "net.py", 3, "recorded", parameters=tuple(self.parameters), outputs=outputs, targets=outputs
        )
        return ModelGraph(model, self.nodes, self.edges)


def layers(sketch: Sketch, source: int, count: int, holder: str = "layers", **facts: Any) -> int:
    """A row of residual layers: linear, relu, add."""
    for number in range(count):
        module = f"{holder}.{number}"
        made = sketch.linear(f"{module}.up", source, **facts)
        made = sketch.op("relu", made, module=f"{module}.act")
        source = sketch.op("add", source, made, module=module)
    return source
