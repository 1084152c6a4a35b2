"""The moments of a stored weight by its first rows: what predicts the sizes of signals and gradients."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gradlint.graph import Moments

ENOUGH = 1 << 18
"""Elements of a weight that are read."""

STANDARD_ERRORS, MEAN_ERRORS = 6.0, 4.0
"""A cross-moment, or a mean, within so many standard errors of zero is noise of a finite sample."""


def moments(values: NDArray[np.float64], shape: tuple[int, ...]) -> Moments | None:
    """The moments of a weight of some shape by its first elements; None where there are none, or one is not finite."""
    if not values.size or not shape or not np.isfinite(values).all():
        return None
    return _of(_rows(values[:ENOUGH], shape))


def _rows(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The whole rows of a weight that its first elements make up; of one with longer rows, these elements."""
    row = math.prod(shape[1:])
    rows = len(values) // row if row else 0
    return values[: rows * row].reshape(rows, *shape[1:]) if rows else values


def _of(values: NDArray[np.float64]) -> Moments:
    square, mean = float(np.square(values).mean()), float(values.mean())
    spread = math.sqrt(max(square - mean**2, 0.0))
    mean = mean if abs(mean) > MEAN_ERRORS * spread / math.sqrt(values.size) else 0.0
    return Moments(square, mean, tuple(_cross(values, axis, square, mean) for axis in range(values.ndim)))


def _cross(values: NDArray[np.float64], axis: int, square: float, mean: float) -> float:
    """E[x y] of two elements that differ in one axis alone: from the squares of the sums along it."""
    length = values.shape[axis]
    if length == 1:
        return square
    found = (float(np.square(values.sum(axis)).mean()) / length - square) / (length - 1)
    error = square * math.sqrt(2 / ((length - 1) * values.size))
    return mean**2 if found < STANDARD_ERRORS * error else max(found, 0.0)
