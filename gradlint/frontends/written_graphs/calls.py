"""The ops of a graph in order, each call once, with its operands and its arguments apart."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gradlint.graph import Edge, ModelGraph, Node, NodeKind

TWOFOLD = frozenset({"exported", "onnx"})
"""How graphs are captured whose literals have both a position and a name."""

IGNORED = frozenset({"repeated", "inplace", "_stacklevel"})
"""Literals that change no value."""

_UNFIT = re.compile(r"\W", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """One op call: the values that it made and read, with plain arguments by position and by name."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    positional: Mapping[int, Any]
    named: Mapping[str, Any]

    @property
    def first(self) -> Node:
        """The first value that it made."""
        return self.nodes[0]

    @property
    def operands(self) -> tuple[int, ...]:
        """The values that it read, in the order of its arguments."""
        return tuple(dict.fromkeys(edge.source for edge in self.edges))

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """A plain argument by its position or its name."""
        return self.positional.get(position, self.named.get(name, default))


def calls(graph: ModelGraph, kept: Iterable[int]) -> Iterator[Call]:
    """The op calls that made some values, in the order of execution."""
    numbers = set(kept)
    made = [node for node in graph.nodes if node.id in numbers and node.kind in (NodeKind.OP, NodeKind.OPAQUE)]
    for _, group in groupby(made, key=lambda n: (n.call, n.id if n.call < 0 else -1, n.op, n.module)):
        nodes = tuple(group)
        edges = tuple(edge for node in nodes for edge in graph.incoming(node.id) if edge.source in numbers)
        own = {node.id for node in nodes}
        positional, named = _arguments(graph.model.capture, nodes[0].literals)
        yield Call(nodes, tuple(edge for edge in edges if edge.source not in own), positional, named)


def _arguments(capture: str, literals: Mapping[str, Any]) -> tuple[dict[int, Any], dict[str, Any]]:
    positional: dict[int, Any] = {}
    named: dict[str, Any] = {}
    twin: Any = None
    for key, value in literals.items():
        if key.isdigit():
            positional[int(key)] = twin = value
        elif key not in IGNORED and not (capture in TWOFOLD and twin is not None and value == twin):
            named[key] = value
    return positional, named


def identifier(text: str, default: str) -> str:
    """A text as a name of Python."""
    name = _UNFIT.sub("_", text)
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"{default}_{name}".rstrip("_")
