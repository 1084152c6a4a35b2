"""What the growing records of the front-ends share: values by number, edges by their two ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gradlint.graph import Edge, Passage, Reason

RawNode = TypeVar("RawNode")
Fact = tuple[Passage, Reason | None]


@dataclass(slots=True, eq=False)
class Tape(Generic[RawNode]):
    """Nodes by number, edges by their two ends. Numbers grow with time.

    `sources` are the nodes that edges lead from, by the node that they lead to.
    """

    nodes: list[RawNode] = field(default_factory=list)
    edges: dict[tuple[int, int], Fact] = field(default_factory=dict)
    calls: int = 0
    sources: dict[int, list[int]] = field(default_factory=dict)

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
        if not 0 <= source < target:
            return
        old = self.edges.get((source, target))
        if old is None:
            self.sources.setdefault(target, []).append(source)
        if old is None or old[0] is not Passage.FLOWS:
            self.edges[source, target] = (passage, reason)

    def erase(self, number: int) -> None:
        """Takes the youngest edges back until that many are left."""
        while len(self.edges) > number:
            (_, target), _ = self.edges.popitem()
            self.sources[target].pop()
            if not self.sources[target]:
                del self.sources[target]

    def decoded_edges(self) -> tuple[Edge, ...]:
        """All edges as graph edges."""
        return tuple(Edge(source, target, *fact) for (source, target), fact in self.edges.items())
