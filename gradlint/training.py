"""The events of one training loop, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gradlint.frame import Frame

RETAINED = "retained"
"""Text of a loss event whose backward pass keeps the graph."""


class EventKind(StrEnum):
    """What happens in a training loop."""

    FORWARD = "forward"
    LOSS = "loss"
    ZERO_GRAD = "zero-grad"
    BACKWARD = "backward"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `node` is the loss of a backward call; `error` what it raised; `blamed` the node that torch's own
    message
    points at (in-place overwrites); `written` the place of the write that spoilt it."""

    kind: EventKind
    frame: Frame | None = None
    node: int | None = None
    error: str = ""
    blamed: int | None = None
    written: Frame | None = None


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """The events of a loop, as far as it was read or run. `origin` is "file" for the file's own loop, "probe" for the
    random projection of the outputs that stands in for a loss."""

    events: tuple[Event, ...] = ()
    origin: str = "file"

    def of(self, kind: EventKind) -> tuple[Event, ...]:
        """The events of one kind, in order."""
        return tuple(event for event in self.events if event.kind is kind)
