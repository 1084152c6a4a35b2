"""The domains of tensors that are made from numbers alone."""

from __future__ import annotations

from gradlint.analysis import domains
from gradlint.analysis.domains import UNKNOWN, Domain, Zero
from gradlint.analysis.operands import Number, literal, number
from gradlint.graph import Node


def integers(node: Node) -> Domain:
    """`randint(high)`, `randint(low, high)`: the upper end is exclusive."""
    first, second = number(literal(node, 0)), number(literal(node, 1))
    low = number(literal(node, 0, "low")) or 0
    high = number(node.literals.get("high"))
    if first is not None and second is not None:
        low, high = first, second
    elif first is not None and high is None:
        low, high = 0, first
    if high is None:
        return UNKNOWN
    return Domain(float(low), float(high) - 1, Zero.COUNT if low == 0 else Zero.NEVER, known=True)


def uniform(node: Node) -> Domain:
    """`uniform_(low, high)`, where both ends are numbers."""
    low, high = _end(node, 1, ("from", "a", "low")), _end(node, 2, ("to", "b", "high"))
    return UNKNOWN if low is None or high is None else Domain(float(low), float(high), known=True)


def _end(node: Node, position: int, names: tuple[str, ...]) -> Number | None:
    return next((number(node.literals[key]) for key in (str(position), *names) if key in node.literals), None)


def filled(node: Node) -> Domain:
    """`full(size, value)`."""
    value = number(literal(node, 1, "fill_value"))
    return domains.exactly(value) if value is not None else UNKNOWN
