"""How values, types, modules and places are written, whatever their names hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import takewhile

from gradlint.frame import Frame
from gradlint.graph import Edge, Node, NodeKind
from gradlint.report.graph.outline import Item, Repeat, flat, parts, paths
from gradlint.report.graph.shown import Call, Shown

TIMES = "\N{MULTIPLICATION SIGN}"
_NUMBERED = re.compile(r"(.*?)(\d+)")


def plain(text: str) -> str:
    """A text on one line: what does not print (line ends, escapes, lone surrogates) is spelled out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def type_of(node: Node) -> str:
    """`float32[2, 8]`, as far as it is known."""
    dtype = plain(node.dtype or "")
    if node.shape is None:
        return dtype
    return f"{dtype}[{', '.join(map(str, node.shape))}]"


def types_of(call: Call) -> str:
    """The types of all values that a call made, those that are known."""
    return ", ".join(filter(None, map(type_of, call.nodes)))


def op_of(call: Call) -> str:
    """The op of a call; of an input, and of what could not be read, the kind."""
    node = call.first
    if node.kind is NodeKind.INPUT:
        return plain(f"input {node.name}".rstrip())
    return plain(node.op or node.kind.value)


def operand(node: Node, module: str) -> str:
    """A parameter, buffer or constant as it is named inside of a module."""
    if not node.name:
        return NodeKind.CONSTANT.value if node.kind is NodeKind.OP else node.kind.value
    inside = f"{module}."
    return plain(node.name.removeprefix(inside) if module else node.name)


def place(frame: Frame | None) -> str:
    """`model.py:22:13`; empty when nothing is known."""
    return f"{plain(frame.path)}:{frame.line}:{frame.column}" if frame else ""


def where(shown: Shown, edge: Edge) -> str:
    """The place to look at for a closed edge: where the grad mode was switched off, else the op."""
    node = shown.graph.node(edge.target)
    switched = node.grad_frame if edge.reason == "grad-disabled" else None
    return place(switched or node.at)


def counted(names: Iterable[str]) -> str:
    """Names in the order of first appearance, each with the number of times if there are several."""
    return ", ".join(f"{name} {TIMES}{n}" if n > 1 else name for name, n in Counter(names).items())


def title(item: Item) -> str:
    """The name of a block, or of the modules that a repetition goes through: `encoder.layers.0-11`."""
    if not isinstance(item, Repeat):
        return plain(next(paths([item]), ""))
    calls = list(flat(item.items))
    twins = (pair for once in reversed(item.rounds) for pair in zip(calls, flat(once), strict=True))
    apart = ((one.first.module, two.first.module) for one, two in twins if one.first.module != two.first.module)
    first, last = next(apart, ("", ""))
    return plain(_span(first, last)) if first else plain(common(item.items))


def common(items: Iterable[Item]) -> str:
    """The module that all calls of some items lie in."""
    modules = [parts(call.first.module) for call in flat(items)]
    shared = zip(*modules, strict=False)
    return ".".join(step[0] for step in takewhile(lambda step: len(set(step)) == 1, shared))


def _span(first: str, last: str) -> str:
    """`layers.0-11` for `layers.0.norm` and `layers.11.norm`, up to the component in which two paths differ."""
    head, tail = parts(first), parts(last)
    pairs = enumerate(zip(head, tail, strict=False))
    depth = next((n for n, (one, two) in pairs if one != two), min(len(head), len(tail)) - 1)
    one, two = _NUMBERED.fullmatch(head[depth]), _NUMBERED.fullmatch(tail[depth])
    end = two[2] if one and two and one[1] == two[1] else tail[depth]
    return ".".join((*head[:depth], f"{head[depth]}-{end}"))
