"""Runs the training step that a file itself shows, cut down to what its backward calls need.

The slices replace the code of the file's own functions (wherever they are held: decorated, registered, as methods) for
the time of the replay. Loops end when every backward call inside was hit twice; the whole ends after a dozen backward
calls or when the time is up.
"""

from __future__ import annotations

import ast
import contextlib
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch.optim import Optimizer

from gradlint.frontends.recorder.alarms import alarm
from gradlint.frontends.recorder.replaying.arranging import arranged, once
from gradlint.frontends.recorder.replaying.entries import enter
from gradlint.frontends.recorder.replaying.instrument import RUNTIME
from gradlint.frontends.recorder.replaying.runtime import MOST_BACKWARDS, Runtime, Stop, Tally
from gradlint.frontends.recorder.replaying.slicing import Plan, plans
from gradlint.frontends.recorder.replaying.supplies import Supplier, filename, substituted
from gradlint.frontends.recorder.replaying.swapping import swapped
from gradlint.frontends.recorder.replaying.watching import Monitor, gradients_watched, watched

Status = Literal["ok", "no-training", "failed", "backward-error"]
ALARM_REPEAT = 0.5
"""Seconds after which the alarm rings again, for code that swallowed the first one."""


@dataclass(frozen=True)
class ReplayResult:
    """How far the replay came.

    `entry` is where it started, `sites` the backward calls that were hit as (line, column), both 1-based; `error` is
    the exception that ended it, that of the backward pass itself when the status says so.
    """

    status: Status
    reason: str = ""
    entry: str = ""
    backward_calls: int = 0
    sites: tuple[tuple[int, int], ...] = ()
    error: BaseException | None = None


@dataclass
class _Counting:
    """Counts backward calls on their way to the monitor, and ends the replay when there were enough."""

    monitor: Monitor
    tally: Tally
    broken: list[BaseException] = field(default_factory=list)

    def before_backward(self, tensors: Sequence[torch.Tensor], frame: types.FrameType, retain_graph: bool) -> None:
        if self.tally.backwards >= MOST_BACKWARDS:
            raise Stop
        self.monitor.before_backward(tensors, frame, retain_graph)

    def after_backward(
        self, tensors: Sequence[torch.Tensor], frame: types.FrameType, error: BaseException | None
    ) -> None:
        self.tally.hit(frame)
        if isinstance(error, Exception):
            self.broken.append(error)
        self.monitor.after_backward(tensors, frame, error)

    def optimizer_built(self, optimizer: Optimizer, parameters: list[torch.Tensor], frame: types.FrameType) -> None:
        self.tally.built += 1
        self.monitor.optimizer_built(optimizer, parameters, frame)

    def stepped(self, optimizer: Optimizer, frame: types.FrameType) -> None:
        self.tally.steps += 1
        self.monitor.stepped(optimizer, frame)

    def zeroed(self, frame: types.FrameType) -> None:
        self.monitor.zeroed(frame)


def replay(module: types.ModuleType, tree: ast.Module, monitor: Monitor, budget_seconds: float = 20) -> ReplayResult:
    """Runs the training code of an imported file under `monitor`, for at most `budget_seconds`.

    Exceptions of the user's code end in the result, never in the caller.
    """
    ways = plans(tree)
    if not ways:
        return ReplayResult("no-training", "nothing in the file calls backward")
    tally = Tally(filename(module), frozenset().union(*(plan.sites for plan in ways)))
    counting = _Counting(monitor, tally)
    supplier = Supplier(module, tree)
    best = ReplayResult("failed", "no time was left")
    with contextlib.suppress(Stop), _alarm(budget_seconds), watched(counting), arranged():
        for plan in ways:
            if _worth_a_run(plan, counting):
                best = _better(best, _run(plan, supplier, counting))
    return best


def _worth_a_run(plan: Plan, counting: _Counting) -> bool:
    """Whether a plan reaches a backward call that was not hit yet; nothing runs after a failed pass."""
    done = counting.broken or counting.tally.backwards >= MOST_BACKWARDS
    return not done and bool(plan.sites - set(counting.tally.hits) or not plan.sites)


def _better(one: ReplayResult, other: ReplayResult) -> ReplayResult:
    """The result that reached backward first, with the sites of later ones; else the first that says why not."""
    if one.backward_calls:
        return replace(one, backward_calls=other.backward_calls, sites=other.sites)
    return other if other.backward_calls or one.error is None else one


def _run(plan: Plan, supplier: Supplier, counting: _Counting) -> ReplayResult:
    tally = counting.tally
    error, lost = _outcome(plan, supplier, counting)
    places = tuple(sorted((line, column + 1) for line, column, _ in tally.hits))
    result = ReplayResult("ok", _told(error), plan.entry, tally.backwards, places, error)
    if counting.broken:
        return replace(result, status="backward-error", reason=_told(counting.broken[0]), error=counting.broken[0])
    if not tally.backwards:
        cause = error or next(iter(lost), None)
        return replace(result, status="failed", reason=_told(cause) or "no backward call was reached", error=cause)
    return result


def _outcome(plan: Plan, supplier: Supplier, counting: _Counting) -> tuple[BaseException | None, list[BaseException]]:
    """Runs one plan; what ended it early (None when it came to its end), and what failed without ending it."""
    with contextlib.ExitStack() as stack:
        runtime = Runtime(counting.tally, plan.loops, once(lambda: stack.enter_context(substituted(supplier.infer))))
        try:
            functions = stack.enter_context(swapped(plan, supplier.module))
            stack.enter_context(_namespace(supplier.module, runtime))
            if plan.by_hand:
                stack.enter_context(gradients_watched(counting, vars(supplier.module)))
            enter(plan, supplier, functions, runtime)
        except Stop as stop:
            return (stop if stop.args else None), runtime.lost
        except (Exception, SystemExit) as error:
            return error, runtime.lost
        return None, runtime.lost


def _told(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}" if error is not None else ""


@contextlib.contextmanager
def _namespace(module: types.ModuleType, runtime: Runtime) -> Iterator[None]:
    """The module's globals with the runtime among them; afterwards they are as before."""
    names = module.__dict__
    before, arguments = dict(names), sys.argv
    names[RUNTIME] = runtime
    sys.argv = [filename(module)]
    try:
        yield
    finally:
        sys.argv = arguments
        for new in set(names) - set(before):
            del names[new]
        names.update(before)


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises `Stop` in the block after `seconds`, and again until it is left; does nothing outside the main thread."""

    def ring() -> None:
        raise Stop("the time was up")

    with alarm(seconds, ring, ALARM_REPEAT):
        yield
