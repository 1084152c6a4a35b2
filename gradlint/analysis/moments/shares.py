"""Shares of dead and saturated units of an activation."""

from __future__ import annotations

from gradlint.analysis.moments.propagation import Pass
from gradlint.graph import Node


def shares(state: Pass, node: Node) -> tuple[float | None, float | None]:
    """The share of units without a slope, and of elements with a slope near zero; None for other ops."""
    return None, None
