"""The growing record of one run: raw nodes and edges, decoded to graph nodes when the run is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gradlint.frontends import tape
from gradlint.frontends.recorder.frames import RawFrames, decoded
from gradlint.frontends.recorder.gauge import Reading
from gradlint.graph import Frame, Node, NodeKind, Passage, Reason, ValueKind


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
    reading: Reading | None = None


@dataclass(slots=True)
class Tape(tape.Tape[RawNode]):
    """The tape of a recorded run."""

    def unmask(self, target: int) -> None:
        """Opens the edges to a value whose gradient was switched on by hand, because that is asked for."""
        for ends, (_, reason) in self.edges.items():
            if ends[1] == target and reason is Reason.MASKED:
                self.edges[ends] = (Passage.FLOWS, None)

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
                measured=raw.reading.signal() if raw.reading is not None else None,
            )
            for number, raw in enumerate(self.nodes)
        )
