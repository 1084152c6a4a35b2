"""All rules by canonical op name."""

from __future__ import annotations

from functools import cache

from gradlint.analysis.moments import (
    activations,
    attention,
    convolutions,
    elementwise,
    joins,
    linear_maps,
    losses,
    norms,
    pooling,
    recurrent,
    reductions,
    sources,
    views,
)
from gradlint.analysis.moments.calls import Rule

FAMILIES = (
    activations,
    attention,
    convolutions,
    elementwise,
    joins,
    linear_maps,
    losses,
    norms,
    pooling,
    recurrent,
    reductions,
    sources,
    views,
)
"""Each has a table RULES of its own; no op stands in two of them."""


@cache
def rules() -> dict[str, Rule]:
    """The rule of every op that is modelled."""
    return {name: rule for family in FAMILIES for name, rule in family.RULES.items()}
