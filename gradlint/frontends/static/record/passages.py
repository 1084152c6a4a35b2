"""The gradient fact of every edge, by what is known without running anything: the op's facts, dtypes, the grad mode.

The meaning is that of the recorder's facts. Where the recorder asks autograd, this asks the op's facts; a dtype that is
not known may be a floating one, a tensor of which it is not known whether it requires a gradient may do so.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from gradlint import ops
from gradlint.graph import Passage, Reason

Fact = tuple[Passage, Reason | None]

OPEN: Fact = (Passage.FLOWS, None)
UNCERTAIN: Fact = (Passage.UNKNOWN, None)
_VANISHED: Fact = (Passage.ZERO, Reason.ZERO)

OVERWRITES = frozenset(
    "zero_ fill_ copy_ normal_ uniform_ random_ bernoulli_ exponential_ cauchy_ geometric_ log_normal_ set_".split()
)
"""In-place calls that leave nothing of the old content."""

CONSTANT_INPUTS = (0, 2, "input", "weight")
"""Of an op that is constant by its shapes, the input and the weight get a zero gradient; a bias does not."""

SHAPE_KINDS = (ops.Kind.RESHAPE, ops.Kind.CAST, ops.Kind.FACTORY)

_ESCAPES = {
    "detach": Reason.DETACH,
    "numpy": Reason.NUMPY,
    "scalar": Reason.SCALAR,
    "rewrap": Reason.REWRAP,
}

_FLOATING = ("float", "complex", "bfloat", "double", "half", "cfloat", "cdouble", "chalf")


@dataclass(frozen=True, slots=True)
class Read:
    """One tensor that a call read: its place among the arguments, its dtype, and whether it requires a gradient."""

    place: int | str
    dtype: str | None = None
    wanted: bool | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """One value that a call made: its position among the outputs, and its dtype."""

    position: int = 0
    dtype: str | None = None


@functools.cache
def found(native: str) -> ops.OpFacts | None:
    """The facts of an op by the name that torch gives it."""
    return ops.lookup("torch", native.removeprefix("get:").removeprefix("set:"))


def carries(dtype: str | None) -> bool:
    """Whether a tensor of this dtype can carry a gradient; a dtype that is not known may."""
    return dtype is None or dtype.startswith(_FLOATING)


def passage(name: str, read: Read, made: Made, enabled: bool = True, constant: bool = False) -> Fact | None:
    """The fact of one edge; None where the result takes nothing from the tensor but its shape, dtype or memory.

    `enabled` is the grad mode of the call, `constant` says that the shapes alone make the result constant.
    """
    known = found(name)
    if is_shape_only(known, name, read.place):
        return None
    if not carries(read.dtype):
        return Passage.BLOCKED, Reason.NON_DIFFERENTIABLE
    differentiable = would_flow(known, read.place, made.position)
    if constant and read.place in CONSTANT_INPUTS:
        return _VANISHED
    if not enabled and read.wanted is not False and differentiable and carries(made.dtype):
        return Passage.BLOCKED, Reason.GRAD_DISABLED
    return _stopped(known, made, differentiable) or _flowing(known, read.place)


def _stopped(known: ops.OpFacts | None, made: Made, differentiable: bool) -> Fact | None:
    if known is not None and known.escape in _ESCAPES:
        return Passage.BLOCKED, _ESCAPES[known.escape]
    if not carries(made.dtype):
        cast = known is not None and known.kind is ops.Kind.CAST
        return Passage.BLOCKED, Reason.INTEGER_CAST if cast else Reason.NON_DIFFERENTIABLE
    return None if differentiable else (Passage.BLOCKED, Reason.NON_DIFFERENTIABLE)


def _flowing(known: ops.OpFacts | None, place: int | str) -> Fact:
    if known is None:
        return UNCERTAIN
    if known.raises:
        return Passage.RAISES, Reason.ZERO
    return _VANISHED if known.zero or place in known.zero_inputs else OPEN


def is_shape_only(known: ops.OpFacts | None, name: str, place: int | str) -> bool:
    """Whether a result takes no value from this input, only its shape, dtype or memory."""
    if name in OVERWRITES:
        return place == 0
    if known is None or place not in known.nondifferentiable_inputs:
        return name.endswith("_like") or (name.startswith("new_") and place == 0)
    return known.kind in SHAPE_KINDS or name.endswith("_like")


def would_flow(known: ops.OpFacts | None, place: int | str, position: int) -> bool:
    """Whether an op passes gradient from this output to this input, dtypes apart."""
    if known is None:
        return True
    apart = known.aligned and isinstance(place, int) and place != position
    lost = place in known.nondifferentiable_inputs or position in known.nondifferentiable_outputs
    return known.differentiable and not lost and not apart and (place, position) not in known.nondifferentiable_pairs
