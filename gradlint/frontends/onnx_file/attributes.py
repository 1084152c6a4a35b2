"""A node's attributes and constant inputs as the literals that rules know from torch's calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from gradlint.frontends.onnx_file import dtypes
from gradlint.frontends.onnx_file.wording import shown

MOST_NUMBERS = 8
MOST_TEXT = 60
"""What a literal may hold; longer lists and texts say nothing to a rule."""

NAMES = {
    "axis": "dim",
    "axes": "dim",
    "keepdims": "keepdim",
    "epsilon": "eps",
    "group": "groups",
    "strides": "stride",
    "pads": "padding",
    "dilations": "dilation",
    "kernel_shape": "kernel_size",
    "perm": "dims",
    "to": "dtype",
}
"""torch's names for attributes."""

OWN_NAMES: Mapping[str, Mapping[str, str]] = {
    "LeakyRelu": {"alpha": "negative_slope"},
    "ThresholdedRelu": {"alpha": "threshold"},
    "Dropout": {"ratio": "p"},
    "Clip": {"min": "min", "max": "max"},
}

INPUT_NAMES: Mapping[str, Mapping[int, str]] = {
    "Clip": {1: "min", 2: "max"},
    "Dropout": {1: "p"},
    "TopK": {1: "k"},
    "Squeeze": {1: "dim"},
    "Unsqueeze": {1: "dim"},
    "CumSum": {1: "dim"},
    "CumProd": {1: "dim"},
}
"""Names of inputs that are arguments in torch; those of every operator that reduces are added by its prefix."""

TRAINING = {"BatchNormalization": "training_mode", "Dropout": "2"}
"""Where operators that behave differently in training say so; they do not train where they say nothing."""

_REDUCES = "Reduce"

Numbers = float | int | bool | str | list[int] | list[float]
_VALUES = {
    onnx.AttributeProto.FLOAT: "f",
    onnx.AttributeProto.INT: "i",
    onnx.AttributeProto.STRING: "s",
    onnx.AttributeProto.INTS: "ints",
    onnx.AttributeProto.FLOATS: "floats",
}


def literal(attribute: onnx.AttributeProto) -> Numbers | None:
    """A number, a text, or a short list of numbers; None for everything else."""
    field = _VALUES.get(attribute.type)
    if field is None:
        return None
    value = getattr(attribute, field)
    if isinstance(value, bytes):
        return shown(value.decode("utf-8", "replace")) if len(value) < MOST_TEXT else None
    if isinstance(value, (int, float)):
        return value
    return list(value) if len(value) <= MOST_NUMBERS else None


def literals(
    op_type: str, attributes: Mapping[str, onnx.AttributeProto], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The attributes of a node in torch's names, those that were left out and have a default among them."""
    if not attributes and not defaults:
        return {}
    found: dict[str, Any] = {}
    own = OWN_NAMES.get(op_type, {})
    given = {name: literal(attribute) for name, attribute in attributes.items()}
    for name in ("axis", "alpha", "epsilon"):
        if name in defaults and name not in given:
            given[name] = defaults[name]
    for name, value in given.items():
        if value is not None:
            found[own.get(name) or NAMES.get(name, name)] = _told(name, value)
    return found


def settled(op_type: str, told: dict[str, Any]) -> dict[str, Any]:
    """The literals of a call, with the mode that torch's calls always tell."""
    if op_type in TRAINING:
        told["training"] = bool(told.get(TRAINING[op_type], False))
    return told


def _told(name: str, value: Numbers) -> Numbers | None:
    if name == "to" and isinstance(value, int):
        return dtypes.name_of(value) or value
    return bool(value) if name == "keepdims" else value


def input_name(op_type: str, position: int) -> str | None:
    """What torch calls the argument that an input is."""
    if op_type.startswith(_REDUCES) and position == 1:
        return "dim"
    return INPUT_NAMES.get(op_type, {}).get(position)


def number(tensor: onnx.TensorProto) -> Numbers | None:
    """The value of a constant with one element, or a few whole numbers; None for every other."""
    elements = 1
    for size in tensor.dims:
        elements *= size
    if elements != 1 and not (0 <= elements <= MOST_NUMBERS and tensor.data_type in (6, 7)):
        return None
    values = _values(tensor)
    if values is None or len(values) != elements:
        return None
    return values[0] if elements == 1 else values


def _values(tensor: onnx.TensorProto) -> list[Any] | None:
    """A small tensor's values; None when they are not here, or not what its type says."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.data_type == onnx.TensorProto.STRING:
        return None
    try:
        found = onnx.numpy_helper.to_array(tensor).reshape(-1).tolist()
    except Exception:
        # A broken tensor is somebody else's to mend; it has no value here.
        return None
    return found if all(isinstance(value, (bool, int, float)) for value in found) else None
