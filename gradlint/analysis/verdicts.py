"""How the gradients of a model's layers change from its inputs to its outputs: the profile, and what to think of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from gradlint.analysis.predicted import predicted_gradients
from gradlint.graph import GradientState, ModelGraph, Parameter

VANISHED, EXPLODED = 10**-2.5, 10**3.5
"""Ratios of the medians of the first and the last quarter of the layers beyond which a profile is sick. The first told
40 networks apart that train and that do not; the least and the greatest layer do not, as branches that start at zero
are healthy. The second is larger: batch norms make a gradient grow on its way back (Yang et al. 2019), in published
networks of 30 layers a thousandfold."""

UNDERFLOW = 1e-30
"""A gradient of zero in front of one below this is too small for float32, whose numbers end near 1e-45."""

MATRIX = 2
FEWEST = 4
"""Layers from which on a model has quarters."""


class Verdict(StrEnum):
    """What a profile says of a model at the start of training."""

    HEALTHY = "healthy"
    VANISHING = "vanishing"
    EXPLODING = "exploding"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class GradientEntry:
    """One trainable parameter and the root mean square of its first gradient, as predicted and as measured."""

    parameter: Parameter
    predicted: float | None
    measured: float | None

    @property
    def size(self) -> float | None:
        """What is measured, else what is predicted."""
        return self.measured if self.measured is not None else self.predicted

    @property
    def none(self) -> bool:
        """Whether a backward pass was run and brought it nothing."""
        return self.parameter.gradient is GradientState.NONE


def profile(graph: ModelGraph) -> tuple[GradientEntry, ...]:
    """The trainable parameters in their order, with what is known of their gradients."""
    predicted = predicted_gradients(graph)
    return tuple(GradientEntry(p, predicted.get(p.name), p.measured_rms) for p in graph.model.trainable)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the ratio of the first quarter's median gradient to the last one's; 0.0 where all is zero."""

    verdict: Verdict
    ratio: float | None = None


def judged(sizes: Sequence[float]) -> Judgement:
    """The verdict on the gradients of the weights of a model, from its inputs to its outputs.

    A weight without a gradient behind one that has some lies in a branch that starts at zero, and says nothing.
    """
    start = next((place for place, size in enumerate(sizes) if size > 0), len(sizes))
    sizes = [*sizes[:start], *(size for size in sizes[start:] if size > 0)]
    if len(sizes) < FEWEST:
        return Judgement(Verdict.UNKNOWN)
    quarter = math.ceil(len(sizes) / 4)
    first, last = median(sizes[:quarter]), median(sizes[-quarter:])
    if not math.isfinite(first) or not math.isfinite(last):
        return Judgement(Verdict.EXPLODING)
    if last <= 0:
        return Judgement(Verdict.UNKNOWN)
    ratio = first / last
    if ratio <= VANISHED:
        return Judgement(Verdict.VANISHING, ratio)
    return Judgement(Verdict.EXPLODING if ratio >= EXPLODED else Verdict.HEALTHY, ratio)


def underflows(sizes: Sequence[float]) -> bool:
    """Whether the first gradients are zero because float32 holds nothing smaller, by the one behind them."""
    first = next((size for size in sizes if size > 0), 0.0)
    return sizes[0] == 0 and 0 < first < UNDERFLOW if sizes else False


def weights_of(graph: ModelGraph, entries: Sequence[GradientEntry]) -> Iterator[GradientEntry]:
    """The weights with two axes and more that the forward pass reads, in the order in which it does."""
    used = [one for one in entries if one.parameter.node is not None and len(one.parameter.shape) >= MATRIX]
    first = {one.parameter.name: _first_reader(graph, one.parameter) for one in used}
    return iter(sorted(used, key=lambda one: first[one.parameter.name]))


def _first_reader(graph: ModelGraph, parameter: Parameter) -> int:
    assert parameter.node is not None
    return min((edge.target for edge in graph.outgoing(parameter.node)), default=parameter.node)
