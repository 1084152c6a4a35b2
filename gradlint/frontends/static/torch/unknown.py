"""Training with objects that could not be read: `optimizer.step()` of a function's parameter, by method names."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static.python import arrays
from gradlint.frontends.static.steps.training_state import identity, note
from gradlint.frontends.static.torch import gradients as torch_gradients
from gradlint.frontends.static.torch.backward import CLIPPING, backward
from gradlint.frontends.static.torch.escapes import escaped
from gradlint.frontends.static.torch.optimizers import (
    NONE,
    OPTIMIZER,
    held,
    note_about,
    receiver_at,
    role,
    scaled,
)
from gradlint.frontends.static.values import (
    Arguments,
    Bound,
    Constant,
    Function,
    Tensor,
    Unknown,
    Value,
)
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


Handler = Callable[["Run", Unknown, Arguments, ast.AST], Value | None]


def of_unknown(run: Run, receiver: Unknown, name: str, args: Arguments, at: ast.AST) -> Value | None:
    handler = _UNKNOWN.get(name)
    if handler is not None:
        return handler(run, receiver, args, at)
    if name in arrays.CASTING and (image := arrays.as_bytes(args)) is not None:
        return image
    if name == "convert" and (image := arrays.converted_image(run, args)) is not None:
        return image
    if name in CLIPPING:
        note(run, EventKind.CLIP, at)
    elif torch_gradients.unknown_method(run, name, at):
        return None
    elif name not in _QUIET:
        escaped(run, args, at)
        if "opt" in _hint(at) and name not in _LOOKING:
            note_about(run, EventKind.ESCAPED, at, receiver, None, {"role": OPTIMIZER})
    return None


_LOOKING = frozenset({"state_dict", "add_param_group", "train", "eval", "__repr__"})
"""Methods of optimizers that neither step nor clear."""

_QUIET = frozenset(
    {"append", "extend", "log", "log_metrics", "info", "add_scalar", "update", "set_description", "write"}
)
_QUIET |= {"format", "join", "set_postfix", "debug", "add_graph", "watch", "to", "cuda", "save"}


def _unknown_backward(run: Run, receiver: Unknown, args: Arguments, at: ast.AST) -> Value | None:
    """`loss.backward()`, or `accelerator.backward(loss)` of something that could not be read.

    What gets several values is a kernel's backward pass, which returns gradients.
    """
    if len(args.positional) > 1:
        return None
    first = args.positional[0] if args.positional else None
    given = isinstance(first, Tensor) or (isinstance(first, Unknown) and not isinstance(first, Constant))
    hint = _hint(at)
    if given and not ("loss" in hint or "err" in hint):
        backward(run, first, args, at, by_framework=True)
    else:
        backward(run, receiver, args, at)
    return NONE


def _unknown_step(run: Run, receiver: Unknown, args: Arguments, at: ast.AST) -> Value | None:
    """`x.step()`: an optimizer's, a scheduler's, an environment's; told apart by what it gets and what it is called."""
    first = args.positional[0] if args.positional else args.named.get("closure")
    hint = _hint(at)
    if isinstance(first, (Function, Bound)):
        run.call(first, Arguments(), at)
        note_about(run, EventKind.STEP, at, receiver, None)
    elif first is not None and (role(first) == OPTIMIZER or ("scal" in hint and isinstance(first, Unknown))):
        note_about(run, EventKind.STEP, at, first, held(first), {"scaler": True}, _argument_at(at))
    elif "sched" in hint:
        facts = {"of": None, "given": first is not None}
        note(run, EventKind.SCHEDULE, at, subject=identity(run, receiver, receiver_at(at)), facts=facts)
    elif first is None:
        note_about(run, EventKind.STEP, at, receiver, None, {} if "opt" in hint else {"unsure": True})
    else:
        return None
    return NONE


def _unknown_zero(run: Run, receiver: Unknown, args: Arguments, at: ast.AST) -> Value:
    of = OPTIMIZER if "opt" in _hint(at) else ""
    note_about(run, EventKind.ZERO_GRAD, at, receiver, None, {"of": of})
    return NONE


def _unknown_mode(kind: EventKind) -> Handler:
    def noted(run: Run, receiver: Unknown, args: Arguments, at: ast.AST) -> Value:
        off = bool(args.positional) and run.constant(args.positional[0]) is False
        note_about(run, EventKind.EVAL if off else kind, at, receiver, None)
        return receiver

    return noted


def _unknown_scale(run: Run, receiver: Unknown, args: Arguments, at: ast.AST) -> Value | None:
    if "scal" not in _hint(at) or not args.positional:
        return None
    return scaled(run, args.positional[0], at)


def _unknown_unscale(run: Run, receiver: Unknown, args: Arguments, at: ast.AST) -> Value:
    first = args.positional[0] if args.positional else receiver
    note_about(run, EventKind.UNSCALE, at, first, held(first))
    return NONE


_UNKNOWN: dict[str, Handler] = {
    "backward": _unknown_backward,
    "manual_backward": _unknown_backward,
    "step": _unknown_step,
    "zero_grad": _unknown_zero,
    "train": _unknown_mode(EventKind.TRAIN),
    "eval": _unknown_mode(EventKind.EVAL),
    "scale": _unknown_scale,
    "unscale_": _unknown_unscale,
}


def _hint(at: ast.AST) -> str:
    """The name that the receiver of a method call has, in small letters: all that is known of an unknown object."""
    receiver = receiver_at(at)
    match receiver:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lower()
        case ast.Subscript(value=ast.Name(id=name)) | ast.Subscript(value=ast.Attribute(attr=name)):
            return name.lower()
    return ""


def _argument_at(at: ast.AST) -> ast.AST | None:
    return at.args[0] if isinstance(at, ast.Call) and at.args else None
