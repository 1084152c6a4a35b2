"""Gradients that are switched, cut and replaced by hand: `requires_grad`, `detach`, `.data`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.record import emission
from gradlint.frontends.static.record.emission import CUT, REQUIRES_GRAD, Output, begin, result
from gradlint.frontends.static.steps.training_state import FREED
from gradlint.frontends.static.values import NO_NODE, Arguments, Constant, Tensor, Value
from gradlint.graph import NodeKind, Passage, Reason
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def switched(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> Value:
    """`requires_grad_()`."""
    wanted = args.positional[0] if args.positional else args.named.get(REQUIRES_GRAD, Constant(True))
    switch(run, receiver, run.truth(wanted), "requires_grad_", at)
    return receiver


def switch(run: Run, tensor: Tensor, wanted: bool | None, native: str, at: ast.AST) -> None:
    """Switches the gradient of a tensor: a freeze, or a gradient switched on behind a cut.

    What was computed and lost its gradient hides that by requiring one again.
    """
    before = emission.requires_grad(run, tensor)
    if wanted is None:
        run.write(tensor.state, REQUIRES_GRAD, None)
        return
    if not wanted:
        if tensor.parameter or tensor.leaf:
            _remember_training(run, tensor)
            run.write(tensor.state, REQUIRES_GRAD, False)
            run.write(tensor.state, FREED, None)
            run.write(run.frozen, id(tensor), run.frame(at))
            run.keep.append(tensor)
        return
    if tensor.parameter or tensor.leaf or tensor.node == NO_NODE or not _is_computed(run, tensor.node):
        run.write(tensor.state, REQUIRES_GRAD, True)
        if id(tensor) in run.frozen:
            run.write(tensor.state, FREED, len(run.events))
        if tensor.made is None:
            run.write(tensor, "made", run.frame(at))
    elif before is False:
        _mask(run, tensor, native, at)


TRAINED = " trained"
"""Marks a parameter that is frozen now, but was not in an earlier backward pass."""


def _remember_training(run: Run, tensor: Tensor) -> None:
    if emission.requires_grad(run, tensor) is not False and any(e.kind is EventKind.BACKWARD for e in run.events):
        run.write(tensor.state, TRAINED, True)


def _is_computed(run: Run, node: int) -> bool:
    return run.tape.nodes[node].kind is NodeKind.OP and node in run.tape.sources


def _mask(run: Run, tensor: Tensor, native: str, at: ast.AST) -> None:
    call = emission.Call(run.tape.call(), native, at, ())
    made = result(run, call, Output(tensor.dtype, tensor.shape))
    run.tape.nodes[made.node].inplace = True
    run.tape.nodes[made.node].requires_grad = True
    run.tape.link(tensor.node, made.node, Passage.BLOCKED, Reason.MASKED)
    run.write(tensor, "node", made.node)


def detach_in_place(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> Value:
    """`detach_()`: the same object, cut off from its history."""
    if receiver.parameter or receiver.leaf or receiver.node == NO_NODE:
        return receiver
    _rewritten(run, receiver, "detach_", receiver.node, at)
    return receiver


def _rewritten(run: Run, tensor: Tensor, native: str, source: int, at: ast.AST) -> None:
    """A new version of a tensor whose content came along a cut."""
    call = emission.Call(run.tape.call(), native, at, ())
    made = result(run, call, Output(tensor.dtype, tensor.shape))
    run.tape.nodes[made.node].inplace = True
    run.tape.link(source, made.node, Passage.BLOCKED, Reason.DETACH)
    run.write(tensor, "node", made.node)


def detach(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> Value:
    return cut(run, "detach", receiver, at)


def cut(run: Run, native: str, receiver: Tensor, at: ast.AST) -> Tensor:
    """`.detach()` or `.data`: the same memory without history."""
    call = begin(run, native, Arguments((receiver,)), at)
    made = result(run, call, Output(receiver.dtype, receiver.shape, receiver))
    made.state[CUT] = True
    return made


def replace_data(run: Run, receiver: Tensor, value: Value, at: ast.AST) -> None:
    """`x.data = y`: a parameter stays itself, any other tensor becomes a detached `y`."""
    if isinstance(value, Tensor):
        run.write(receiver, "shape", value.shape)
    emission.filled(run, receiver, "set:data", {}, at)
    if receiver.parameter or (receiver.leaf and emission.requires_grad(run, receiver) is not False):
        return
    for source in run.nodes_in(value)[:1]:
        run.read(receiver)
        _rewritten(run, receiver, "set:data", source, at)
