"""What a torch function mode does not see, patched for the time of a recording."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.grad_mode import inference_mode

from gradlint.frontends.recorder import escapes
from gradlint.frontends.recorder.frames import take
from gradlint.frontends.recorder.mode import Recorder
from gradlint.frontends.recorder.taint import origins, tracked
from gradlint.frontends.recorder.tensors import tensors_in

CHECKPOINT = "torch.utils.checkpoint"
"""The module whose reentrant function runs the user's own code, which is recorded op by op."""

_FROM_OUTSIDE = ("from_numpy", "frombuffer", "from_dlpack")
_ARRAY_MAKERS = (
    "array asarray asanyarray ascontiguousarray stack concatenate vstack hstack mean sum average median std var max "
    "min "
    "exp log sqrt tanh sin cos abs dot matmul clip where"
).split()


@contextlib.contextmanager
def installed(recorder: Recorder) -> Iterator[None]:
    """All patches, taken back at the end."""
    with contextlib.ExitStack() as stack:
        for patch in (
            _outside,
            _functions,
            _parameters,
            _inference,
            _initialisers,
            _mathematics,
            _arrays,
            _accelerators,
        ):
            stack.enter_context(patch(recorder))
        yield


@contextlib.contextmanager
def replaced(holder: Any, name: str, new: Any) -> Iterator[None]:
    """An attribute replaced for a while."""
    own = name in vars(holder)
    old = vars(holder).get(name)
    setattr(holder, name, new)
    try:
        yield
    finally:
        if own:
            setattr(holder, name, old)
        else:
            delattr(holder, name)


def caller() -> FrameType:
    """The frame that called the patched function."""
    return sys._getframe(2)


@contextlib.contextmanager
def _outside(recorder: Recorder) -> Iterator[None]:
    """`torch.from_numpy` and its like build tensors without the mode being asked."""

    def patched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def build(*args: Any, **options: Any) -> Any:
            plain = tuple(arg.view(np.ndarray) if isinstance(arg, np.ndarray) else arg for arg in args)
            made = original(*plain, **options)
            recorder.foreign(name, caller(), made, origins(args), tensors_in(args))
            return made

        return functools.wraps(original)(build)

    with contextlib.ExitStack() as stack:
        for name in _FROM_OUTSIDE:
            stack.enter_context(replaced(torch, name, patched(name, getattr(torch, name))))
        yield


@contextlib.contextmanager
def _functions(recorder: Recorder) -> Iterator[None]:
    """Custom autograd functions are one op each, whatever happens inside."""
    original = torch.autograd.Function.apply.__func__  # type: ignore[attr-defined]

    def apply(cls: Any, *args: Any, **options: Any) -> Any:
        if not recorder.listening() or cls.__module__ == CHECKPOINT:
            return original(cls, *args, **options)
        with torch._C.DisableTorchFunction():
            return recorder.record(
                functools.partial(original, cls), "Function:" + cls.__name__, args, options, caller(), custom=cls
            )

    with replaced(torch.autograd.Function, "apply", classmethod(apply)):
        yield


@contextlib.contextmanager
def weighed(recorder: Recorder) -> Iterator[None]:
    """Counts the memory of the parameters that are built inside the block; raises `TooLargeError` there."""
    original = nn.Parameter.__new__
    recorder.bytes_built = 0

    def new(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:
        made = original(cls, data, requires_grad)
        recorder.weigh(made)
        return made

    with replaced(nn.Parameter, "__new__", staticmethod(new)):
        yield
    recorder.bytes_built = 0


@contextlib.contextmanager
def _parameters(recorder: Recorder) -> Iterator[None]:
    """A parameter remembers where it was built; one built from a computed tensor is cut off from it."""
    original = nn.Parameter.__new__

    def new(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:
        made = original(cls, data, requires_grad)
        recorder.weigh(made)
        made.__dict__[escapes.MADE] = take(caller())
        recorder.fills.own(made)
        if recorder.owner() is not None and not any(code.co_name == "__init__" for code, _ in escapes.made_at(made)):
            recorder.made_inside.append(made)
        if isinstance(data, torch.Tensor) and recorder.listening() and recorder.is_result(data, made):
            recorder.foreign("Parameter", caller(), made, frozenset(), [data])
        return made

    with replaced(nn.Parameter, "__new__", staticmethod(new)):
        yield


@contextlib.contextmanager
def _inference(recorder: Recorder) -> Iterator[None]:
    """`inference_mode` switches the gradient off without a call that the mode sees."""
    enter, leave = inference_mode.__enter__, inference_mode.__exit__

    def entering(self: Any) -> None:
        recorder.grad.switch(not self.mode, caller())
        enter(self)

    def leaving(self: Any, *error: Any) -> None:
        leave(self, *error)
        if torch.is_grad_enabled():
            recorder.grad.place = None

    with replaced(inference_mode, "__enter__", entering), replaced(inference_mode, "__exit__", leaving):
        yield


@contextlib.contextmanager
def _initialisers(recorder: Recorder) -> Iterator[None]:
    """`torch.nn.init` functions are kept with their arguments for the tensor that they fill."""

    def patched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def initialise(tensor: Any, *args: Any, **options: Any) -> Any:
            result = original(tensor, *args, **options)
            if isinstance(tensor, torch.Tensor):
                recorder.filled(tensor, (name, args, options, take(caller())), caller())
            return result

        return functools.wraps(original)(initialise)

    names = [name for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")]
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(replaced(nn.init, name, patched(name, getattr(nn.init, name))))
        yield


@contextlib.contextmanager
def _mathematics(recorder: Recorder) -> Iterator[None]:
    """Functions of `math` pass the origin of a tracked number on; given a tensor they read it as a number."""

    def patched(original: Callable[..., Any]) -> Callable[..., Any]:
        def compute(*args: Any, **options: Any) -> Any:
            if not any(isinstance(arg, torch.Tensor) for arg in args):
                return tracked(original(*args, **options), origins(args))
            numbers = [
                recorder.number(arg, float, caller(), f"{escapes.MATHEMATICS}.{original.__name__}")
                if isinstance(arg, torch.Tensor)
                else arg
                for arg in args
            ]
            return tracked(original(*numbers, **options), origins(numbers))

        return functools.wraps(original)(compute)

    with contextlib.ExitStack() as stack:
        for name in (
            "exp",
            "log",
            "log2",
            "log10",
            "log1p",
            "expm1",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "tanh",
            "pow",
            "floor",
            "ceil",
        ):
            stack.enter_context(replaced(math, name, patched(getattr(math, name))))
        yield


@contextlib.contextmanager
def _arrays(recorder: Recorder) -> Iterator[None]:
    """numpy functions that are handed lists of tensors or of tracked numbers keep their origin."""

    def patched(original: Callable[..., Any]) -> Callable[..., Any]:
        def compute(*args: Any, **options: Any) -> Any:
            if recorder.listening() and tensors_in(args):
                args = recorder.as_arrays(args, caller())
            return tracked(original(*args, **options), origins(args))

        return functools.wraps(original)(compute)

    with contextlib.ExitStack() as stack:
        for name in _ARRAY_MAKERS:
            if not isinstance(getattr(np, name), np.ufunc):
                stack.enter_context(replaced(np, name, patched(getattr(np, name))))
        yield


@contextlib.contextmanager
def _accelerators(_: Recorder) -> Iterator[None]:
    """Housekeeping calls on an accelerator that is not there do nothing."""

    names = ("synchronize", "set_device", "empty_cache", "manual_seed", "manual_seed_all", "reset_peak_memory_stats")
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(replaced(torch.cuda, name, _nothing()))
        stack.enter_context(replaced(torch, "compile", _uncompiled))
        yield


def _nothing() -> Callable[..., None]:
    """A function that does nothing; a new one each time, since torch's compiler tells functions apart by identity."""
    return lambda *args, **options: None


def _uncompiled(model: Any = None, **_: Any) -> Any:
    """`torch.compile` for a recording: the model as it is."""
    return model if model is not None else lambda compiled: compiled
