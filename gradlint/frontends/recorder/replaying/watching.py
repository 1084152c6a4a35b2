"""Tells a monitor about backward passes, optimizer steps and cleared gradients while user code runs."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Protocol

import torch
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import gradlint
from gradlint.frontends.recorder import patches
from gradlint.training import NO_GRADIENT

INTERNAL = tuple(os.path.join(os.path.abspath(package.__path__[0]), "") for package in (torch, gradlint))


class Monitor(Protocol):
    """What the replay reports to. `frame` is the frame that made the call, torch's and gradlint's own left out."""

    def before_backward(self, tensors: Sequence[torch.Tensor], frame: FrameType, retain_graph: bool) -> None:
        """A backward pass from `tensors` is about to run."""

    def after_backward(self, tensors: Sequence[torch.Tensor], frame: FrameType, error: BaseException | None) -> None:
        """The backward pass ended; `error` is what it raised."""

    def optimizer_built(self, optimizer: Optimizer, parameters: list[torch.Tensor], frame: FrameType) -> None:
        """An optimizer took `parameters`."""

    def stepped(self, optimizer: Optimizer, frame: FrameType) -> None:
        """An optimizer made a step."""

    def zeroed(self, frame: FrameType) -> None:
        """Gradients were cleared."""


def caller() -> FrameType:
    """The innermost frame that belongs neither to torch nor to gradlint."""
    frame: FrameType | None = sys._getframe(1)
    outermost = sys._getframe(1)
    while frame is not None:
        outermost = frame
        if not frame.f_code.co_filename.startswith(INTERNAL):
            return frame
        frame = frame.f_back
    return outermost


@contextlib.contextmanager
def replaced(owner: Any, name: str, build: Callable[[Any], Any]) -> Iterator[None]:
    """`owner.name` is `build(original)` inside the block."""
    with patches.replaced(owner, name, build(getattr(owner, name))):
        yield


@contextlib.contextmanager
def watched(monitor: Monitor) -> Iterator[None]:
    """Every backward pass, step and clearing inside the block is reported to `monitor`."""
    passes = _Passes(monitor)
    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(torch.Tensor, "backward", passes.method))
        stack.enter_context(replaced(torch.autograd, "backward", passes.function))
        stack.enter_context(replaced(torch.optim.Optimizer, "__init__", functools.partial(_built, monitor)))
        for owner in (torch.optim.Optimizer, torch.nn.Module):
            stack.enter_context(replaced(owner, "zero_grad", functools.partial(_zeroing, monitor)))
        for handle in (
            register_optimizer_step_pre_hook(_shorten),
            register_optimizer_step_post_hook(lambda optimizer, *_: monitor.stepped(optimizer, caller())),
        ):
            stack.callback(handle.remove)
        yield


@contextlib.contextmanager
def gradients_watched(monitor: Monitor, namespace: dict[str, Any]) -> Iterator[None]:
    """Calls of `torch.autograd.grad`, under its name in `namespace` too, are reported as backward passes.

    For files that update by hand. The gradients of leaves are in their `grad` while the monitor looks.
    """
    original = torch.autograd.grad
    names = [name for name, value in namespace.items() if value is original]
    with replaced(torch.autograd, "grad", functools.partial(_differentiating, monitor)):
        namespace.update(dict.fromkeys(names, torch.autograd.grad))
        try:
            yield
        finally:
            namespace.update(dict.fromkeys(names, original))


def _differentiating(monitor: Monitor, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def grad(outputs: Any, inputs: Any, *arguments: Any, **keywords: Any) -> Any:
        frame = caller()
        roots = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
        given = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
        leaves = [one for one in given if one.is_leaf]
        before = [one.grad for one in leaves]
        monitor.before_backward(roots, frame, bool(keywords.get("retain_graph")))
        try:
            result = original(roots, given, *arguments, **keywords)
        except BaseException as error:
            monitor.after_backward(roots, frame, error)
            raise
        received = dict(zip(map(id, given), result, strict=True))
        for leaf in leaves:
            leaf.grad = received[id(leaf)].detach() if received[id(leaf)] is not None else None
        monitor.after_backward(roots, frame, None)
        for leaf, value in zip(leaves, before, strict=True):
            leaf.grad = value
        return result

    return grad


def _built(monitor: Monitor, original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def init(self: Optimizer, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        monitor.optimizer_built(self, parameters, caller())

    return init


def _zeroing(monitor: Monitor, original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def zero_grad(self: Any, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        monitor.zeroed(caller())

    return zero_grad


def _shorten(optimizer: Optimizer, *_: Any) -> None:
    """L-BFGS evaluates its closure up to twenty times a step: one evaluation shows the same graph."""
    if isinstance(optimizer, LBFGS):
        for group in optimizer.param_groups:
            group.update(max_iter=1, max_eval=1, line_search_fn=None)


class _Passes:
    """The backward calls under way: `Tensor.backward` calls `autograd.backward`, which must not be reported again.

    A loss without a graph ends the user's program, and not the replay: later losses show what else was meant to learn.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._depth = 0

    def method(self, original: Callable[..., None]) -> Callable[..., None]:
        """Wraps `Tensor.backward`."""

        @functools.wraps(original)
        def backward(
            tensor: torch.Tensor,
            gradient: Any = None,
            retain_graph: bool | None = None,
            create_graph: bool = False,
            inputs: Any = None,
        ) -> None:
            run = functools.partial(original, tensor, gradient, retain_graph, create_graph, inputs)
            self._run(run, (tensor,), create_graph if retain_graph is None else retain_graph)

        return backward

    def function(self, original: Callable[..., None]) -> Callable[..., None]:
        """Wraps `torch.autograd.backward`."""

        @functools.wraps(original)
        def backward(tensors: Any, *arguments: Any, **keywords: Any) -> None:
            roots = (tensors,) if isinstance(tensors, torch.Tensor) else tuple(tensors)
            given = dict(zip(("grad_tensors", "retain_graph", "create_graph"), arguments, strict=False)) | keywords
            keep = given.get("retain_graph")
            run = functools.partial(original, roots, *arguments, **keywords)
            self._run(run, roots, bool(given.get("create_graph")) if keep is None else keep)

        return backward

    def _run(self, run: Callable[[], None], tensors: tuple[torch.Tensor, ...], keep: bool) -> None:
        if self._depth:
            return run()
        frame = caller()
        self._monitor.before_backward(tensors, frame, keep)
        self._depth += 1
        try:
            run()
        except BaseException as error:
            self._monitor.after_backward(tensors, frame, error)
            if NO_GRADIENT not in str(error):
                raise
        else:
            self._monitor.after_backward(tensors, frame, None)
        finally:
            self._depth -= 1
        return None
