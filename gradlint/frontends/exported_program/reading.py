"""One `.pt2` file as a recording: its values, and a model whose parameters have the names of the author's module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from gradlint.frontends.exported_program import origins
from gradlint.frontends.exported_program.archive import Exported, load
from gradlint.frontends.exported_program.lowering import LITERAL, Lowering, Scope, lower
from gradlint.frontends.exported_program.schema import Argument, Graph, Payload, TensorMeta, names_in
from gradlint.frontends.onnx_file.places import Places
from gradlint.frontends.static.record.passages import carries
from gradlint.garbage import collected_after
from gradlint.graph import Model, NodeKind, Parameter
from gradlint.recording import Recording

CAPTURE = "exported"
MAIN = "model"
"""The name of a program that nobody named."""

_KINDS = {
    "parameter": ("parameter_name", NodeKind.PARAMETER),
    "buffer": ("buffer_name", NodeKind.BUFFER),
    "tensor_constant": ("tensor_constant_name", NodeKind.CONSTANT),
}


def read(path: str, file: IO[bytes] | None = None) -> Recording:
    """The recording of a file, or of its bytes under that name; `TargetError` with one line when it cannot be read."""
    lowering = Lowering(Places(path))
    with collected_after():
        models = tuple(
            _weighed(_model(lowering, exported, path), exported, file or path) for exported in load(file or path)
        )
        return Recording(tuple(lowering.tape.nodes), lowering.tape.decoded_edges(), models)


def _weighed(model: Model, exported: Exported, file: str | IO[bytes]) -> Model:
    """The model with the moments of its weights; without them where numpy is not installed."""
    try:
        from gradlint.frontends.exported_program.sizes import with_moments
    except ImportError:
        return model
    return replace(model, parameters=with_moments(model.parameters, exported, file))


@dataclass(slots=True, eq=False)
class _Placed:
    """The inputs of one program as they are given their values. `members` are parameters by the member that they fill.

    `told` are the types of the user's inputs.
    """

    exported: Exported
    scope: Scope
    parameters: list[Parameter] = field(default_factory=list)
    members: dict[str, int] = field(default_factory=dict)
    constants: list[int] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def _model(lowering: Lowering, exported: Exported, path: str) -> Model:
    graph, signature = exported.program.graph_module.graph, exported.program.graph_module.signature
    placed = _Placed(exported, Scope(graph.tensor_values))
    before = dict(lowering.foreign)
    for spec in signature.input_specs:
        for kind, held in spec.items():
            _place(lowering, placed, kind, held or {})
    lower(lowering, graph, placed.scope)
    parameters = tuple(_told(lowering, [*placed.parameters, *_dropped(placed)]))
    outputs, losses = _results(placed.scope, signature.output_specs)
    return Model(
        name=_name(exported, graph, path),
        path=path,
        line=1,
        capture=CAPTURE,
        inputs=tuple(placed.told),
        reach_at="loss" if losses else "outputs",
        parameters=parameters,
        outputs=outputs,
        targets=losses or outputs,
        complete=lowering.foreign == before,
        closed=not any(_caught(lowering, placed)),
    )


def _name(exported: Exported, graph: Graph, path: str) -> str:
    """The class of the model, where the calls tell it; else what the file or the program is called."""
    told = (origins.root_class(node.metadata) for node in graph.nodes)
    fallback = Path(path).stem if exported.name == MAIN else exported.name
    return next(filter(None, told), "") or fallback


def _place(lowering: Lowering, placed: _Placed, kind: str, held: Argument) -> None:
    """Gives one input of the program its value."""
    argument = held.get("arg")
    if not isinstance(argument, dict):
        return
    if kind == "user_input":
        for name in names_in(argument):
            _place_input(lowering, placed, name)
        return
    if kind not in _KINDS or not isinstance(argument.get("name"), str):
        return
    key, node_kind = _KINDS[kind]
    _place_tensor(lowering, placed, argument["name"], str(held.get(key, "")), node_kind)


def _place_input(lowering: Lowering, placed: _Placed, name: str) -> None:
    meta = placed.scope.metas.get(name)
    if meta is None:
        return
    wanted = meta.requires_grad
    placed.scope.values[name] = lowering.add(NodeKind.INPUT, "input", meta, wanted=wanted, name=name)
    sizes = ", ".join("?" if size is None else str(size) for size in meta.sizes)
    placed.told.append(f"{meta.dtype_name or 'unknown'}[{sizes}]")


def _place_tensor(lowering: Lowering, placed: _Placed, name: str, dotted: str, kind: NodeKind) -> None:
    """A parameter, buffer or constant; tied parameters are one value under the first of their names."""
    meta = placed.scope.metas.get(name)
    member = _member(placed.exported.weights.get(dotted))
    if member and kind is NodeKind.PARAMETER and member in placed.members:
        placed.scope.values[name] = placed.members[member]
        return
    learns = kind is NodeKind.PARAMETER and _learns(meta)
    number = lowering.add(kind, "", meta, wanted=learns, name=dotted)
    placed.scope.values[name] = number
    if kind is NodeKind.CONSTANT:
        placed.constants.append(number)
    if kind is NodeKind.PARAMETER:
        placed.parameters.append(_parameter(dotted, meta, number))
        placed.members |= {member: number} if member else {}


def _member(payload: Payload | None) -> str:
    return payload.path_name if payload else ""


def _learns(meta: TensorMeta | None) -> bool:
    return meta is None or (meta.requires_grad and carries(meta.dtype_name))


def _parameter(name: str, meta: TensorMeta | None, node: int | None) -> Parameter:
    shape = (meta.shape if meta else None) or ()
    return Parameter(name, shape, meta.elements if meta else 0, _learns(meta), node)


def _dropped(placed: _Placed) -> Iterator[Parameter]:
    """The parameters that the archive holds and the program does not read: a strict export leaves unused ones out."""
    specs = placed.exported.program.graph_module.signature.input_specs
    read = {str((held or {}).get("parameter_name", "")) for spec in specs for held in spec.values()}
    members = set(placed.members)
    for name, payload in placed.exported.weights.items():
        if payload.is_param and name not in read and payload.path_name not in members:
            members.add(payload.path_name)
            yield _parameter(name, payload.tensor_meta, None)


def _told(lowering: Lowering, parameters: list[Parameter]) -> Iterator[Parameter]:
    """The parameters, those that nothing reads without a value and with the largest part around them of that kind."""
    sources = {source for source, _ in lowering.tape.edges}
    read = {p.name for p in parameters if p.node in sources}
    owners = {part for name in read for part in _around(name)}
    for parameter in parameters:
        if parameter.name in read:
            yield parameter
        else:
            part = next((part for part in _around(parameter.name) if part not in owners), parameter.name)
            yield replace(parameter, node=None, unused_part=part)


def _around(name: str) -> Iterator[str]:
    """The modules around a parameter, the outermost first, and the parameter itself."""
    parts = name.split(".")
    return (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))


def _caught(lowering: Lowering, placed: _Placed) -> Iterator[int]:
    """The constants that may have been parameters: torch.export makes constants of those in plain Python containers.

    A literal (`torch.tensor([1.0])`) goes through an op of its own before anything reads it.
    """
    nodes = lowering.tape.nodes
    tensors = {number for number in placed.constants if carries(nodes[number].dtype) and nodes[number].shape != ()}
    for source, target in lowering.tape.edges:
        if source in tensors and nodes[target].op != LITERAL:
            yield source


def _results(scope: Scope, specs: list[dict[str, Argument | None]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The values that the program returns to its caller, and of these the losses."""
    return tuple(_values(scope, specs, "user_output", "loss_output")), tuple(_values(scope, specs, "loss_output"))


def _values(scope: Scope, specs: list[dict[str, Argument | None]], *kinds: str) -> Iterator[int]:
    found: Mapping[str, int] = scope.values
    for spec in specs:
        for kind, held in spec.items():
            if kind in kinds and held:
                yield from (found[name] for name in names_in({"arg": held.get("arg")}) if name in found)
