"""Backward passes, gradients that are asked for, and clipping, as events."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradlint.frontends.static.record.kept_sums import note_sums
from gradlint.frontends.static.steps.training_state import identity, note, tensor_identities
from gradlint.frontends.static.torch.optimizers import (
    argument,
    parameters_of,
    receiver_at,
)
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Sequence,
    Tensor,
    Unknown,
    Value,
)
from gradlint.training import HELD, EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Activation, Run

CLIPPING = frozenset({"clip_grad_norm_", "clip_grad_value_", "clip_grad_norm", "clip_grads_with_norm_", "clip_grad_"})
"""Functions that bound gradients."""


def backward(run: Run, loss: Value | None, args: Arguments, at: ast.AST, by_framework: bool = False) -> None:
    """Notes a backward pass; what it reaches is worked out when all is known."""
    if loss is None:
        return
    if isinstance(loss, Unknown):
        note_sums(run, at)
    number = identity(run, loss)
    options = {name: run.constant(value) is True for name, value in args.named.items()}
    node = run.read(loss)
    facts = {
        "scaled": number in run.training.scaled or "scale" in _made_by(at),
        "retain": options.get("retain_graph", False) or options.get("create_graph", False),
        "create": options.get("create_graph", False),
        "framework": by_framework,
        "subject": number,
        "grad": run.grad_enabled,
        HELD: _held(run),
    }
    note(run, EventKind.BACKWARD, at, node=None if node == NO_NODE else node, facts=facts)


def _held(run: Run) -> dict[str, tuple[int, ...]]:
    """The values that the running functions' own names stand for, by function."""
    found: dict[str, tuple[int, ...]] = {}
    activation: Activation | None = run.activation
    while activation is not None:
        values = [v for v in activation.scope.names.values() if isinstance(v, (Tensor, Sequence))]
        found[activation.name] = tuple(node for v in values for node in _nodes_of(v))
        activation = activation.outer
    return found


def _nodes_of(value: Value) -> Iterator[int]:
    if isinstance(value, Tensor) and value.node != NO_NODE:
        yield value.node
    for item in value.items if isinstance(value, Sequence) else ():
        yield from _nodes_of(item)


def _made_by(at: ast.AST) -> str:
    receiver = receiver_at(at)
    called = isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute)
    return receiver.func.attr if called else ""  # type: ignore[union-attr]


def gradients_taken(run: Run, args: Arguments, at: ast.AST) -> None:
    inputs, exact = parameters_of(argument(args, 1, "inputs"))
    create = run.constant(args.named.get("create_graph"), False) is True
    parameters = tensor_identities(run, inputs) if exact else None
    output = argument(args, 0, "outputs")
    node = run.read(output) if output is not None else NO_NODE
    facts = {"how": "autograd.grad", "create": create}
    note(run, EventKind.GRADIENT, at, node=None if node == NO_NODE else node, parameters=parameters, facts=facts)


def clipped(run: Run, args: Arguments, at: ast.AST) -> None:
    tensors, exact = parameters_of(argument(args, 0, "parameters"))
    note(run, EventKind.CLIP, at, parameters=tensor_identities(run, tensors) if exact and tensors else None)
