"""Measures the values of a recorded forward pass, and the gradients that arrive at them, while they pass by.

Only numbers are kept: no tensor lives longer for it. Nothing is measured on the meta device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot, isfinite, sqrt
from typing import Any

import torch

from gradlint import ops
from gradlint.frontends.recorder import sizes
from gradlint.frontends.recorder.facts import found
from gradlint.frontends.recorder.natives import is_write
from gradlint.graph import Signal

FLAT = 0.05
"""Share of an activation's largest derivative below which an element is saturated."""

ENOUGH = 1 << 16
"""Elements of an activation by which the shares of dead units and saturated elements are taken."""

NOT_POINTWISE = frozenset({"softmax", "softmin", "log_softmax", "glu", "crelu", "safe_softmax", "gumbel_softmax"})
RANDOM = frozenset({"rrelu", "dropout"})
INPLACE = "inplace"
RECTIFIER = "relu"
"""The most usual activation by far, whose derivative needs no backward pass."""

CHANNELS_FIRST = frozenset({"batch_norm", "group_norm", "instance_norm"})
CHANNELS_LAST = frozenset({ops.Kind.LINEAR, ops.Kind.EMBEDDING, ops.Kind.ATTENTION, ops.Kind.RECURRENT})
IMAGE = 4
"""Axes from which on features stand behind the batch, unless an op says otherwise."""
NEAR = 4
"""Ops behind one another that are asked for the axis of features."""


@dataclass(slots=True)
class Reading:
    """The numbers of one value; `gradients` are the root mean squares of what every backward pass brought."""

    rms: float
    mean: float
    gradients: list[float] = field(default_factory=list)
    dead: float | None = None
    saturated: float | None = None

    def signal(self) -> Signal:
        """What the graph keeps of it."""
        arrived = hypot(*self.gradients) / sqrt(len(self.gradients)) if self.gradients else None
        return Signal(self.rms, self.mean, arrived, self.dead, self.saturated)


@dataclass(frozen=True, slots=True)
class Curve:
    """What the derivative of one activation call is at a part of its input: shares of units, and of elements."""

    dead: float
    saturated: float


def read(tensor: torch.Tensor) -> Reading | None:
    """The sizes of a value; None where it has none. Those of its gradient follow in the backward passes."""
    try:
        with torch._C.DisableTorchFunction():
            return _read(tensor)
    except RuntimeError:
        return None


def _read(tensor: torch.Tensor) -> Reading | None:
    if not sizes.is_measurable(tensor):
        return None
    reading = Reading(sizes.rms(tensor), sizes.mean(tensor))
    if not (isfinite(reading.rms) and isfinite(reading.mean)):
        return None
    if tensor.requires_grad:
        _listen(tensor, reading)
    return reading


def _listen(tensor: torch.Tensor, reading: Reading) -> None:
    """Notes the gradient that arrives at this very value; later writes into its memory make other values."""
    function, number = tensor.grad_fn, tensor.output_nr

    def arrived(gradients: Sequence[torch.Tensor | None]) -> None:
        gradient = gradients[number]
        if gradient is None:
            return
        with torch._C.DisableTorchFunction():
            if sizes.is_measurable(gradient) and isfinite(size := sizes.rms(gradient)):
                reading.gradients.append(size)

    if function is not None:
        function.register_prehook(arrived)


def is_curve(name: str) -> bool:
    """Whether calls of a name are activations that work on every element by itself."""
    known = found(name)
    if known is None or known.kind is not ops.Kind.ACTIVATION or known.name in NOT_POINTWISE | RANDOM:
        return False
    return known.derivative_bound is not None


def curve(name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], axis: int) -> Curve | None:
    """The derivative of a call of an activation at its input, which must not be written yet; None where unknown."""
    known = found(name)
    tensor = args[0] if args else options.get("input")
    if known is None or not known.derivative_bound or not isinstance(tensor, torch.Tensor):
        return None
    try:
        if not (tensor.requires_grad and sizes.is_measurable(tensor)):
            return None
        part = sizes.thinned(tensor.detach(), ENOUGH, axis % tensor.dim())
        writes = is_write(name) or bool(options.get(INPLACE))
        rectifies = known.name == RECTIFIER
        slope = (part > 0).to(part.dtype) if rectifies else _slope(function, part, args, options, writes)
    except (RuntimeError, TypeError, IndexError, ZeroDivisionError):
        return None
    return _judged(slope.abs(), known.derivative_bound, axis % tensor.dim())


def _slope(
    function: Any, part: torch.Tensor, args: tuple[Any, ...], options: dict[str, Any], writes: bool
) -> torch.Tensor:
    # Checkpointing counts the tensors that are saved while its hooks are the innermost ones.
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_kept, _kept):
        at = part.clone().requires_grad_()
        # An in-place call needs an input that is no leaf.
        first = at.clone() if writes or any(flag is True for flag in args[1:]) else at
        rest = {key: value for key, value in options.items() if key != "input"}
        made = function(first, *args[1:], **rest)
        return torch.autograd.grad(made.sum(), at)[0]


def _kept(saved: torch.Tensor) -> torch.Tensor:
    return saved


def _judged(slope: torch.Tensor, bound: float, axis: int) -> Curve:
    """The share of units whose derivative is zero wherever they were seen, and that of saturated elements."""
    others = [one for one in range(slope.dim()) if one != axis]
    most = slope.amax(others) if others else slope
    return Curve(float((most == 0).float().mean()), float((slope < FLAT * bound).float().mean()))


def feature_axis(natives: Sequence[str], shape: torch.Size) -> int:
    """The axis of features of a value, by the ops that made it (the last one first): 1, or the last."""
    for name in natives:
        known = found(name)
        if known is None:
            continue
        if known.kind is ops.Kind.CONV or known.name in CHANNELS_FIRST:
            return 1 if len(shape) > 1 else 0
        if known.kind in CHANNELS_LAST or known.name == "layer_norm":
            return -1
    return 1 if len(shape) >= IMAGE else -1
