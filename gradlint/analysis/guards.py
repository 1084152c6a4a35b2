"""Comparisons that guard a value: what is known of it where the comparison holds, and where it does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradlint.analysis.domains import Domain, Zero
from gradlint.analysis.operands import Number, inputs, number, origin, pair
from gradlint.graph import ModelGraph, Node

COMPARED = frozenset("gt ge lt le ne eq".split())
COMBINED = frozenset("bitwise_and bitwise_or bitwise_not logical_and logical_or logical_not".split())
CHECKS = frozenset("isnan isfinite isinf".split())
_OPPOSITE = {"gt": "le", "ge": "lt", "lt": "ge", "le": "gt", "ne": "eq", "eq": "ne"}
_MIRRORED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "ne": "ne", "eq": "eq"}
_INVERTED = ("bitwise_not", "logical_not")


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


def compared(graph: ModelGraph, test: Node) -> set[int]:
    """The values that a test looks at, through combinations of tests."""
    if test.op in COMBINED:
        return {value for one in inputs(graph, test) for value in compared(graph, one)}
    if test.op in COMPARED or test.op in CHECKS:
        return {one.id for one in inputs(graph, test)}
    if origin(graph, test).id != test.id:
        return compared(graph, origin(graph, test))
    return set()
