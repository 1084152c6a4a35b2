"""What an operator is called in the vocabulary of all frameworks, and which of its inputs are weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from gradlint import ops
from gradlint.frontends.onnx_file import dtypes
from gradlint.frontends.onnx_file.schemas import KNOWN_DOMAINS, NOTHING, Schema, schema
from gradlint.frontends.onnx_file.signatures import MODED, known
from gradlint.frontends.onnx_file.values import Constant

RELU6 = 6.0
_ALL = tuple(range(64))

WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "CausalConvWithState": (1, 2),
    "DeformConv": (1, 3),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "Einsum": _ALL,
    "Gather": (0,),
    "LSTM": (1, 2, 3, 7),
    "GRU": (1, 2, 3),
    "RNN": (1, 2, 3),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "RMSNormalization": (1,),
    "PRelu": (1,),
}
"""The inputs that hold weights, by operator."""

NATIVE = "onnx::"
"""How the native names of ONNX's operators begin."""

RETYPED = frozenset({"ConstantOfShape", "CastLike", "DequantizeLinear", "QuantizeLinear", "EyeLike"})
"""Operators whose output's type comes from a value, an input other than the first, or is a default."""

VARIADIC = {"Sum": "add", "Max": "maximum", "Min": "minimum", "Mean": "mean"}
"""Operators over any number of tensors; of one they leave it as it is."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the standard: its names, what its schema tells, which inputs are weights, and what else decides.

    `renamed` says that the canonical name depends on what is read, `moded` that the gradient facts depend on an
    attribute, `retyped` that the output's type is not fixed by the schema alone, `random` that every call differs.
    """

    op_type: str
    name: str
    native: str
    schema: Schema
    weights: tuple[int, ...]
    renamed: bool
    moded: bool
    retyped: bool
    random: bool


@cache
def operator(op_type: str, domain: str, version: int) -> Operator | None:
    """An operator of a version; None for one that the standard does not have."""
    facts = known(op_type)
    if facts is None or domain not in KNOWN_DOMAINS:
        return None
    return Operator(
        op_type=op_type,
        name=facts.name,
        native=f"{NATIVE}{op_type}",
        schema=schema(op_type, domain, version) or NOTHING,
        weights=WEIGHTS.get(op_type, ()),
        renamed=op_type in VARIADIC or op_type == "Clip",
        moded=op_type in MODED,
        retyped=op_type in RETYPED,
        random=facts.kind is ops.Kind.RANDOM,
    )


def name_of(known_as: Operator, attributes: Mapping[str, Any], reads: Sequence[Any]) -> str:
    """The canonical name of a call."""
    if known_as.op_type in VARIADIC:
        return VARIADIC[known_as.op_type] if len(reads) > 1 else "identity"
    return "relu6" if _bounds(attributes, reads) == (0, RELU6) else known_as.name


def _bounds(attributes: Mapping[str, Any], reads: Sequence[Any]) -> tuple[Any, Any]:
    """The bounds of a clip: attributes up to opset 10, inputs since."""
    if "min" in attributes or "max" in attributes:
        return tuple(attributes[name].f if name in attributes else None for name in ("min", "max"))  # type: ignore[return-value]
    given = [one.literal if isinstance(one, Constant) else None for one in (*reads[1:3], None, None)]
    return given[0], given[1]


def dtype_of(attributes: Mapping[str, Any], op_type: str, read: Sequence[str | None]) -> str | None:
    """The element type that a node's own attributes fix."""
    for name in ("to", "dtype", "output_dtype") if attributes else ():
        if name in attributes and attributes[name].i:
            return dtypes.name_of(attributes[name].i)
    if op_type == "ConstantOfShape" and "value" in attributes:
        return dtypes.name_of(attributes["value"].t.data_type)
    if op_type in ("CastLike", "DequantizeLinear") and len(read) > 1:
        return read[1]
    if op_type == "QuantizeLinear":
        return (read[2] if len(read) > 2 else None) or "uint8"
    return "float32" if op_type in ("ConstantOfShape", "EyeLike") and not any(read[:1]) else None
