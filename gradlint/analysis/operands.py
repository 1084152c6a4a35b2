"""The arguments of an op call: which value or number stands where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradlint import ops
from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.rule import user_frame

REPEATED = "repeated"
"""Literal of a call that has one tensor at two positions, such as `x * x`."""

SWAPPED = ("__r", "rsub")
"""Native names that begin like this have their operands exchanged: `1 - x`, `1 / x`, `2 ** x`."""

UNCHANGED = frozenset({ops.Kind.CAST, ops.Kind.RESHAPE})
SELECTING = frozenset("getitem gather index_select masked_select narrow select slice take take_along_dim".split())
PASSING = frozenset("dropout feature_dropout alpha_dropout clone contiguous identity to_device".split())
"""Ops that take a value as it is, or some of its entries."""

_NOT_REVERSED = frozenset({"repeat", "reshape", "reshape_as"})

Number = float | int


def inputs(graph: ModelGraph, node: Node) -> tuple[Node, ...]:
    """The values that a call read, in the order of its arguments; one that stands there twice comes once."""
    return tuple([graph.node(edge.source) for edge in graph.incoming(node.id)])


def literal(node: Node, position: int, name: str = "") -> object:
    """The literal argument at a position or of a name; None where there is none."""
    return node.literals.get(str(position), node.literals.get(name) if name else None)


def number(value: object) -> Number | None:
    """A literal as a number; None for any other."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def operand(graph: ModelGraph, node: Node, position: int) -> Node | Number | None:
    """The value or number at a position; None where it is neither, or not known."""
    given = node.literals.get(str(position))
    if given is not None:
        return number(given)
    read = inputs(graph, node)
    if node.literals.get(REPEATED) and len(read) == 1:
        return read[0]
    before = sum(1 for key in node.literals if key.isdigit() and int(key) < position)
    index = position - before
    return read[index] if 0 <= index < len(read) else None


def pair(graph: ModelGraph, node: Node) -> tuple[Node | Number | None, Node | Number | None]:
    """The left and the right operand of a binary op."""
    first, second = operand(graph, node, 0), operand(graph, node, 1)
    return (second, first) if node.native.startswith(SWAPPED) else (first, second)


def is_passed_on(node: Node) -> bool:
    """Whether an op hands on its first argument, or some entries of it, unchanged."""
    if node.kind is not NodeKind.OP or node.value != "tensor":
        return False
    known = ops.facts(node.op)
    unchanged = known is not None and known.kind in UNCHANGED and known.differentiable and not known.aligned
    return unchanged or node.op in SELECTING or node.op in PASSING


def origin(graph: ModelGraph, node: Node) -> Node:
    """The value behind views, casts, selections and dropout."""
    while is_passed_on(node) and (read := inputs(graph, node)):
        node = read[0]
    return node


def copied(graph: ModelGraph, node: Node) -> Node:
    """The value behind views, casts, selections, dropout and copies without history."""
    found = origin(graph, node)
    while found.op == "detach" and (read := inputs(graph, found)):
        found = origin(graph, read[0])
    return found


def is_top_of(graph: ModelGraph, top: Node, value: Node) -> bool:
    """Whether a value is the largest entry of another one."""
    found = copied(graph, top)
    read = inputs(graph, found)
    return found.op in ("max", "amax") and len(read) == 1 and origin(graph, read[0]).id == origin(graph, value).id


def is_top_and_bottom(graph: ModelGraph, left: Node, right: Node) -> bool:
    """Whether one value's largest entry meets its least."""
    top, bottom = origin(graph, left), origin(graph, right)
    same = {one.id for one in inputs(graph, top)} & {one.id for one in inputs(graph, bottom)}
    return top.op in ("max", "amax") and bottom.op in ("min", "amin") and bool(same)


def history(graph: ModelGraph, node: Node) -> Iterator[Node]:
    """All values that one is computed from, itself included."""
    return (graph.node(one) for one in graph.reaching([node.id]))


def readers(graph: ModelGraph, node: Node) -> Iterator[Node]:
    """The calls that read a value."""
    return (graph.node(edge.target) for edge in graph.outgoing(node.id))


def final_readers(graph: ModelGraph, node: Node) -> Iterator[Node]:
    """The calls that read a value through views, casts, selections and dropout."""
    waiting = [(node, reader) for reader in readers(graph, node)]
    while waiting:
        read, reader = waiting.pop(0)
        if is_passed_on(reader) and inputs(graph, reader)[0].id == read.id:
            waiting = [*((reader, further) for further in readers(graph, reader)), *waiting]
        else:
            yield reader


def once(nodes: Iterable[Node]) -> Iterator[Node]:
    """The first call of each place in the user's own code; calls in libraries are left out."""
    seen: set[tuple[str, int, int, str]] = set()
    for node in nodes:
        place = user_frame(node)
        key = (place.path, place.line, place.column, node.op) if place is not None else None
        if key is not None and key not in seen:
            seen.add(key)
            yield node
