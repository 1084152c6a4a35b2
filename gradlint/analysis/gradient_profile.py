"""How the first gradients change along a straight run of layers: as measured, else as predicted.

The gradient of a weight is the signal before it times the gradient behind it. Along a chain of one shape both change
by a constant factor a layer; one layer that is initialised near zero makes one step and is no fault of the chain. The
first weight also scales with the data, so that the second one has to agree with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from gradlint import ops
from gradlint.analysis import gains
from gradlint.analysis.predicted import predicted_gradients
from gradlint.analysis.structure import Run, initialised_by, runs
from gradlint.analysis.verdicts import underflows
from gradlint.finding import Evidence
from gradlint.graph import ModelGraph

LONG = 8
"""Weight layers in a row from which on GL501 speaks of the gradient that is lost (its setting `layers`)."""

ROW = 4
"""Saturating activations in a row from which on GL401 does (one more than its setting `allowed`)."""

ALLOWANCE = 10.0
"""What the second weight, and the run without its steepest step, may stay behind the first one's ratio."""

LEAST = 3
"""Layers of a run that is a chain."""

READ = "source"
"""How a model was captured whose values have no shapes."""

MARGIN = 2.0
"""What a predicted ratio must be beyond a bound, as predictions of plain chains may be off by so much."""

PLAIN = 1e6
"""Up to this, numbers are written out."""

ZERO = "0 (below what float32 holds) of"

SIMPLEST = 12
"""Largest denominator of a bound that is written as a fraction."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The root mean squares of the gradients of a run's weights, and what they stand on."""

    values: tuple[float, ...]
    evidence: Evidence

    @property
    def ratio(self) -> float | None:
        """The first one over the last one; None where the last one is zero."""
        return self.values[0] / self.values[-1] if self.values[-1] else None


def sizes(graph: ModelGraph, run: Run) -> Sizes | None:
    """The gradients of a run's weights: measured, else predicted from the moments of the whole graph, else from the
    gains of the layers alone, which needs no shapes: then they have a common factor that is not known."""
    measured = [weight.measured_rms for weight in run.weights]
    if all(size is not None for size in measured):
        return Sizes(tuple(size for size in measured if size is not None), Evidence.MEASURED)
    predicted = predicted_gradients(graph) if graph.model.capture != READ else {}
    if all(predicted.get(weight.name) for weight in run.weights):
        return Sizes(tuple(predicted[weight.name] for weight in run.weights), Evidence.PREDICTED)
    found = gains.gains(graph, run)
    return Sizes(tuple(gains.sizes(found)), Evidence.PREDICTED) if found else None


@dataclass(frozen=True, slots=True)
class Slope:
    """A run, and the gradients of its weights."""

    run: Run
    sizes: Sizes

    @property
    def ratio(self) -> float:
        """The first weight's gradient over the last one's."""
        return self.sizes.ratio or 0.0

    @property
    def cause(self) -> str:
        """What multiplies along the run, in words and numbers."""
        counts = Counter(node.op for layer in self.run.layers[:-1] for node in layer.saturating)
        bounds = [_passes(op, count) for op, count in counts.items()]
        if bounds and all(bounds):
            return " and ".join(filter(None, bounds))
        steps = len(self.run.layers) - 1
        factor = self.ratio ** (1 / steps) if self.ratio > 0 else 0.0
        calls = dict.fromkeys(call.name for w in self.run.weights if (call := initialised_by(w)) is not None)
        scale = f", by {', '.join(f'`{call}`' for call in calls)}" if calls else ""
        return f"{factor:.2g} times a layer{scale}"


def _passes(op: str, count: int) -> str:
    """`3 sigmoids pass on at most 1/4`; empty for an activation that may pass on all of a gradient."""
    known = ops.facts(op)
    bound = known.derivative_bound if known is not None else None
    if bound is None or bound >= 1:
        return ""
    share = Fraction(bound).limit_denominator(SIMPLEST)
    many = f"{count} {op}s pass" if count > 1 else f"the {op} passes"
    return f"{many} on at most {share}"


def slopes(graph: ModelGraph) -> Iterator[Slope]:
    """The runs that no other rule speaks of, with the gradients of their weights."""
    for run in runs(graph):
        if len(run.layers) < LEAST or run.shared or run.bypassed or _has_own_rule(run):
            continue
        found = sizes(graph, run)
        if found is not None and found.values[-1] > 0 and _is_whole(found.values):
            yield Slope(run, found)


def _is_whole(values: tuple[float, ...]) -> bool:
    """Whether no gradient is zero, but for first ones that are too small for their dtype."""
    start = next(place for place, value in enumerate(values) if value > 0)
    return all(value > 0 for value in values[start:]) and (start == 0 or underflows(values))


def is_gradual(slope: Slope, bound: float) -> bool:
    """Whether a ratio is beyond a bound (below 1: it vanishes, above: it explodes), and several steps lead there."""
    values = slope.sizes.values
    if slope.sizes.evidence is Evidence.PREDICTED:
        bound = bound / MARGIN if bound < 1 else bound * MARGIN
    if not (slope.ratio < bound if bound < 1 else slope.ratio > bound):
        return False
    if not all(values):
        return True
    steps = [one / other for one, other in pairwise(values)]
    if bound < 1:
        return slope.ratio / min(steps) < bound**0.5 and values[1] / values[-1] < bound * ALLOWANCE
    return slope.ratio / max(steps) > bound**0.5 and values[1] / values[-1] > bound / ALLOWANCE


def gradient_ratio(graph: ModelGraph, run: Run) -> float | None:
    """The first weight's gradient over the last one's; None where neither is known."""
    found = sizes(graph, run)
    return found.ratio if found is not None else None


def saturates(run: Run) -> bool:
    """Whether a row of saturating activations is what GL401 speaks of."""
    return sum(len(layer.saturating) for layer in run.layers[:-1]) >= ROW


def _has_own_rule(run: Run) -> bool:
    return len(run.layers) >= LONG or saturates(run)


def told(run: Run, found: Sizes) -> str:
    """The first and the last gradient of a run in a clause: measured gradient of `a` is 3e-09 of `b`'s."""
    first, last, ratio = run.weights[0].name, run.weights[-1].name, found.ratio or 0.0
    share = f"{rounded(ratio)} {'times' if ratio >= 1 else 'of'}" if ratio else ZERO
    return f"{found.evidence.value} gradient of `{first}` is {share} `{last}`'s"


def change(found: Sizes) -> str:
    """What a gradient does on its way back, in a clause: the measured gradient falls to 3e-09."""
    ratio = found.ratio or 0.0
    size = f"grows {rounded(ratio)} times" if ratio >= 1 else f"falls to {rounded(ratio) if ratio else 'zero'}"
    return f"the {found.evidence.value} gradient {size}"


def rounded(ratio: float) -> str:
    """One digit that counts: `2,000`, `3e+08`, `0.0001`, `1e-09`."""
    shown = float(f"{ratio:.0e}")
    return f"{shown:,.0f}" if 1 <= shown < PLAIN else f"{shown:g}"
