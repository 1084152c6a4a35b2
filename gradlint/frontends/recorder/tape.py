"""The growing record of one run: raw nodes and edges, decoded to graph nodes when the run is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gradlint.frontends.recorder.frames import RawFrames, decoded
from gradlint.graph import Edge, Frame, Node, NodeKind, Passage, Reason, ValueKind


@dataclass(slots=True)
class RawNode:
    """One value as it is recorded; see `gradlint.graph.Node` for the fields."""

    kind: NodeKind
    native: str
    call: int = -1
    name: str = ""
    owner: int | None = None
    frames: RawFrames = ()
    value: ValueKind = ValueKind.TENSOR
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    literals: dict[str, Any] = field(default_factory=dict)
    grad_enabled: bool = True
    grad_frame: Frame | None = None
    inplace: bool = False
    requires_grad: bool = False


@dataclass(slots=True)
class Tape:
    """Nodes by number, edges by their two ends. Numbers grow with time."""

    nodes: list[RawNode] = field(default_factory=list)
    edges: dict[tuple[int, int], tuple[Passage, Reason | None]] = field(default_factory=dict)
    calls: int = 0

    def add(self, node: RawNode) -> int:
        """The number of a new node."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def call(self) -> int:
        """The number of a new op call."""
        self.calls += 1
        return self.calls

    def link(self, source: int, target: int, passage: Passage = Passage.FLOWS, reason: Reason | None = None) -> None:
        """Draws an edge; of two edges between the same values the open one stays."""
        if source >= target:
            return
        old = self.edges.get((source, target))
        if old is None or old[0] is not Passage.FLOWS:
            self.edges[source, target] = (passage, reason)

    def unmask(self, target: int) -> None:
        """Opens the edges to a value whose gradient was switched on by hand, because that is asked for."""
        for ends, (_, reason) in self.edges.items():
            if ends[1] == target and reason is Reason.MASKED:
                self.edges[ends] = (Passage.FLOWS, None)

    def decoded_edges(self) -> tuple[Edge, ...]:
        """All edges as graph edges."""
        return tuple(Edge(source, target, *fact) for (source, target), fact in self.edges.items())

    def decoded_nodes(self, canonical: Any, module_name: Any) -> tuple[Node, ...]:
        """All nodes as graph nodes; `canonical` names an op from its native name, `module_name` a module from its
        owner."""
        return tuple(
            Node(
                id=number,
                kind=raw.kind,
                op=canonical(raw.native),
                native=raw.native,
                name=raw.name,
                call=raw.call,
                module=module_name(raw.owner),
                frames=decoded(raw.frames),
                value=raw.value,
                dtype=raw.dtype,
                shape=raw.shape,
                literals=raw.literals,
                grad_enabled=raw.grad_enabled,
                grad_frame=raw.grad_frame,
                inplace=raw.inplace,
            )
            for number, raw in enumerate(self.nodes)
        )
