"""What a training loop does, as events in their order.

A front-end notes an event for every call that matters to training: gradients cleared, a backward pass, a step. The
events of one outermost loop (or of one `training_step` method) make a `TrainingStep`; calls of helper functions and of
methods stand inlined where they happen. A loop that was read from source is there with two passes, so that what one
pass leaves to the next can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gradlint.frame import Frame

RETAINED = "retained"
"""Text of a loss event whose backward pass keeps the graph."""
HELD = "held"
"""Fact of a backward call: the values that the names of the running functions stand for then, by function."""

SECOND_TIME = "backward through the graph a second time"
OVERWRITTEN = "modified by an inplace operation"
LEAF_WRITTEN = "is being used in an in-place operation"
NO_GRADIENT = "does not require grad and does not have a grad_fn"
"""Parts of what torch says when it refuses a backward pass."""


class EventKind(StrEnum):
    """What happens in a training loop, and what is built before it."""

    FORWARD = "forward"
    LOSS = "loss"
    ZERO_GRAD = "zero-grad"
    BACKWARD = "backward"
    STEP = "step"
    GRADIENT = "gradient"
    ASSIGNED = "assigned"
    UNSCALE = "unscale"
    CLIP = "clip"
    UPDATE = "update"
    REBOUND = "rebound"
    KEPT = "kept"
    OPTIMIZER = "optimizer"
    SCHEDULER = "scheduler"
    SCHEDULE = "schedule"
    TRAIN = "train"
    EVAL = "eval"
    CHANGED = "changed"
    ESCAPED = "escaped"


@dataclass(frozen=True, slots=True)
class Condition:
    """A test that could not be decided, and the branch that we are in. Equal tests in one pass decide alike."""

    text: str
    taken: bool
    frame: Frame | None = None

    @property
    def key(self) -> tuple[str, bool]:
        """What two tests must share to decide alike."""
        return (self.text, self.taken)


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    `node` is the loss of a backward call, the result of an update; `error` what a call raised; `blamed` the node that
    torch's own message points at (in-place overwrites), or the cut between a loss and its backward call; `written` the
    place of the write that spoilt it, or of what an event refers to (the cut, the update before a rebinding).

    Known only where the loop was read from source: `subject` is the identity of the optimizer, scheduler or model that
    the event is about, `parameters` the identities of the parameters that it concerns (None: not known), `loop` the
    loops around it, outermost first, `iteration` the pass of each, `conditions` the undecided tests around it, `order`
    its place in the program, `facts` what else is known by kind (the class's name, the learning rate, ...).
    """

    kind: EventKind
    frame: Frame | None = None
    node: int | None = None
    error: str = ""
    blamed: int | None = None
    written: Frame | None = None
    subject: int | None = None
    parameters: tuple[int, ...] | None = None
    loop: tuple[Frame, ...] = ()
    iteration: tuple[int, ...] = ()
    conditions: tuple[Condition, ...] = ()
    order: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def maybe(self) -> bool:
        """Whether it stands under a test that could not be decided."""
        return bool(self.conditions)

    def whenever(self, other: Event) -> bool:
        """Whether it happens in every pass in which another event happens."""
        return {c.key for c in self.conditions} <= {c.key for c in other.conditions}

    def excludes(self, other: Event) -> bool:
        """Whether the two stand in opposite branches of one test, so that no pass has both."""
        return self.opposes(other.conditions)

    def opposes(self, conditions: tuple[Condition, ...]) -> bool:
        """Whether it stands in the opposite branch of one of these tests."""
        against = {(c.text, not c.taken) for c in conditions}
        return any(c.key in against for c in self.conditions)

    def concerns(self, parameters: tuple[int, ...] | None) -> bool:
        """Whether it may have to do with some parameters; what is not known may be anything."""
        if self.parameters is None or parameters is None:
            return True
        return not set(self.parameters).isdisjoint(parameters)


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """The events of a loop, as far as it was read or run.

    `origin` is "file" for the file's own loop, "probe" for the random projection of the outputs that stands in for a
    loss, "framework" for a method that a training framework calls (it clears, backpropagates and steps by itself).
    `loop` is the place of the outermost loop, `around` are the events of the same program outside of it, and `complete`
    is false when the reading ended early, so that nothing can be said of what is absent.
    """

    events: tuple[Event, ...] = ()
    origin: str = "file"
    loop: Frame | None = None
    around: tuple[Event, ...] = ()
    complete: bool = True

    def of(self, *kinds: EventKind) -> tuple[Event, ...]:
        """The events of some kinds, in order."""
        return tuple(event for event in self.events if event.kind in kinds)

    def anywhere(self, *kinds: EventKind) -> tuple[Event, ...]:
        """The events of some kinds of the whole program, in order."""
        found = (event for event in (*self.around, *self.events) if event.kind in kinds)
        return tuple(sorted(found, key=lambda event: event.order))
