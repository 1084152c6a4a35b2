"""One forward pass of a model on trial, after which the model is as it was."""

from __future__ import annotations

import contextlib
import copy
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from gradlint.frontends.recorder.feeding.limits import time_limit
from gradlint.frontends.recorder.feeding.probe import Demand, Probe

SEED = 0
MAX_CLONED_ELEMENTS = 5_000_000
"""Parameters are copied before a trial up to this many elements (20 MiB); larger models must not write them."""
LEAF_PACKAGE = "torch.nn.modules"
TRIAL_SECONDS = 20.0

_TRANSPARENT = (
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Sequential,
    nn.ModuleList,
    nn.Dropout,
    nn.ReLU,
    nn.GELU,
    nn.Tanh,
)


@dataclass(frozen=True)
class Failure:
    """Where a trial ended: the layer that was running, the shapes and dtypes it was given, and the error."""

    error: BaseException
    layer: nn.Module | None
    given: tuple[Any, ...]
    progress: int


@dataclass(frozen=True)
class Success:
    """A trial that ran to the end."""

    output: Any
    progress: int


class _Sink(io.TextIOBase):
    """A text stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


class _Counter(TorchFunctionMode):
    """Counts torch functions: a trial that gets further is closer to the truth."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.count += 1
        return result


def run(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Success | Failure:
    """Runs `model(*args, **kwargs)` without gradients in its present mode; model, buffers and RNGs are restored."""
    subject = _copy_of(model) if is_lazy(model) else model
    stack: list[tuple[nn.Module, tuple[Any, ...]]] = []
    counter = _Counter()
    with preserved(subject), _watched(stack), quiet():
        try:
            with torch.no_grad(), counter, time_limit(TRIAL_SECONDS):
                output = subject(*args, **kwargs)
        except (Exception, Demand) as error:
            layer, given = stack[-1] if stack else (None, ())
            return Failure(error, layer, given, counter.count)
    return Success(output, counter.count)


def _copy_of(model: nn.Module) -> nn.Module:
    """A model that may get its shapes without the original; the original where torch copies no buffer without one."""
    try:
        return copy.deepcopy(model)
    except ValueError:
        return model


def is_lazy(model: nn.Module) -> bool:
    """Whether a parameter waits for its first input to get a shape."""
    return any(nn.parameter.is_lazy(one) for one in model.parameters())


@contextlib.contextmanager
def seeded(seed: int = SEED) -> Iterator[None]:
    """The same random numbers inside the block every time; the generators of torch, numpy and Python are restored."""
    states = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        numpy.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            numpy.random.set_state(states[1])


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Restores buffers, parameters, attributes, modes and random state of `model` after the block."""
    attributes = {module: _attributes(module) for module in model.modules()}
    tensors = _copies(model)
    with seeded():
        try:
            yield
        finally:
            for module, saved in attributes.items():
                _restore(module, saved)
            with torch.no_grad():
                for tensor, values in tensors.items():
                    tensor.data.copy_(values)


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: _shallow(value) for name, value in vars(module).items()}


def _shallow(value: Any) -> Any:
    return copy.copy(value) if type(value) in (dict, list, set) else value


def _restore(module: nn.Module, saved: dict[str, Any]) -> None:
    for name in set(vars(module)) - set(saved):
        del vars(module)[name]
    for name, value in saved.items():
        present = vars(module).get(name)
        if isinstance(present, dict) and isinstance(value, dict):
            _restore_items(present, value)
        elif isinstance(present, list) and isinstance(value, list):
            present[:] = value
        elif present is not value:
            vars(module)[name] = value


def _restore_items(present: dict[Any, Any], saved: dict[Any, Any]) -> None:
    same = list(present) == list(saved) and all(present[key] is saved[key] for key in saved)
    if not same:
        present.clear()
        present.update(saved)


def _copies(model: nn.Module) -> dict[torch.Tensor, torch.Tensor]:
    parameters = [one for one in model.parameters() if not nn.parameter.is_lazy(one)]
    small = sum(one.numel() for one in parameters) <= MAX_CLONED_ELEMENTS
    buffers = [one for one in model.buffers() if not nn.parameter.is_lazy(one)]
    kept = [*buffers, *(parameters if small else ())]
    return {one: one.detach().clone() for one in kept if not one.is_inference()}


@contextlib.contextmanager
def _watched(stack: list[tuple[nn.Module, tuple[Any, ...]]]) -> Iterator[None]:
    """Keeps the modules that are running on `stack`, and stops at torch's own layers that are given a probe."""

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        stack.append((module, inputs))
        probe = next((one for one in inputs if isinstance(one, Probe)), None)
        if probe is not None and is_leaf(module) and not isinstance(module, _TRANSPARENT):
            raise probe.demand("layer", (module, inputs))

    def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        stack.pop()

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def is_leaf(module: nn.Module) -> bool:
    """Whether the module is one of torch's own layers."""
    return type(module).__module__.startswith(LEAF_PACKAGE)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops what user code prints during a trial."""
    with contextlib.redirect_stdout(_Sink()), contextlib.redirect_stderr(_Sink()):
        yield
