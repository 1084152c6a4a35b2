"""What learns in a model without being registered: modules in plain containers, tensors that are no parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder import autograd
from gradlint.frontends.recorder.escapes import made_at
from gradlint.frontends.recorder.frames import RawFrames, decoded
from gradlint.frontends.recorder.modules import Modules, kept_aside, learners
from gradlint.frontends.recorder.tape import Tape
from gradlint.graph import Frame, Hidden

MADE_INSIDE = "nn.Parameter"
"""What a parameter without a name is called."""


@dataclass(frozen=True, slots=True)
class Aside:
    """Something found on a model before its first forward pass: the attribute, what it holds, where that was made."""

    kind: str
    holder: str
    container: str
    tensors: tuple[torch.Tensor, ...]
    frames: RawFrames
    node: int | None = None


def aside(root: nn.Module, modules: Modules) -> Iterator[Aside]:
    """Everything under `root` that wants a gradient and that `root.parameters()` does not list."""
    registered = {id(parameter) for parameter in root.parameters()}
    for holder, value in kept_aside(root):
        if isinstance(value, torch.Tensor):
            yield from _tensor(holder, value, registered)
        else:
            yield from _container(holder, value, registered, modules)


def _tensor(holder: str, value: torch.Tensor, registered: set[int]) -> Iterator[Aside]:
    if value.requires_grad and id(value) not in registered:
        found = autograd.marked(value)
        yield Aside("tensor", holder, "", (value,), made_at(value), found[0] if found else None)


def _container(holder: str, value: Any, registered: set[int], modules: Modules) -> Iterator[Aside]:
    found = list(learners(value))
    lost = [item for item in found if any(id(p) not in registered and p.requires_grad for p in _parameters(item))]
    if lost:
        kind = "module" if isinstance(lost[0], nn.Module) else "parameter"
        tensors = tuple(p for item in lost for p in _parameters(item) if id(p) not in registered)
        frames = modules.frames_of(lost[0]) if isinstance(lost[0], nn.Module) else made_at(lost[0])
        yield Aside(kind, holder, type(value).__name__, tensors, frames)


def _parameters(item: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return [item] if isinstance(item, nn.Parameter) else list(item.parameters())


def made_inside(root: nn.Module, parameters: list[nn.Parameter]) -> Iterator[Aside]:
    """Parameters that a forward pass makes anew and that never become the model's, one a place."""
    registered = {id(parameter) for parameter in root.parameters()}
    places = {made_at(parameter)[:1] for parameter in root.parameters()}
    for parameter in parameters:
        frames = made_at(parameter)
        if id(parameter) not in registered and parameter.requires_grad and frames[:1] not in places:
            places.add(frames[:1])
            found = autograd.marked(parameter)
            yield Aside("tensor", MADE_INSIDE, "", (parameter,), frames, found[0] if found else None)


def described(found: Aside, tape: Tape, optimized: set[int]) -> Hidden:
    """The finding's facts of something kept aside, after the run."""
    marks = [autograd.marked(tensor) for tensor in found.tensors]
    nodes = tuple(
        sorted({mark[0] for mark in marks if mark is not None} | ({found.node} if found.node is not None else set()))
    )
    return Hidden(
        kind=found.kind,
        holder=found.holder,
        container=found.container,
        names=tuple(f"{found.holder}[{position}]" for position in range(len(found.tensors))),
        elements=sum(tensor.numel() for tensor in found.tensors),
        frame=_place(found, tape),
        nodes=nodes,
        optimized=any(id(tensor) in optimized for tensor in found.tensors),
        non_leaf=found.kind == "tensor" and autograd.history(found.tensors[0]) is not None,
    )


def _place(found: Aside, tape: Tape) -> Frame | None:
    frames = found.frames or (tape.nodes[found.node].frames if found.node is not None else ())
    chain = decoded(frames)
    return next((frame for frame in chain if frame.user), None)
