"""Small ONNX models for tests, built node by node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 20, 10


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node that reads and makes names written with spaces between them; `-` is an input left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op_type, names, outputs.split(), **attributes)


def weight(name: str, *shape: int, dtype: Any = np.float32) -> onnx.TensorProto:
    """An initialiser of some shape, its numbers small and all different."""
    count = int(np.prod(shape, dtype=np.int64))
    values = np.linspace(-1, 1, count).reshape(shape) if np.issubdtype(dtype, np.floating) else np.arange(count)
    return numpy_helper.from_array(values.reshape(shape).astype(dtype), name)


def constant(name: str, value: Any, dtype: Any = np.float32) -> onnx.TensorProto:
    """An initialiser with some values."""
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def value(name: str, *shape: int | str, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, dtype, list(shape))


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[str],
    weights: Iterable[onnx.TensorProto] = (),
    *,
    opset: int = OPSET,
    domains: Sequence[tuple[str, int]] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model; the types of its outputs are left open."""
    ends = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(list(nodes), "main_graph", list(inputs), ends, list(weights))
    imports = [helper.make_opsetid(domain, version) for domain, version in (("", opset), *domains)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=IR)


def classifier(*tail: onnx.NodeProto, end: str = "scores", more: Sequence[onnx.TensorProto] = ()) -> onnx.ModelProto:
    """Two linear layers with a ReLU between them, and what follows."""
    nodes = [
        node("Gemm", "x first.weight first.bias", "hidden", name="/first/Gemm", transB=1),
        node("Relu", "hidden", "active", name="/Relu"),
        node("Gemm", "active second.weight second.bias", "scores", name="/second/Gemm", transB=1),
    ]
    weights = [
        weight("first.weight", 16, 8),
        weight("first.bias", 16),
        weight("second.weight", 4, 16),
        weight("second.bias", 4),
    ]
    return model([*nodes, *tail], [value("x", "batch", 8)], [end], [*weights, *more])


FIRST = ("first.weight", "first.bias", "second.weight", "second.bias")
"""The weights of `classifier`."""
