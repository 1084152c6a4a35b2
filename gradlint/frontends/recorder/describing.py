"""Models as the graph knows them: names, parameters, gradients, taken from live modules after a run."""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterable, Iterator
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder import autograd, reading
from gradlint.frontends.recorder.escapes import FROZEN, made_at
from gradlint.frontends.recorder.facts import literals
from gradlint.frontends.recorder.fills import Fills
from gradlint.frontends.recorder.frames import RawFrames, decoded, is_library
from gradlint.frontends.recorder.modules import Modules
from gradlint.frontends.recorder.monitor import GradientMonitor
from gradlint.frontends.recorder.tape import Tape
from gradlint.graph import Frame, GradientState, Initialisation, NodeKind, Parameter


def parameters(root: nn.Module, monitor: GradientMonitor, judged: bool, trained: bool) -> tuple[Parameter, ...]:
    """The registered parameters of a model.

    `judged` says that a backward pass was tried, `trained` that the model took part in the file's own training step, so
    that what no optimizer of it holds is not trained.
    """
    named = dict(root.named_parameters())
    read = {source for source, _ in monitor.recorder.tape.edges}
    nodes = {name: node for name, value in named.items() if (node := node_read(value, read)) is not None}
    for name, node in nodes.items():
        raw = monitor.recorder.tape.nodes[node]
        raw.kind, raw.name = NodeKind.PARAMETER, name
    executed = executed_functions(monitor.recorder.tape)
    seen = bool(monitor.optimizers and trained)
    return tuple(_parameter(root, name, value, nodes, monitor, judged, executed, seen) for name, value in named.items())


def executed_functions(tape: Tape) -> set[reading.Function]:
    """The functions that ran while the tape was recorded, by file and first line."""
    codes = {code for node in tape.nodes for code, _ in node.frames}
    return {(code.co_filename, code.co_firstlineno) for code in codes}


def node_read(value: torch.Tensor, read: set[int]) -> int | None:
    """The node of a parameter that some op read; None when only initialisers and optimizers touched it."""
    found = autograd.marked(value)
    return found[0] if found is not None and found[0] in read else None


def _parameter(
    root: nn.Module,
    name: str,
    value: nn.Parameter,
    nodes: dict[str, int],
    monitor: GradientMonitor,
    judged: bool,
    executed: set[reading.Function],
    optimizers_seen: bool,
) -> Parameter:
    node = nodes.get(name)
    outer = "" if node is not None else outermost(name, nodes, _called(root, monitor.modules))
    return Parameter(
        name=name,
        shape=tuple(value.shape),
        elements=value.numel(),
        trainable=value.requires_grad or id(value) in monitor.trainable,
        node=node,
        gradient=_state(value, monitor, judged),
        made=_made(root, outer, value, monitor.modules) if node is None else user_frame(made_at(value)),
        frozen=user_frame(value.__dict__.get(FROZEN, ())),
        unused_part=outer,
        owner_read=reading.is_read(root, outer) if node is None else reading.is_read_elsewhere(root, name, executed),
        moved_by_hand=reading.is_moved(root, name),
        optimized=id(value) in monitor.optimized if optimizers_seen else None,
        initialisations=tuple(_initialisations(value, monitor.recorder.fills)),
        filled_elsewhere=id(value) in monitor.lazy or reading.is_filled_elsewhere(root, name, executed),
        measured_rms=monitor.rms_of(value),
        moments=monitor.moments.get(id(value)),
        losses=monitor.losses_of(value),
    )


def _state(value: torch.Tensor, monitor: GradientMonitor, judged: bool) -> GradientState:
    if id(value) in monitor.arrived:
        return GradientState.ARRIVES
    return GradientState.NONE if judged else GradientState.UNMEASURED


def outermost(name: str, touched: Iterable[str], called: Container[str] = ()) -> str:
    """The largest part around a parameter that was neither called nor touched: "block2" of "block2.up.weight"."""
    parts = name.split(".")
    prefixes = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    alone = (prefix for prefix in prefixes if not any(key.startswith(prefix + ".") for key in touched))
    return next((prefix for prefix in alone if prefix not in called), name)


def _called(root: nn.Module, modules: Modules) -> set[str]:
    """The parts that were called, and the containers around them, which nobody calls."""
    names = [name.split(".") for name, part in root.named_modules() if id(part) in modules.called]
    return {".".join(parts[:depth]) for parts in names for depth in range(1, len(parts) + 1)}


def _made(root: nn.Module, part: str, value: nn.Parameter, modules: Modules) -> Frame | None:
    """Where the constructor keeps the part around an unused parameter, else where that was built."""
    if not reading.is_item(root, part) and (held := reading.assigned_at(*reading.holder(root, part))):
        return held
    try:
        module = root.get_submodule(part)
    except AttributeError:
        return user_frame(made_at(value))
    return user_frame(modules.frames_of(module)) or user_frame(made_at(value))


def calls(root: nn.Module, modules: Modules) -> dict[str, Frame]:
    """The place in the user's own code that called each part last."""
    found = ((name, user_frame(modules.called.get(id(part), ()))) for name, part in root.named_modules() if name)
    return {name: frame for name, frame in found if frame is not None}


def built(root: nn.Module, modules: Modules) -> dict[str, Frame]:
    """The place in the user's own code that built each layer of a library."""
    layers = ((name, part) for name, part in root.named_modules() if path_of(part, "") == "")
    found = ((name, user_frame(modules.frames_of(part))) for name, part in layers)
    return {name: frame for name, frame in found if frame is not None}


def user_frame(frames: RawFrames) -> Frame | None:
    """The innermost of the user's own frames."""
    return next((frame for frame in decoded(frames) if frame.user), None)


def _initialisations(value: torch.Tensor, fills: Fills) -> Iterator[Initialisation]:
    for name, args, options, frames in fills.of(value):
        chain = decoded(frames)
        place = next((frame for frame in chain if frame.user), None)
        inner = chain[0] if chain else None
        yield Initialisation(name, literals(args, options), place, inner is None or not inner.user)


def place_of(thing: Any) -> int:
    """The line of a class or function; 1 when it is not known."""
    try:
        lines, start = inspect.getsourcelines(thing)
    except (OSError, TypeError):
        return 1
    offset = next((n for n, line in enumerate(lines) if line.lstrip().startswith(("class ", "def ", "async def "))), 0)
    return max(1, start + offset)


def path_of(module: nn.Module, default: str) -> str:
    """The file of the user's that defines a module's class; `default` for a class of a library."""
    try:
        path = inspect.getsourcefile(type(module))
    except TypeError:
        return default
    return default if path is None or is_library(path) else path


def signature(value: Any) -> str:
    """`float32[2, 3]` for a tensor, the type's name for anything else."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return type(value).__name__
