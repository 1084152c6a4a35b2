"""Comparisons that guard a value: what is known of it where the comparison holds, and where it does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradlint import ops
from gradlint.analysis.domains import Domain, Zero
from gradlint.analysis.operands import Number, inputs, literal, number, origin, pair
from gradlint.graph import ModelGraph, Node

COMPARED = frozenset("gt ge lt le ne eq".split())
COMBINED = frozenset("bitwise_and bitwise_or bitwise_not logical_and logical_or logical_not".split())
CHECKS = frozenset("isnan isfinite isinf".split())
_OPPOSITE = {"gt": "le", "ge": "lt", "lt": "ge", "le": "gt", "ne": "eq", "eq": "ne"}
_MIRRORED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "ne": "ne", "eq": "eq"}
_INVERTED = ("bitwise_not", "logical_not")
_WRITING = ("setitem", "copy_slices", "masked_fill", "index_put")


@dataclass(frozen=True, slots=True)
class Guard:
    """`value <op> bound`."""

    value: Node
    op: str
    bound: Number


def guard(graph: ModelGraph, test: Node, holds: bool = True) -> Guard | None:
    """What a comparison with a number says where it holds, or where it does not; None for any other test."""
    while test.op in _INVERTED and (read := inputs(graph, test)):
        test, holds = read[0], not holds
    test = origin(graph, test)
    if test.op not in COMPARED:
        return None
    left, right = pair(graph, test)
    op = test.op
    if isinstance(right, Node) and (bound := _bound(left)) is not None:
        left, right, op = right, bound, _MIRRORED[op]
    bound = _bound(right)
    if not isinstance(left, Node) or bound is None:
        return None
    return Guard(left, op if holds else _OPPOSITE[op], bound)


def _bound(value: Node | Number | None) -> Number | None:
    if isinstance(value, Node):
        return 0 if value.op in ("zeros", "zeros_like") else None
    return number(value)


def narrowed(graph: ModelGraph, domain: Domain, value: Node, test: Node, holds: bool) -> Domain:
    """The domain of a value where a test of it holds (or does not)."""
    found = guard(graph, test, holds)
    if found is None or origin(graph, found.value).id != origin(graph, value).id:
        return domain
    if found.op in ("gt", "ge"):
        positive = found.bound > 0 or (found.op == "gt" and found.bound == 0)
        zero = Zero.NEVER if positive else domain.zero
        return replace(domain, low=max(domain.low, float(found.bound)), zero=zero, known=domain.known or positive)
    if found.op in ("lt", "le"):
        return replace(domain, high=min(domain.high, float(found.bound)))
    if found.op == "ne" and found.bound == 0:
        return replace(domain, zero=Zero.NEVER)
    return domain


def replaces_zeros(graph: ModelGraph, node: Node) -> bool:
    """Whether another number was written where a value was 0: `x[x == 0] = eps`, `x.masked_fill(x == 0, eps)`."""
    read = inputs(graph, node)
    written = number(literal(node, 2, "value"))
    found = guard(graph, read[1]) if node.op in _WRITING and len(read) > 1 and written else None
    if found is None or found.op != "eq" or found.bound != 0:
        return False
    return origin(graph, found.value).id == origin(graph, read[0]).id


def compared(graph: ModelGraph, test: Node) -> set[int]:
    """The values that a test looks at, through combinations of tests."""
    if test.op in COMBINED:
        return {value for one in inputs(graph, test) for value in compared(graph, one)}
    if test.op in COMPARED or test.op in CHECKS:
        return {one.id for one in inputs(graph, test)}
    if origin(graph, test).id != test.id:
        return compared(graph, origin(graph, test))
    return set()


def is_comparison(graph: ModelGraph, value: Node) -> bool:
    """Whether a value is the outcome of a comparison, cast to numbers or not."""
    found = origin(graph, value)
    known = ops.facts(found.op)
    if known is not None and known.kind is ops.Kind.CAST:
        return any(is_comparison(graph, one) for one in inputs(graph, found))
    return found.op in COMPARED


ORDERINGS = frozenset({"lt", "le", "gt", "ge"})
PHI = "phi"
"""The op of a value that is one of several."""


def marks_steps(graph: ModelGraph, test: Node) -> bool:
    """Whether positions are compared with lengths: `torch.arange(longest) < lengths[:, None]`, reshaped or not."""
    test = origin(graph, test)
    return test.op in ORDERINGS and any(_positions(graph, one) for one in inputs(graph, test))


def marks_diagonal(graph: ModelGraph, test: Node) -> bool:
    """Whether a mask tells the diagonal from the rest: `~torch.eye(n, dtype=torch.bool)`; each row has both."""
    found = origin(graph, test)
    known = ops.facts(found.op)
    if found.op in _INVERTED or (known is not None and known.kind is ops.Kind.CAST):
        return any(marks_diagonal(graph, one) for one in inputs(graph, found))
    read = inputs(graph, found)
    same = found.op in ("eq", "ne") and len(read) > 1 and all(_positions(graph, one) for one in read)
    return found.op == "eye" or same


def _positions(graph: ModelGraph, node: Node) -> bool:
    found = origin(graph, node)
    known = ops.facts(found.op)
    if found.op == PHI or (known is not None and known.kind is ops.Kind.CAST):
        return any(_positions(graph, one) for one in inputs(graph, found))
    return found.op == "arange"
