"""The names of ONNX's element types in the words of torch, and which of them carry a gradient."""

from __future__ import annotations

from typing import Any

NAMES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4_e2m1",
    24: "float8_e8m0",
    25: "uint2",
    26: "int2",
}
"""By the numbers of TensorProto.DataType (onnx.proto)."""

TRAINABLE = frozenset({"float32", "float64", "float16", "bfloat16", "complex64", "complex128"})
"""Types that weights are trained in; those of 8 bits and below only store what was quantised."""

_SPELT = {"float": "float32", "double": "float64"}


def name_of(number: int) -> str | None:
    """The name of an element type; None for a number that stands for none."""
    return NAMES.get(number)


def of_text(text: str) -> str | None:
    """The element type in a schema's type, such as `tensor(int64)` or `seq(tensor(float))`."""
    inner = text.rpartition("(")[2].partition(")")[0]
    return _SPELT.get(inner, inner) or None


def carries_gradient(dtype: str | None) -> bool:
    """Whether values of a type have a gradient; an unknown type may."""
    return dtype is None or dtype in TRAINABLE


def of_type(proto: Any) -> str | None:
    """The element type of a TypeProto: of a tensor, or of what a sequence or an optional holds."""
    for _ in range(3):
        kind = proto.WhichOneof("value")
        if kind in ("tensor_type", "sparse_tensor_type"):
            return name_of(getattr(proto, kind).elem_type)
        if kind not in ("sequence_type", "optional_type"):
            return None
        proto = getattr(proto, kind).elem_type
    return None


def shape_of(proto: Any) -> tuple[int, ...] | None:
    """The shape of a tensor's TypeProto when every size is known."""
    if proto.WhichOneof("value") != "tensor_type" or not proto.tensor_type.HasField("shape"):
        return None
    sizes = tuple(
        axis.dim_value if axis.WhichOneof("value") == "dim_value" else -1 for axis in proto.tensor_type.shape.dim
    )
    return sizes if all(size >= 0 for size in sizes) else None
