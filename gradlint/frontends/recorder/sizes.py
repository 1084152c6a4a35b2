"""How large tensors are: moments of parameters as they stand, root mean squares of values and of their gradients."""

from __future__ import annotations

from math import isfinite, sqrt

import torch

from gradlint.graph import Moments

ENOUGH = 1 << 18
"""Elements of a parameter by which its cross-moments are estimated: their noise is then far below what matters."""

STANDARD_ERRORS = 6.0
"""A cross-moment within so many standard errors of zero is noise of a finite sample; a fan-in squared multiplies it."""

MEAN_ERRORS = 4.0
"""The same for a mean."""


def is_measurable(tensor: torch.Tensor) -> bool:
    """Whether a tensor is dense, floating and has values that may be read here and now."""
    dense = tensor.layout is torch.strided and tensor.is_floating_point() and tensor.numel() > 0
    return dense and tensor.device.type != "meta" and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def rms(tensor: torch.Tensor) -> float:
    """The root mean square of all elements: exactly 0.0 only where every element is zero.

    Squares below the range of float32 are taken in double precision.
    """
    values = tensor.detach()
    precise = values.dtype is torch.float64
    norm = float(torch.linalg.vector_norm(values, dtype=None if precise else torch.float32))
    if not isfinite(norm) or (norm == 0.0 and not precise):
        norm = float(torch.linalg.vector_norm(values, dtype=torch.float64))
    return norm / sqrt(values.numel())


def mean(tensor: torch.Tensor) -> float:
    """The mean of all elements."""
    values = tensor.detach()
    half = values.dtype in (torch.float16, torch.bfloat16)
    return float(values.mean(dtype=torch.float32 if half else None))


def moments(tensor: torch.Tensor) -> Moments | None:
    """The moments of a parameter's elements; None for one without values, or with some that are not finite.

    What a finite sample alone makes of a mean or a cross-moment is taken for zero.
    """
    if not is_measurable(tensor):
        return None
    square, middle = rms(tensor) ** 2, mean(tensor)
    if not (isfinite(square) and isfinite(middle)):
        return None
    spread = sqrt(max(square - middle**2, 0.0))
    sure = middle if abs(middle) > MEAN_ERRORS * spread / sqrt(tensor.numel()) else 0.0
    if tensor.dim() == 1:
        return Moments(square, sure, (_cross(abs(middle), square, sure, tensor.numel(), tensor.numel()),))
    sample = thinned(tensor.detach(), ENOUGH).float()
    own = square if sample.numel() == tensor.numel() else rms(sample) ** 2
    return Moments(square, sure, tuple(_along(sample, axis, own, sure) for axis in range(sample.dim())))


def thinned(tensor: torch.Tensor, most: int, kept: int | None = None) -> torch.Tensor:
    """A regular part of a tensor of about so many elements: every n-th entry of its longest axes, but for one axis."""
    while tensor.numel() > most:
        free = [axis for axis in range(tensor.dim()) if axis != kept]
        longest = max(free, key=lambda axis: tensor.shape[axis], default=None)
        if longest is None or tensor.shape[longest] < 2:
            break
        tensor = tensor[(slice(None),) * longest + (slice(None, None, 2),)]
    return tensor


def _along(sample: torch.Tensor, axis: int, square: float, middle: float) -> float:
    length = sample.shape[axis]
    return _cross(rms(sample.mean(axis)) if length > 1 else 0.0, square, middle, length, sample.numel())


def _cross(averaged: float, square: float, middle: float, length: int, elements: int) -> float:
    """E[x y] of two elements that differ in one axis alone, from the root mean square of the means along it."""
    if length == 1:
        return square
    found = (averaged**2 * length - square) / (length - 1)
    error = square * sqrt(2 / ((length - 1) * elements))
    return middle**2 if found < STANDARD_ERRORS * error else max(found, 0.0)
