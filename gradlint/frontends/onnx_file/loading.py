"""An `.onnx` file as a message of the onnx package, large tensors left out."""

from __future__ import annotations

import mmap
import os
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file.scanning import without_weights

MOST_STRUCTURE_BYTES = 1 << 30
"""What a graph without its tensors may take; a million nodes with their metadata take a fifth of it."""


MOST_INFERRED = 5000
"""Nodes up to which shapes are inferred: that takes as long as all the rest."""


def load(path: str) -> onnx.ModelProto:
    """The model of a file, tensors above `KEPT_BYTES` without their values; `TargetError` when there is none."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise TargetError("it is empty")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        kept = without_weights(memoryview(data), MOST_STRUCTURE_BYTES)
    except (OSError, ValueError) as error:
        raise TargetError(f"it cannot be read: {str(error).lower()}") from None
    return parsed(kept)


def parsed(data: bytes) -> onnx.ModelProto:
    """The model in some bytes; `TargetError` when they hold none."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"it is not an ONNX model: {_line(error)}") from None
    if not model.HasField("graph"):
        raise TargetError("it is not an ONNX model: it has no graph")
    return model


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with inferred shapes where its author wrote none down; the model as it is where inference fails."""
    graph = model.graph
    if graph.value_info or len(graph.node) > MOST_INFERRED:
        return model
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:
        # Inference raises whatever its checks find; shapes are a help, and a wrong model is told of elsewhere.
        return model


def has_broken_text(message: Any) -> bool:
    """Whether some name in a message is not UTF-8; protobuf hands such a one out as bytes."""
    waiting = [message]
    while waiting:
        for field, value in waiting.pop().ListFields():
            every = (value,) if isinstance(value, (str, bytes, int, float, Message)) else value
            if field.type == field.TYPE_STRING and not all(isinstance(one, str) for one in every):
                return True
            if field.type == field.TYPE_MESSAGE:
                waiting += every
    return False


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
