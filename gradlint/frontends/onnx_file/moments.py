"""The moments of an initialiser, and which way of initialising has its scale.

Only what is asked for is read, a part at a time, so that a model of any size costs the memory of one part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gradlint.frontends.onnx_file.tensors import Tensors

MATRIX = 2
TOLERANCE = 0.05
DEVIATIONS = 4.0
"""A scale is recognised within so much of its value, or within so many standard errors of a sample's deviation."""


class Scale(StrEnum):
    """Ways to initialise, by the deviation that they give to a weight of some fans."""

    XAVIER = "xavier"
    HE = "he"
    LECUN = "lecun"
    TORCH = "torch"


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, standard deviation, least and largest of the finite elements of a tensor; `infinite` counts the others."""

    shape: tuple[int, ...]
    elements: int
    mean: float
    deviation: float
    least: float
    most: float
    infinite: int

    @property
    def constant(self) -> bool:
        """Whether all elements are the same number."""
        return self.elements > 0 and not self.infinite and self.least == self.most

    def scale(self, *, transposed: bool = False) -> Scale | None:
        """The way of initialising that this looks like; None for vectors and for what was trained or scaled otherwise.

        The first axis is that of the outputs, as torch stores weights; with `transposed` the second one is.
        """
        if len(self.shape) < MATRIX or self.constant or not self.elements or self.infinite:
            return None
        fan_in, fan_out = fans(self.shape, transposed=transposed)
        slack = max(TOLERANCE, DEVIATIONS / math.sqrt(2 * self.elements))
        if abs(self.mean) > self.deviation * DEVIATIONS / math.sqrt(self.elements):
            return None
        off = {scale: abs(self.deviation / wanted - 1) for scale, wanted in _deviations(fan_in, fan_out).items()}
        best = min(off, key=lambda scale: off[scale])
        return best if off[best] <= slack else None


def fans(shape: tuple[int, ...], *, transposed: bool = False) -> tuple[int, int]:
    """Fan-in and fan-out of a weight: connections of one output, and of one input (Glorot and Bengio 2010)."""
    field = math.prod(shape[2:])
    outputs, inputs = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
    return inputs * field, outputs * field


def _deviations(fan_in: int, fan_out: int) -> dict[Scale, float]:
    """Standard deviations by way of initialising; torch's own is uniform within 1 / sqrt(fan in)."""
    return {
        Scale.XAVIER: math.sqrt(2 / (fan_in + fan_out)),
        Scale.HE: math.sqrt(2 / fan_in),
        Scale.LECUN: math.sqrt(1 / fan_in),
        Scale.TORCH: math.sqrt(1 / (3 * fan_in)),
    }


def moments(path: str, name: str) -> Moments:
    """The moments of one initialiser of a file; raises `TargetError` when it cannot be read."""
    return moments_of(Tensors(path), name)


def moments_of(tensors: Tensors, name: str) -> Moments:
    """The moments of one initialiser of an open file, in double precision (Chan, Golub and LeVeque 1979)."""
    count, mean, squares, infinite = 0, 0.0, 0.0, 0
    least, most = math.inf, -math.inf
    for chunk in tensors.chunks(name):
        finite = chunk[np.isfinite(chunk)]
        infinite += chunk.size - finite.size
        if not finite.size:
            continue
        least, most = min(least, float(finite.min())), max(most, float(finite.max()))
        fresh, gap = float(finite.mean()), float(finite.mean()) - mean
        squares += float(((finite - fresh) ** 2).sum()) + gap**2 * count * finite.size / (count + finite.size)
        mean += gap * finite.size / (count + finite.size)
        count += finite.size
    if not count:
        least, most, mean = math.nan, math.nan, math.nan
    deviation = math.sqrt(squares / count) if count else math.nan
    return Moments(tensors.shape(name), count + infinite, mean, deviation, least, most, infinite)
