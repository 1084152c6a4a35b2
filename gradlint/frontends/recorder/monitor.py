"""Watches the backward passes of a recording: which parameters received a gradient, what was raised, where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import hypot, sqrt
from types import FrameType
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder import autograd, inplace, sizes
from gradlint.frontends.recorder.frames import decoded, is_skipped, take
from gradlint.frontends.recorder.mode import Recorder
from gradlint.frontends.recorder.modules import Modules
from gradlint.frontends.recorder.tensors import tensors_in
from gradlint.graph import Frame, Moments
from gradlint.training import HELD, LEAF_WRITTEN, NO_GRADIENT, OVERWRITTEN, RETAINED, Event, EventKind


def _held(frame: FrameType | None) -> dict[str, tuple[int, ...]]:
    """The values that the local names of the running functions stand for, by function."""
    found: dict[str, tuple[int, ...]] = {}
    with torch._C.DisableTorchFunction():
        while frame is not None:
            if not is_skipped(frame.f_code.co_filename):
                marks = [autograd.marked(tensor) for tensor in tensors_in(list(frame.f_locals.values()))]
                found[frame.f_code.co_qualname] = tuple(mark[0] for mark in marks if mark is not None)
            frame = frame.f_back
    return found


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was known when the first backward call failed because nothing required a gradient."""

    events: int
    losses: int
    arrived: frozenset[int]


@dataclass(slots=True)
class GradientMonitor:
    """Collects what the backward passes and the optimizers of a run did.

    `lazy` are the parameters that got their shapes, and were filled, before the run.
    """

    recorder: Recorder
    modules: Modules
    events: list[Event] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    arrived: set[int] = field(default_factory=set)
    trainable: set[int] = field(default_factory=set)
    optimized: set[int] = field(default_factory=set)
    sizes: dict[int, list[float]] = field(default_factory=dict)
    moments: dict[int, Moments | None] = field(default_factory=dict)
    lazy: set[int] = field(default_factory=set)
    optimizers: int = 0
    refusal: Refusal | None = None
    unfed: frozenset[int] | None = None
    due: list[int] = field(default_factory=list)
    stepping: bool = False
    served: dict[int, list[int]] = field(default_factory=dict)

    def before_backward(self, tensors: Sequence[torch.Tensor], frame: FrameType | None, retain_graph: bool) -> None:
        """Notes the loss, and every parameter that wants a gradient now."""
        with torch._C.DisableTorchFunction():
            nodes = [self.recorder.node_of(tensor) for tensor in tensors]
        self.due = nodes if self.stepping else [*self.due, *nodes]
        self.stepping = False
        for node in nodes:
            self.losses.append(node)
            self.events.append(Event(EventKind.LOSS, _user(frame), node, error=RETAINED if retain_graph else ""))
        self.trainable.update(id(p) for p in self.parameters() if p.requires_grad)

    def after_backward(
        self, tensors: Sequence[torch.Tensor], frame: FrameType | None, error: BaseException | None
    ) -> None:
        """Notes which parameters have a gradient now."""
        node = self.losses[-1] if self.losses else None
        event = self._event(EventKind.BACKWARD, _user(frame), node, error)
        self.events.append(replace(event, facts={HELD: _held(frame)}))
        if self.refusal is None and NO_GRADIENT in str(error):
            self.refusal = Refusal(len(self.events), len(self.losses), frozenset(self.arrived))
        with torch._C.DisableTorchFunction():
            for parameter in self.parameters():
                if parameter.grad is not None:
                    self.arrived.add(id(parameter))
                    self._measure(parameter)

    def _measure(self, parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        if id(parameter) not in self.sizes and gradient is not None and sizes.is_measurable(gradient):
            self.sizes[id(parameter)] = [sizes.rms(gradient)]

    def clear(self) -> None:
        """Takes all gradients away, for a backward pass that is measured by itself."""
        for parameter in self.parameters():
            parameter.grad = None

    def measure_again(self) -> None:
        """Adds the gradients of one more backward pass to those that were measured first."""
        for parameter in self.parameters():
            gradient, known = parameter.grad, self.sizes.get(id(parameter))
            if known is not None and gradient is not None and sizes.is_measurable(gradient):
                known.append(sizes.rms(gradient))

    def rms_of(self, parameter: torch.Tensor) -> float | None:
        """The root mean square of a parameter's gradient over the backward passes that measured it."""
        known = self.sizes.get(id(parameter))
        return hypot(*known) / sqrt(len(known)) if known else None

    def weigh(self, root: nn.Module) -> None:
        """Notes the moments of a model's parameters as they stand before its first forward pass."""
        for parameter in root.parameters():
            if id(parameter) not in self.moments and not nn.parameter.is_lazy(parameter):
                self.moments[id(parameter)] = sizes.moments(parameter)

    def forward_failed(self, error: BaseException) -> None:
        """Notes a forbidden in-place write of the forward pass at the op that raised."""
        if LEAF_WRITTEN not in str(error):
            return
        for fault, frames, _ in self.recorder.faults:
            if fault is error:
                place = next((frame for frame in decoded(frames) if frame.user), None)
                self.events.append(Event(EventKind.FORWARD, place, None, str(error), None, place))

    def _event(self, kind: EventKind, frame: Frame | None, node: int | None, error: BaseException | None) -> Event:
        message = str(error) if error is not None else ""
        blamed = inplace.spoiler(message, self.recorder.tape) if OVERWRITTEN in message else None
        written = inplace.place(self.recorder.tape, blamed) or self._last_step()
        return Event(kind, frame, node, message, blamed, written if OVERWRITTEN in message else None)

    def _last_step(self) -> Frame | None:
        return next((event.frame for event in reversed(self.events) if event.kind is EventKind.STEP), None)

    def stepped(self, optimizer: Any, frame: FrameType | None) -> None:
        """Notes a step, and of the first one behind a failed backward call which parameters it cannot move."""
        self.events.append(Event(EventKind.STEP, _user(frame)))
        self.stepping = True
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for parameter in held:
            self.served.setdefault(id(parameter), []).extend(self.due)
        if self.refusal is not None and self.unfed is None:
            self.unfed = frozenset(id(parameter) for parameter in held if parameter.grad is None)

    def losses_of(self, parameter: torch.Tensor) -> tuple[int, ...]:
        """The losses since the step before, of every step of an optimizer that holds a parameter."""
        known = set(self.losses)
        return tuple(node for node in dict.fromkeys(self.served.get(id(parameter), ())) if node in known)

    def settle(self) -> None:
        """Forgets what ran behind a failed backward call, when it fed the very parameters that the call was to feed.

        A discriminator whose own loss is cut off gets a gradient of the generator's loss all the same.
        """
        if self.refusal is not None and self.unfed and self.unfed & self.arrived:
            del self.events[self.refusal.events :], self.losses[self.refusal.losses :]
            self.arrived &= self.refusal.arrived

    def zeroed(self, frame: FrameType | None) -> None:
        """Notes a clearing."""
        self.events.append(Event(EventKind.ZERO_GRAD, _user(frame)))

    def optimizer_built(self, optimizer: Any, parameters: Iterable[torch.Tensor], frame: FrameType | None) -> None:
        """Notes which parameters an optimizer took."""
        self.optimizers += 1
        self.optimized.update(id(parameter) for parameter in parameters)

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters of all modules that were built, and of the copies that were put into them."""
        seen: set[nn.Module] = set()
        for built in list(self.modules.built.values()):
            for part in built.module.modules() if "_modules" in vars(built.module) else ():
                if part not in seen:
                    seen.add(part)
                    yield from (p for p in vars(part)["_parameters"].values() if p is not None)


def _user(frame: FrameType | None) -> Frame | None:
    chain = decoded(take(frame))
    return next((place for place in chain if place.user), chain[0] if chain else None)
