"""The gradient fact of every edge: what autograd did, and, behind a cut, what the op would have done."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from gradlint import ops
from gradlint.frontends.recorder.taint import Origin
from gradlint.graph import Passage, Reason

REPEATED = "repeated"
"""Literal of a call that has one tensor at two positions."""

OF_TYPE = "of_type"
"""Literal of a tensor that was built from an array: the type of its numbers."""

AXIS = "dim"
"""The argument whose None is a literal: an axis that is left to the framework."""

TEXT_LIMIT = 60
"""Characters of a literal string argument that are kept."""

OVERWRITES = frozenset(
    "zero_ fill_ copy_ normal_ uniform_ random_ bernoulli_ exponential_ cauchy_ geometric_ log_normal_ set_".split()
)
"""In-place calls that leave nothing of the old content."""

_ALLOCATIONS = frozenset({"new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"})
"""Methods that take a tensor's dtype and device and none of its values; only `new_full` reads its fill value."""

Fact = tuple[Passage, Reason | None]
_VANISHED: Fact = (Passage.ZERO, Reason.ZERO)
CONSTANT_INPUTS = (0, 2, "input", "weight")
"""Of an op that is constant by its shapes, the input and the weight get a zero gradient; a bias does not."""
OPEN: Fact = (Passage.FLOWS, None)
_REWRAPS = frozenset(
    {
        "tensor",
        "as_tensor",
        "asarray",
        "scalar_tensor",
        "new_tensor",
        "Tensor",
        "FloatTensor",
        "DoubleTensor",
        "Variable",
    }
)
_ESCAPES = {
    "detach": Reason.DETACH,
    "numpy": Reason.NUMPY,
    "scalar": Reason.SCALAR,
    "rewrap": Reason.REWRAP,
}


@dataclass(frozen=True, slots=True)
class Reads:
    """What one call read: tensors in the order of its arguments, the position or name of these, their nodes, whether
    they
    wanted a gradient, and the nodes behind the tracked numbers among its arguments. `constant` says that the shapes
    alone make the result constant.
    """

    name: str
    tensors: list[torch.Tensor]
    places: list[int | str]
    sources: list[int]
    wanted: list[bool]
    origin: Origin
    constant: bool = False


def passages(
    reads: Reads, made: torch.Tensor, position: int, reached: set[int]
) -> Iterator[tuple[int, Passage, Reason | None]]:
    """The edges (source, passage, reason) from everything that was read to one made value, its `position`-th output."""
    known = found(reads.name)
    inputs = zip(reads.tensors, reads.places, reads.sources, reads.wanted, strict=True)
    for tensor, place, source, wanted in inputs:
        if source in reached:
            yield source, *(_VANISHED if reads.constant and place in CONSTANT_INPUTS else _flowing(known, place))
        elif not _is_shape_only(known, reads.name, place):
            yield source, *_stopped(known, tensor, made, wanted, place, position)
    for source in reads.origin:
        yield source, *OPEN


@functools.cache
def found(native: str) -> ops.OpFacts | None:
    """The facts of an op by the name that torch gives it."""
    return ops.lookup("torch", native.removeprefix("get:").removeprefix("set:"))


def canonical(native: str) -> str:
    """The canonical name of an op; the native one where the vocabulary has none."""
    known = found(native)
    return known.name if known else native


def _flowing(known: ops.OpFacts | None, place: int | str) -> Fact:
    """An edge along which autograd passes something: zero almost everywhere, an exception, or a gradient."""
    if known is None:
        return OPEN
    if known.raises:
        return Passage.RAISES, Reason.ZERO
    if known.zero or place in known.zero_inputs:
        return Passage.ZERO, Reason.ZERO
    return OPEN


def _stopped(
    known: ops.OpFacts | None, tensor: torch.Tensor, made: torch.Tensor, wanted: bool, place: int | str, position: int
) -> Fact:
    """An edge along which autograd passes nothing, because the op never does or because nobody asked upstream."""
    if not _carries(tensor):
        return Passage.BLOCKED, Reason.NON_DIFFERENTIABLE
    differentiable = _would_flow(known, place, position) and _carries(made)
    if wanted and not torch.is_grad_enabled() and differentiable:
        return Passage.BLOCKED, Reason.GRAD_DISABLED
    if known is not None and known.escape in _ESCAPES:
        return Passage.BLOCKED, _ESCAPES[known.escape]
    if not _carries(made):
        cast = known is not None and known.kind is ops.Kind.CAST
        return Passage.BLOCKED, Reason.INTEGER_CAST if cast else Reason.NON_DIFFERENTIABLE
    if wanted and known is not None and differentiable and torch.is_grad_enabled():
        # The op would pass a gradient on; the input itself has lost its history (a view made under no_grad).
        return Passage.UNKNOWN, None
    if wanted or not differentiable:
        return Passage.BLOCKED, Reason.NON_DIFFERENTIABLE
    return (Passage.UNKNOWN, None) if known is None else _flowing(known, place)


def _is_shape_only(known: ops.OpFacts | None, name: str, place: int | str) -> bool:
    """Whether a result takes no value from this input, only its shape, dtype or memory."""
    if name in OVERWRITES:
        return place == 0
    if known is None or place not in known.nondifferentiable_inputs:
        return name.endswith("_like") or (name in _ALLOCATIONS and place == 0)
    return known.kind in (ops.Kind.RESHAPE, ops.Kind.CAST, ops.Kind.FACTORY) or name.endswith("_like")


def _would_flow(known: ops.OpFacts | None, place: int | str, position: int) -> bool:
    if known is None:
        return True
    return (
        known.differentiable
        and place not in known.nondifferentiable_inputs
        and position not in known.nondifferentiable_outputs
    )


def _carries(tensor: torch.Tensor) -> bool:
    """Only floating and complex tensors carry a gradient."""
    return tensor.is_floating_point() or tensor.is_complex()


def is_constant(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether widths alone fix a result: the cross-entropy of one class is 0, a layer norm over one element too.

    Only axes that the model's own sizes decide count; an attention over one position may be due to a small input.
    """
    value = args[0] if args else options.get("input")
    if not isinstance(value, torch.Tensor) or value.ndim == 0:
        return False
    if name == "cross_entropy":
        return value.shape[min(1, value.ndim - 1)] == 1
    if name == "layer_norm":
        shape = options.get("normalized_shape", args[1] if len(args) > 1 else ())
        return len(shape) > 0 and all(size == 1 for size in shape)
    return False


def rewrap_reason(name: str) -> Reason | None:
    """Numbers that become a tensor again through a constructor are a rewrap; arrays come back as they left."""
    return Reason.REWRAP if name in _REWRAPS else None


def shape_of(tensor: torch.Tensor) -> tuple[int, ...] | None:
    """The shape in plain numbers; None for a nested tensor, whose sizes are not fixed."""
    if tensor.is_nested:
        return None
    return tuple(int(size) for size in tensor.shape)


@functools.cache
def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def literals(args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The numbers, texts and short tuples among the arguments, by position or by name; and whether a tensor repeats."""
    named = {**{str(position): value for position, value in enumerate(args)}, **options}
    found = {key: _plain(value) for key, value in named.items() if _is_literal(value)}
    if AXIS in options and options[AXIS] is None:
        found[AXIS] = None
    return found | {REPEATED: True} if _repeats(args) else found


def _repeats(args: tuple[Any, ...]) -> bool:
    """Whether one tensor stands at two positions, as in `x * x`."""
    tensors = [id(value) for value in args if isinstance(value, torch.Tensor)]
    return len(set(tensors)) < len(tensors)


def _is_literal(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return len(value) <= 8 and all(type(item) is int for item in value)
    return isinstance(value, (bool, int, float, torch.dtype)) or (isinstance(value, str) and len(value) < TEXT_LIMIT)


def _plain(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, (tuple, list)):
        return [int(item) for item in value]
    if isinstance(value, (bool, str)):
        return value
    return float(value) if isinstance(value, float) else int(value)
