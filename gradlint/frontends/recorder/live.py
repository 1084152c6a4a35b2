"""A model that the caller built, recorded in the caller's own process."""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gradlint.frontends.exported_program import live as exported
from gradlint.frontends.recorder import sources
from gradlint.frontends.recorder.feeding.feed import Feed, feed
from gradlint.frontends.recorder.feeding.recipes import describe
from gradlint.frontends.recorder.frames import standing_for
from gradlint.frontends.recorder.generated import SHOWN, Generated, generated
from gradlint.frontends.recorder.session import Session, finished
from gradlint.graph import Model, Node, NodeKind
from gradlint.recording import Recording

HOOKED = r"Using `torch\.compile\(module\)` when there are global hooks"
"""How torch's warning begins about the hooks that the recorder sets for a while."""


def record(
    model: nn.Module | torch.export.ExportedProgram,
    inputs: Any = None,
    *,
    training: bool = True,
    use: str = sources.NEVER,
    seconds: float = math.inf,
) -> Recording:
    """One forward and backward pass of `model`; its gradients, buffers, mode and random state are put back.

    A model that `torch.compile` made is recorded as what it was made of. `use` says whether the compiler is asked about
    the model: "never", "auto" (where it is compiled, or a part of it is) or "always", which asks torch.export
    too; `seconds` bounds how long. That resets what Dynamo holds of this process.
    A `torch.export.ExportedProgram` is read instead. Raises `TargetError` when the forward pass fails.
    """
    if isinstance(model, torch.export.ExportedProgram):
        return exported.record(model, training=training)
    session = _session(model, use)
    model = _plain(model)
    written = generated(model)
    with _put_back(model), standing_for(written.lines), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=HOOKED)
        # The module of an exported program has one mode for good, and says so.
        with contextlib.suppress(NotImplementedError):
            model.train(training)
        fed = feed(model) if inputs is None else _given(inputs)
        job = {"path": SHOWN, "kind": "live"}
        recorded = sources.run(session, model, fed, type(model).__name__, job, trained=training)
        return _named(finished(session, _compiled(session, recorded, seconds)), written)


def _session(model: nn.Module, use: str) -> Session:
    session = Session()
    session.exported = use == sources.ALWAYS
    session.compiled = session.exported or any(map(_is_compiled, model.modules()))
    session.keeps_calls = use != sources.NEVER and session.compiled
    return session


def _compiled(session: Session, model: Model, seconds: float) -> list[Model]:
    """The model with what the compiler made of it, where it was to be asked."""
    if not session.keeps_calls:
        return [model]
    from gradlint.frontends.recorder.compiling import compiled

    return list(compiled(session, [model], seconds))


def _is_compiled(module: nn.Module) -> bool:
    return _plain(module) is not module or getattr(module, "_compiled_call_impl", None) is not None


def _plain(module: nn.Module) -> nn.Module:
    """The module that `torch.compile` was given; any other as it is."""
    inner = getattr(module, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else module


def _named(recording: Recording, written: Generated) -> Recording:
    """The recording with the names of those nodes of a GraphModule that stand for themselves."""

    def named(node: Node) -> Node:
        place = node.at
        own = place is not None and place.path == SHOWN and node.kind is NodeKind.OP
        return replace(node, name=written.names.get(place.line, "")) if own and place is not None else node

    return replace(recording, nodes=tuple(map(named, recording.nodes))) if written.names else recording


def _given(inputs: Any) -> Feed:
    args, options = (
        ((), inputs) if isinstance(inputs, dict) else (inputs if isinstance(inputs, tuple) else (inputs,), {})
    )
    lines = [line for value in args for line in describe(value)]
    return Feed(
        args,
        options,
        "given",
        tuple(lines + [line for name, value in options.items() for line in describe(value, name)]),
    )


@contextlib.contextmanager
def _put_back(model: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in model.modules()}
    gradients = {p: p.grad for p in model.parameters()}
    buffers = {name: copy.copy(b.detach().clone()) for name, b in model.named_buffers()}
    random = torch.get_rng_state()
    try:
        for p in gradients:
            p.grad = None
        yield
    finally:
        torch.set_rng_state(random)
        for part, mode in modes.items():
            part.training = mode
        for p, gradient in gradients.items():
            p.grad = gradient
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
