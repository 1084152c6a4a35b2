"""The growing record of what was evaluated: raw nodes and edges, decoded to graph nodes when it is judged."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradlint import ops
from gradlint.frame import Frame
from gradlint.frontends import tape
from gradlint.graph import Node, NodeKind, ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Activation

FRAMES_KEPT = 16
"""Frames that are kept of one call, as the recorder does."""

PHI = "phi"
"""The op of a value that is one of several, by what is not known (static single assignment's word for it)."""


@dataclass(slots=True, eq=False)
class RawNode:
    """One value as it was evaluated; see `gradlint.graph.Node` for the fields.

    `at` and `activation` are the expression and the running function it stands in; `owner` the running module;
    `requires_grad` is None where that is not known; `overwrote` is the value in whose memory an in-place op wrote this
    one.
    """

    kind: NodeKind
    native: str
    at: ast.AST | None = None
    activation: Activation | None = None
    call: int = -1
    name: str = ""
    owner: Any = None
    value: ValueKind = ValueKind.TENSOR
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    literals: dict[str, Any] = field(default_factory=dict)
    grad_enabled: bool = True
    grad_frame: Frame | None = None
    inplace: bool = False
    requires_grad: bool | None = None
    overwrote: int = -1


@dataclass(slots=True, eq=False)
class Tape(tape.Tape[RawNode]):
    """The tape of an evaluation."""

    def decoded_nodes(self, module_names: dict[int, str]) -> tuple[Node, ...]:
        """All nodes as graph nodes; `module_names` are the modules' dotted names by the identity of their values."""
        return tuple(
            Node(
                id=number,
                kind=raw.kind,
                op=canonical(raw.native),
                native=raw.native,
                name=raw.name,
                call=raw.call,
                module=module_names.get(id(raw.owner), ""),
                frames=frames_of(raw.at, raw.activation),
                value=raw.value,
                dtype=raw.dtype,
                shape=_whole(raw.shape),
                literals=raw.literals,
                grad_enabled=raw.grad_enabled,
                grad_frame=raw.grad_frame,
                inplace=raw.inplace,
            )
            for number, raw in enumerate(self.nodes)
        )


def _whole(shape: tuple[int | None, ...] | None) -> tuple[int, ...] | None:
    known = tuple(size for size in shape or () if size is not None)
    return known if shape is not None and len(known) == len(shape) else None


def frames_of(at: ast.AST | None, activation: Activation | None) -> tuple[Frame, ...]:
    """The frames that led to an expression, innermost first."""
    found: list[Frame] = []
    while activation is not None and at is not None and len(found) < FRAMES_KEPT:
        found.append(activation.frame(at))
        at, activation = activation.call, activation.outer
    return tuple(found)


@functools.cache
def canonical(native: str) -> str:
    """The canonical name of an op; the native one where the vocabulary has none."""
    known = ops.lookup("torch", native.removeprefix("get:").removeprefix("set:"))
    return known.name if known else native
