"""Where the facts of an op, which are told in the order of torch's arguments, hold for ONNX's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from gradlint import ops
from gradlint.frontends.onnx_file.dtypes import carries_gradient
from gradlint.graph import Passage, Reason

Fact = tuple[Passage, Reason | None]
Place = int | str

OPEN: Fact = (Passage.FLOWS, None)
UNKNOWN: Fact = (Passage.UNKNOWN, None)
_VANISHING: Fact = (Passage.ZERO, Reason.ZERO)
_BLOCKED: Fact = (Passage.BLOCKED, Reason.NON_DIFFERENTIABLE)
_CAST: Fact = (Passage.BLOCKED, Reason.INTEGER_CAST)
CASTS = frozenset({"Cast", "CastLike", "BitCast"})

PLACES: Mapping[str, tuple[Place, ...]] = {
    "BatchNormalization": ("input", "weight", "bias", "mean", "var"),
    "Compress": ("input", "mask"),
    "GatherElements": ("input", "index"),
    "InstanceNormalization": ("input", "weight", "bias"),
    "Scatter": ("input", "index", "src"),
    "ScatterElements": ("input", "index", "src"),
    "SoftmaxCrossEntropyLoss": ("input", "target", "class_weight"),
    "NegativeLogLikelihoodLoss": ("input", "target", "class_weight"),
    "Where": ("condition", "input", "other"),
}
"""torch's names for the inputs of operators that order them in another way."""

Pairs = frozenset[tuple[int, int]]
"""Inputs and outputs by their positions."""

BEYOND: Mapping[str, Pairs] = {
    "LayerNormalization": frozenset({(0, 1), (0, 2)}),
    "OneHot": frozenset({(2, 0)}),
    "Range": frozenset({(0, 0), (2, 0)}),
}
"""Pairs with a gradient that torch's op does not have: values for on and off, a start and a step, moments to use."""

APART: Mapping[str, Pairs] = {
    "Attention": frozenset({(0, 1), (0, 2), (1, 2), (2, 1), (2, 3), (3, 1), (3, 2), (4, 2), (5, 1), (5, 3)}),
    "BatchNormalization": frozenset({(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (4, 1)}),
    "BatchNormalization training": frozenset({(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (4, 1), (3, 0), (4, 0)}),
    "CausalConvWithState": frozenset({(1, 1), (2, 1)}),
    "LinearAttention": frozenset({(0, 1)}),
    "SoftmaxCrossEntropyLoss": frozenset({(2, 1)}),
}
"""Pairs of which the output is not computed from the input."""

STEPPED: Mapping[str, Pairs] = {
    "GridSample nearest": frozenset({(1, 0)}),
    "Resize nearest": frozenset({(1, 0), (2, 0)}),
    "Upsample nearest": frozenset({(1, 0)}),
}
"""Pairs of which the output is constant between jumps."""


MODED = frozenset({"BatchNormalization", "GridSample", "Resize", "Upsample"})
"""Operators with a mode that changes which of their inputs count."""


def variant(op_type: str, literals: Mapping[str, Any]) -> str:
    """The operator, with the mode that changes which of its inputs count."""
    if op_type == "BatchNormalization" and literals.get("training_mode"):
        return f"{op_type} training"
    if op_type in ("GridSample", "Resize", "Upsample"):
        usual = "linear" if op_type == "GridSample" else "nearest"
        return f"{op_type} {literals.get('mode', usual)}"
    return op_type


@cache
def reads_only_shape(op_type: str, position: int) -> bool:
    """Whether a result takes no value from an input, only its shape or its type."""
    facts = known(op_type)
    if facts is None or any(source == position for source, _ in BEYOND.get(op_type, ())):
        return False
    if facts.kind in (ops.Kind.METADATA, ops.Kind.FACTORY) or facts.name.endswith("_like"):
        return True
    lost = place(op_type, position) in facts.nondifferentiable_inputs
    return lost and facts.kind in (ops.Kind.RESHAPE, ops.Kind.CAST)


@cache
def known(op_type: str) -> ops.OpFacts | None:
    """The facts of an operator of the standard."""
    return ops.lookup("onnx", op_type)


def place(op_type: str, position: int) -> Place:
    """Where torch has the input at a position."""
    places = PLACES.get(op_type)
    return places[position] if places is not None and position < len(places) else position


@cache
def passage(op_type: str, position: int, output: int, read: str | None, made: str | None, mode: str = "") -> Fact:
    """How gradient passes from an output back to an input; `read` and `made` are their element types.

    `mode` is the operator's `variant`.
    """
    facts, pair = known(op_type), (position, output)
    if not carries_gradient(made):
        return _CAST if op_type in CASTS and carries_gradient(read) else _BLOCKED
    if not carries_gradient(read):
        return _BLOCKED
    if facts is None:
        return UNKNOWN
    if pair in BEYOND.get(op_type, ()):
        return OPEN
    flow = facts.flow(place(op_type, position), output)
    if flow == "blocked" or pair in APART.get(mode or op_type, ()):
        return _BLOCKED
    if pair in STEPPED.get(mode, ()):
        return _VANISHING
    return {"zero": _VANISHING, "raises": UNKNOWN}.get(flow, OPEN)
