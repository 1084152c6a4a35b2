"""Which modules were built, by whom, and which of them is running."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from gradlint.frontends.recorder.frames import DEPTH, RawFrames, take
from gradlint.frontends.recorder.patches import replaced

OWN = frozenset(vars(nn.Module()))
"""Attributes that every module has for itself."""


@dataclass(frozen=True, slots=True)
class Built:
    """A module, the frames that built it, and the module in whose constructor that happened."""

    module: nn.Module
    frames: RawFrames
    maker: nn.Module | None


@dataclass(slots=True)
class Modules:
    """The modules of one recording. `first_call` and `returned` are told of every outermost call."""

    stack: list[nn.Module] = field(default_factory=list)
    built: dict[int, Built] = field(default_factory=dict)
    started: dict[int, nn.Module] = field(default_factory=dict)
    called: dict[int, RawFrames] = field(default_factory=dict)
    first_call: Callable[[nn.Module, Any, dict[str, Any]], None] = lambda module, inputs, options: None
    returned: Callable[[nn.Module, Any], None] = lambda module, output: None

    def running(self) -> nn.Module | None:
        """The innermost running module."""
        return self.stack[-1] if self.stack else None

    def owner(self) -> int | None:
        """Identifies the innermost running module."""
        return id(self.stack[-1]) if self.stack else None

    def roots(self) -> list[nn.Module]:
        """The modules that hold something to train and are part of no other, in the order of their making."""
        children = {id(child) for built in self.built.values() for child in built.module.children()}
        return [
            built.module
            for built in self.built.values()
            if id(built.module) not in children and not self._belongs(built) and holds_weights(built.module)
        ]

    def _belongs(self, built: Built) -> bool:
        return built.maker is not None and id(built.maker) in self.built

    def frames_of(self, module: nn.Module) -> RawFrames:
        """The frames that built a module; empty where it was not seen."""
        found = self.built.get(id(module))
        return found.frames if found else ()


def holds_weights(module: nn.Module) -> bool:
    """Whether a module has parameters, its own or those of modules that it keeps out of sight."""
    if "_parameters" not in vars(module):
        return False
    return next(module.parameters(), None) is not None or any(True for _ in kept_aside(module))


def kept_aside(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Lists, tuples, sets, dicts and tensors among the plain attributes of a module and its submodules, by dotted
    name."""
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in OWN and (isinstance(value, torch.Tensor) or _holds_learners(value)):
                yield f"{prefix}.{name}".lstrip("."), value


def _holds_learners(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, dict)) and any(True for _ in learners(value))


def learners(value: Any, depth: int = 3) -> Iterator[nn.Module | nn.Parameter]:
    """Modules and parameters in nested plain containers."""
    if isinstance(value, (nn.Module, nn.Parameter)):
        yield value
    elif depth and isinstance(value, (list, tuple, set)):
        for item in value:
            yield from learners(item, depth - 1)
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from learners(item, depth - 1)


@contextlib.contextmanager
def watched(modules: Modules) -> Iterator[None]:
    """Keeps the record of modules up to date for a while."""
    original, restore = nn.Module.__init__, nn.Module.__setstate__

    @functools.wraps(original)
    def construct(self: nn.Module, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        frame = _outside(self, sys._getframe(1))
        modules.built[id(self)] = Built(self, take(frame), _maker(self, frame, modules.running()))

    @functools.wraps(restore)
    def restored(self: nn.Module, state: Any) -> None:
        restore(self, state)  # type: ignore[no-untyped-call]
        modules.built[id(self)] = Built(self, take(sys._getframe(1)), modules.running())

    before = register_module_forward_pre_hook(functools.partial(_enter, modules))
    after = register_module_forward_hook(functools.partial(_leave, modules), always_call=True)
    try:
        with replaced(nn.Module, "__init__", construct), replaced(nn.Module, "__setstate__", restored):
            yield
    finally:
        before.remove()
        after.remove()


def _enter(modules: Modules, module: nn.Module, inputs: Any) -> None:
    if not modules.stack and id(module) not in modules.started:
        modules.started[id(module)] = module
        modules.first_call(module, inputs, sys._getframe(1).f_locals.get("kwargs") or {})
    modules.called[id(module)] = take(sys._getframe(1))
    modules.stack.append(module)


def _leave(modules: Modules, module: nn.Module, _: Any, output: Any) -> None:
    while modules.stack and modules.stack.pop() is not module:
        continue
    if not modules.stack:
        modules.returned(module, output)


def _outside(module: nn.Module, frame: FrameType | None) -> FrameType | None:
    """The frame that called the module's class, outside of its chain of constructors."""
    while frame is not None and frame.f_code.co_name == "__init__" and _first_local(frame) is module:
        frame = frame.f_back
    return frame


def _first_local(frame: FrameType) -> Any:
    names = frame.f_code.co_varnames
    return frame.f_locals.get(names[0]) if names else None


def _maker(module: nn.Module, frame: FrameType | None, running: nn.Module | None) -> nn.Module | None:
    """The module whose constructor is running around this one's, else the one whose forward is."""
    for _ in range(DEPTH):
        if frame is None:
            break
        if frame.f_code.co_name == "__init__":
            holder = _first_local(frame)
            if isinstance(holder, nn.Module) and holder is not module:
                return holder
        frame = frame.f_back
    return running
