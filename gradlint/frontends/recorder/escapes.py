"""Calls by which a value leaves torch, comes back from outside, or has its gradient switched by hand."""

from __future__ import annotations

from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gradlint.frontends.recorder import autograd, storageless
from gradlint.frontends.recorder.frames import RawFrames, is_skipped, take
from gradlint.frontends.recorder.taint import origins, tracked
from gradlint.frontends.recorder.tape import RawNode
from gradlint.frontends.recorder.tensors import tensors_in
from gradlint.graph import NodeKind, Passage, Reason, ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.recorder.mode import Handler, Recorder

FROZEN, MADE = "gradlint_frozen", "gradlint_made"
"""Marks in a parameter's `__dict__`: the frames that switched its gradient off, and those that built it."""


MATHEMATICS = "math"
"""Stands for a conversion inside of a function of Python's `math`."""

PLAIN = frozenset({"__float__", "__int__", "__index__", "__complex__", "__bool__"})
"""Conversions whose result Python insists on being of the plain type."""


def leave(
    recorder: Recorder, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], frame: FrameType
) -> Any:
    """A conversion to numpy or to Python numbers: the result remembers where it came from."""
    tensor = args[0]
    source = recorder.node_of(tensor)
    result = storageless.value(name, tensor, recorder.branch) if tensor.is_meta else function(*args, **options)
    array = isinstance(result, np.ndarray)
    node = recorder.tape.add(
        RawNode(
            kind=NodeKind.OP,
            native=name,
            call=recorder.tape.call(),
            owner=recorder.owner(),
            frames=take(frame),
            value=ValueKind.ARRAY if array else ValueKind.SCALAR,
            dtype=str(result.dtype) if array else type(result).__name__,
            shape=tuple(result.shape) if array else (),
            grad_enabled=torch.is_grad_enabled(),
        )
    )
    outside = array or name.startswith(MATHEMATICS)
    recorder.tape.link(source, node, Passage.BLOCKED, Reason.NUMPY if outside else Reason.SCALAR)
    # `float(t)` and its like take nothing but the plain type; `Recorder.number` tracks them where it can.
    return result if name in PLAIN else tracked(result, frozenset({node}))


def point(
    recorder: Recorder, _: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], frame: FrameType
) -> Any:
    """`data_ptr()` in the user's code: foreign code may read this memory, or fill it from memory handed out before."""
    if is_skipped(frame.f_code.co_filename):
        return function(*args, **options)
    tensor = args[0]
    source = recorder.node_of(tensor)
    node = recorder.adopt_version(tensor, "data_ptr", frame)
    recorder.tape.link(source, node, *((Passage.BLOCKED, Reason.OPAQUE) if recorder.pointers else ()))
    for earlier in recorder.pointers:
        recorder.tape.link(earlier, node, Passage.BLOCKED, Reason.OPAQUE)
    recorder.pointers.append(source)
    return function(*args, **options)


def arrive(
    recorder: Recorder, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], frame: FrameType
) -> Any:
    """`torch.tensor`, `torch.as_tensor` and their like: a tensor is built from numbers, arrays or other tensors."""
    made = function(*args, **options)
    data = (*(args[1:] if name == "new_tensor" else args), *options.values())
    if not any(made is value for value in args):
        of_type = next((str(value.dtype) for value in data if isinstance(value, np.ndarray)), "")
        recorder.foreign(name, frame, made, origins(data), tensors_in(data), of_type=of_type)
    return made


def switch(
    recorder: Recorder, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], frame: FrameType
) -> Any:
    """`requires_grad_()` and `.requires_grad = ...`: a freeze, or a gradient switched on behind a cut."""
    tensor = args[0]
    wanted = options.get("requires_grad", args[1] if len(args) > 1 else True)
    before = tensor.requires_grad
    source = recorder.node_of(tensor) if wanted and not before else -1
    result = function(*args, **options)
    if not wanted:
        tensor.__dict__[FROZEN] = take(frame)
    elif not before and recorder.is_computed(source):
        node = recorder.adopt_version(tensor, name, frame)
        recorder.tape.link(source, node, Passage.BLOCKED, Reason.MASKED)
    return result


def differentiate(
    recorder: Recorder, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], frame: FrameType
) -> Any:
    """`torch.autograd.grad`: what it differentiates by must require a gradient, which then hides no cut."""
    for tensor in tensors_in((options.get("inputs", args[1:2]),)):
        recorder.tape.unmask(recorder.node_of(tensor))
    return recorder.record(function, name, args, options, frame)


def detach_in_place(
    recorder: Recorder, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], frame: FrameType
) -> Any:
    """`x.detach_()`: the same tensor object, cut off from its history."""
    source = recorder.node_of(args[0])
    result = function(*args, **options)
    node = recorder.adopt_version(args[0], name, frame)
    recorder.tape.link(source, node, Passage.BLOCKED, Reason.DETACH)
    return result


def replace_data(
    recorder: Recorder, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any], frame: FrameType
) -> Any:
    """`x.data = y`: a parameter stays itself, any other tensor becomes a detached `y`."""
    tensor, new = args[0], args[1]
    source = recorder.node_of(new)
    old = recorder.node_of(tensor)
    result = function(*args, **options)
    if tensor.requires_grad and autograd.history(tensor) is None:
        autograd.mark(tensor, old)
        return result
    node = recorder.adopt_version(tensor, name, frame)
    recorder.tape.link(source, node, Passage.BLOCKED, Reason.DETACH)
    return result


def made_at(parameter: torch.Tensor) -> RawFrames:
    """The frames that built a parameter; empty where it was not seen."""
    found: RawFrames = parameter.__dict__.get(MADE, ())
    return found


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(storageless.READERS, leave),
    "data_ptr": point,
    **dict.fromkeys(("tensor", "as_tensor", "asarray", "from_numpy", "scalar_tensor", "new_tensor"), arrive),
    "requires_grad_": switch,
    "set:requires_grad": switch,
    "set:data": replace_data,
    "detach_": detach_in_place,
    "grad": differentiate,
}
