"""One `.onnx` file as a recording: its values, and a model whose parameters are its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file import faults, loading, schemas
from gradlint.frontends.onnx_file.control_flow import MAKERS
from gradlint.frontends.onnx_file.lowering import Body, Lowering, bind_constants, lower, results
from gradlint.frontends.onnx_file.places import Places, model_of
from gradlint.frontends.onnx_file.sizes import with_moments
from gradlint.frontends.onnx_file.values import NO_TEXT, Scope, Types, Values, types_of
from gradlint.frontends.onnx_file.weights import parameters
from gradlint.frontends.onnx_file.wording import shown
from gradlint.graph import Model, NodeKind
from gradlint.recording import Fault, Recording

CAPTURE = "onnx"

MOST_CHECKED = 20_000
"""Nodes up to which onnx's own inference is asked whether shapes and types fit: a tenth of a second."""


def read(path: str) -> Recording:
    """The recording of a file; raises `TargetError` with one line when it holds no valid graph."""
    model = loading.load(path)
    try:
        return recorded(loading.with_shapes(model), path)
    except TargetError as error:
        raise TargetError(" ".join(shown(word) for word in str(error).split())) from None
    except (TypeError, AttributeError):
        # Where a text is expected, bytes are found: it was checked nowhere, because nearly all files are right.
        if loading.has_broken_text(model):
            raise TargetError(NO_TEXT) from None
        raise


def recorded(model: onnx.ModelProto, path: str) -> Recording:
    """The recording of a model that came from a path."""
    versions = schemas.versions(model.opset_import)
    functions = {(one.domain, one.name, one.overload): one for one in model.functions}
    lowering = Lowering(Places(path), versions, functions, makers=MAKERS)
    types = types_of(model.graph)
    scope = Scope({})
    bind_constants(model.graph, scope)
    inputs = _inputs(model.graph, scope, types, lowering.values)
    lower(lowering, model.graph.node, Body(scope, types, versions=versions))
    bound = results(scope, (one.name for one in model.graph.output), model.graph.name or "graph")
    outputs = tuple(dict.fromkeys(lowering.values.node_of(one) for one in bound))
    told, nodes = parameters(lowering.values)
    found = Model(
        name=shown(model_of(model.graph.node) or Path(path).stem),
        path=path,
        line=1,
        capture=CAPTURE,
        inputs=inputs,
        parameters=with_moments(told, path),
        outputs=outputs,
        targets=outputs,
        complete=not lowering.values.foreign,
    )
    return Recording(nodes, tuple(lowering.values.edges), (found,), faults=tuple(_faults(model, lowering, path)))


def _faults(model: onnx.ModelProto, lowering: Lowering, path: str) -> Iterator[Fault]:
    """Why no runtime takes the file, where one does not."""
    unknown = tuple(faults.unknown(lowering.unknown))
    yield from unknown
    if len(model.graph.node) > MOST_CHECKED:
        return
    numbers: dict[str, int] = {}
    for node in lowering.values.nodes:
        place = node.at
        if node.name and place is not None and place.path == path:
            numbers.setdefault(node.name, place.line - 1)
    told = {one.number for one in unknown}
    yield from (one for one in faults.misfits(model, numbers) if one.number not in told)


def _inputs(graph: onnx.GraphProto, scope: Scope, types: Types, values: Values) -> tuple[str, ...]:
    """Binds the inputs of a graph that no initialiser fills, and tells their types and shapes."""
    told: list[str] = []
    for one in graph.input:
        if one.name in scope.values:
            continue
        dtype, shape = types.dtypes.get(one.name), types.shapes.get(one.name)
        scope.values[one.name] = values.add(NodeKind.INPUT, "input", name=one.name, dtype=dtype, shape=shape)
        told.append(shown(f"{dtype or 'unknown'}[{_sizes(one)}]"))
    return tuple(told)


def _sizes(one: onnx.ValueInfoProto) -> str:
    """The sizes of an input, named ones by name."""
    if one.type.WhichOneof("value") != "tensor_type":
        return "..."
    return ",".join(str(axis.dim_value or axis.dim_param or "?") for axis in one.type.tensor_type.shape.dim)
