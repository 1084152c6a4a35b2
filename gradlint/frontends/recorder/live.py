"""A model that the caller built, recorded in the caller's own process."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradlint.frontends.exported_program import live as exported
from gradlint.frontends.recorder import sources
from gradlint.frontends.recorder.feeding.feed import Feed, feed
from gradlint.frontends.recorder.feeding.recipes import describe
from gradlint.frontends.recorder.session import Session, finished
from gradlint.recording import Recording


def record(model: nn.Module | torch.export.ExportedProgram, inputs: Any = None, *, training: bool = True) -> Recording:
    """One forward and backward pass of `model`; its gradients, buffers, mode and random state are put back.

    A `torch.export.ExportedProgram` is read instead. Raises `TargetError` when the forward pass fails.
    """
    if isinstance(model, torch.export.ExportedProgram):
        return exported.record(model, training=training)
    session = Session()
    with _put_back(model):
        # The module of an exported program has one mode for good, and says so.
        with contextlib.suppress(NotImplementedError):
            model.train(training)
        fed = feed(model) if inputs is None else _given(inputs)
        job = {"path": "<live>", "kind": "live"}
        recorded = sources.run(session, model, fed, type(model).__name__, job, trained=training)
    return finished(session, [recorded])


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
