"""A recording as plain JSON: how a graph travels from the process that runs a user's code to the one that judges it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gradlint.compilation import Compilation
from gradlint.errors import TargetError
from gradlint.graph import Edge, Frame, Model, ModelGraph, Node, NodeKind, Passage, Reason, Signal, ValueKind
from gradlint.training import Event, TrainingStep


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a graph out of a file as a program, at a node of a number (from 1), and what to do."""

    number: int
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Recording:
    """The values of one run, and the models that took part in it; `faults` are those of a file that no process ran."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    models: tuple[Model, ...]
    training: TrainingStep | None = None
    faults: tuple[Fault, ...] = ()

    def with_paths(self, shown: Callable[[str], str]) -> Recording:
        """The same recording with every file named as `shown` names it."""
        changed: dict[Frame, Frame] = {}

        def frame(old: Frame | None) -> Frame | None:
            if old is not None and old not in changed:
                changed[old] = replace(old, path=shown(old.path))
            return changed[old] if old is not None else None

        return _mapped(self, frame, shown)

    def graphs(self) -> Iterator[ModelGraph]:
        """One graph a model, all of them over the same values."""
        if not self.models:
            return
        first = ModelGraph(self.models[0], self.nodes, self.edges, self.training)
        yield first
        for model in self.models[1:]:
            yield first.for_model(model)


def _mapped(
    recording: Recording, frame: Callable[[Frame | None], Frame | None], shown: Callable[[str], str]
) -> Recording:
    nodes = tuple(
        replace(n, frames=tuple(filter(None, map(frame, n.frames))), grad_frame=frame(n.grad_frame))
        for n in recording.nodes
    )
    training = recording.training and mapped_training(recording.training, frame)
    models = tuple(_mapped_model(model, frame, shown) for model in recording.models)
    return replace(recording, nodes=nodes, models=models, training=training)


def mapped_training(step: TrainingStep, frame: Callable[[Frame | None], Frame | None]) -> TrainingStep:
    """The same training step with every frame changed."""

    def event(old: Event) -> Event:
        conditions = tuple(replace(c, frame=frame(c.frame)) for c in old.conditions)
        loop = tuple(filter(None, map(frame, old.loop)))
        return replace(old, frame=frame(old.frame), written=frame(old.written), loop=loop, conditions=conditions)

    return replace(
        step, events=tuple(map(event, step.events)), loop=frame(step.loop), around=tuple(map(event, step.around))
    )


def _mapped_model(model: Model, frame: Callable[[Frame | None], Frame | None], shown: Callable[[str], str]) -> Model:
    return replace(
        model,
        path=shown(model.path),
        parameters=tuple(
            replace(
                p,
                made=frame(p.made),
                frozen=frame(p.frozen),
                initialisations=tuple(replace(i, frame=frame(i.frame)) for i in p.initialisations),
            )
            for p in model.parameters
        ),
        calls={name: place for name, call in model.calls.items() if (place := frame(call)) is not None},
        built={name: place for name, call in model.built.items() if (place := frame(call)) is not None},
        unapplied=tuple(replace(i, frame=frame(i.frame)) for i in model.unapplied),
        hidden=tuple(replace(h, frame=frame(h.frame)) for h in model.hidden),
        functions=tuple(replace(f, frame=frame(f.frame), call_frame=frame(f.call_frame)) for f in model.functions),
        compilation=model.compilation and _mapped_compilation(model.compilation, frame),
    )


def _mapped_compilation(found: Compilation, frame: Callable[[Frame | None], Frame | None]) -> Compilation:
    def chain(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
        return tuple(filter(None, map(frame, frames)))

    return replace(
        found,
        breaks=tuple(replace(b, frames=chain(b.frames)) for b in found.breaks),
        recompilations=tuple(replace(r, frame=frame(r.frame) or r.frame) for r in found.recompilations),
        refusals=tuple(replace(r, frames=chain(r.frames)) for r in found.refusals),
    )


_MODELS = TypeAdapter(tuple[Model, ...])
_TRAINING = TypeAdapter(TrainingStep | None)
_FRAMES = TypeAdapter(list[Frame])


def encode(recording: Recording) -> dict[str, Any]:
    """The recording as JSON values; frames are written once and referred to by number."""
    frames: dict[Frame, int] = {}
    nodes = [_encode_node(node, frames) for node in recording.nodes]
    return {
        "frames": _FRAMES.dump_python(list(frames), mode="json"),
        "nodes": nodes,
        "edges": [[e.source, e.target, e.passage.value, e.reason.value if e.reason else None] for e in recording.edges],
        "models": _MODELS.dump_python(recording.models, mode="json"),
        "training": _TRAINING.dump_python(recording.training, mode="json"),
    }


def _encode_node(node: Node, frames: dict[Frame, int]) -> list[Any]:
    return [
        node.id,
        node.kind.value,
        node.op,
        node.native,
        node.name,
        node.call,
        node.module,
        [frames.setdefault(frame, len(frames)) for frame in node.frames],
        node.value.value,
        node.dtype,
        node.shape,
        node.literals,
        node.grad_enabled,
        None if node.grad_frame is None else frames.setdefault(node.grad_frame, len(frames)),
        node.inplace,
        _encode_signal(node.measured),
    ]


def _encode_signal(signal: Signal | None) -> list[float | None] | None:
    return None if signal is None else [signal.rms, signal.mean, signal.gradient_rms, signal.dead, signal.saturated]


def decode(data: dict[str, Any]) -> Recording:
    """The recording behind JSON values; `TargetError` when they are not one."""
    try:
        frames = _FRAMES.validate_python(data["frames"])
        return Recording(
            nodes=tuple(_decode_nodes(data["nodes"], frames)),
            edges=tuple(Edge(s, t, Passage(p), Reason(r) if r else None) for s, t, p, r in data["edges"]),
            models=_MODELS.validate_python(data["models"]),
            training=_TRAINING.validate_python(data["training"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, ValidationError) as problem:
        raise TargetError(f"the worker's answer cannot be read: {type(problem).__name__}") from problem


def _decode_nodes(rows: Iterable[list[Any]], frames: list[Frame]) -> Iterator[Node]:
    for (
        number,
        kind,
        op,
        native,
        name,
        call,
        module,
        chain,
        value,
        dtype,
        shape,
        literals,
        grad,
        place,
        inplace,
        signal,
    ) in rows:
        yield Node(
            id=number,
            kind=NodeKind(kind),
            op=op,
            native=native,
            name=name,
            call=call,
            module=module,
            frames=tuple(frames[index] for index in chain),
            value=ValueKind(value),
            dtype=dtype,
            shape=None if shape is None else tuple(shape),
            literals=literals,
            grad_enabled=grad,
            grad_frame=None if place is None else frames[place],
            inplace=inplace,
            measured=None if signal is None else Signal(*signal),
        )
