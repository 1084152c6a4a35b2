"""How the first gradients change along a straight run of layers, where a backward pass measured them.

The gradient of a weight is the signal before it times the gradient behind it. Along a chain of one shape both change
by a constant factor a layer; one layer that is initialised near zero makes one step and is no fault of the chain. The
first weight also scales with the data, so that the second one has to agree with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from gradlint.analysis.structure import Run, initialised_by, runs
from gradlint.graph import ModelGraph

LONG = 8
"""Weight layers in a row from which on GL501 speaks of the gradient that is lost, as its cause is the missing norm."""

ROW = 4
"""Saturating activations in a row from which on GL401 does."""

ALLOWANCE = 10.0
"""What the second weight, and the run without its steepest step, may stay behind the first one's ratio."""

LEAST = 3
"""Layers of a run that is a chain."""


@dataclass(frozen=True, slots=True)
class Slope:
    """A run and the ratio of its first weight's gradient to its last one's (root mean squares)."""

    run: Run
    ratio: float

    @property
    def cause(self) -> str:
        """What multiplies along the run, in words."""
        names = dict.fromkeys(node.op for layer in self.run.layers[:-1] for node in layer.saturating)
        if names:
            return f"every {' and '.join(names)} multiplies it"
        calls = dict.fromkeys(call.name for w in self.run.weights if (call := initialised_by(w)) is not None)
        return f"the gains of {', '.join(calls)} multiply" if calls else "the default gains multiply"


def slopes(graph: ModelGraph) -> Iterator[Slope]:
    """The measured runs that no other rule speaks of, with the ratio of their ends."""
    for run in runs(graph):
        if len(run.layers) < LEAST or run.shared or run.bypassed or _has_own_rule(run):
            continue
        sizes = [weight.measured_rms for weight in run.weights]
        known = [size for size in sizes if size]
        if len(known) == len(sizes):
            yield Slope(run, known[0] / known[-1])


def is_gradual(slope: Slope, bound: float) -> bool:
    """Whether several steps lead to a ratio beyond a bound (below 1: it vanishes, above: it explodes)."""
    sizes = [weight.measured_rms or 0.0 for weight in slope.run.weights]
    steps = [one / other for one, other in pairwise(sizes)]
    if bound < 1:
        return slope.ratio / min(steps) < bound**0.5 and sizes[1] / sizes[-1] < bound * ALLOWANCE
    return slope.ratio / max(steps) > bound**0.5 and sizes[1] / sizes[-1] > bound / ALLOWANCE


def _has_own_rule(run: Run) -> bool:
    row = sum(len(layer.saturating) for layer in run.layers[:-1])
    return len(run.layers) >= LONG or row >= ROW
