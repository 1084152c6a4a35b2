"""What follows what in a training loop: which backward pass feeds a step, what clears it, what comes between.

A loop that was read from source is there with two passes, so looking back from an event of the second pass sees all
that the pass before it left. Undecided tests count alike within a pass: what stands in the opposite branch is passed
over, and what stands under a test of its own is certain only where that test is shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from gradlint.frame import Frame
from gradlint.training import Event, EventKind, TrainingStep


class Feed(StrEnum):
    """What an event finds when it looks for gradients."""

    FED = "fed"
    CLEARED = "cleared"
    STEPPED = "stepped"
    UNKNOWN = "unknown"
    START = "start"


def earlier(step: TrainingStep, event: Event) -> Iterator[Event]:
    """The events before one, the latest first, opposite branches left out."""
    place = next(index for index, other in enumerate(step.events) if other is event)
    return (other for other in reversed(step.events[:place]) if not other.excludes(event))


def later(step: TrainingStep, event: Event) -> Iterator[Event]:
    """The events behind one, opposite branches left out."""
    place = next(index for index, other in enumerate(step.events) if other is event)
    return (other for other in step.events[place + 1 :] if not other.excludes(event))


def source_of(step: TrainingStep, event: Event, stop: tuple[EventKind, ...] = ()) -> tuple[Feed, Event | None]:
    """Where the gradients come from that an optimizer's step, or a clipping, works on.

    Kinds in `stop` end the search too (a step that has used the gradients already).
    """
    for other in earlier(step, event):
        match other.kind:
            case EventKind.BACKWARD if other.concerns(event.parameters):
                return (Feed.FED, other)
            case EventKind.ZERO_GRAD if clears(other, event) and other.whenever(event):
                return (Feed.CLEARED, other)
            case EventKind.STEP if other.kind in stop and same_optimizer(other, event) and other.whenever(event):
                return (Feed.STEPPED, other)
            case EventKind.ESCAPED | EventKind.ASSIGNED:
                return (Feed.UNKNOWN, other)
            case EventKind.GRADIENT if other.facts.get("how") != "read":
                return (Feed.UNKNOWN, other)
    return (Feed.START, None)


def clears(zero: Event, event: Event) -> bool:
    """Whether a clearing certainly clears all that an event works on."""
    if zero.subject is not None and zero.subject == event.subject:
        return True
    if zero.parameters is None or event.parameters is None:
        return False
    return set(event.parameters) <= set(zero.parameters)


def may_clear(zero: Event, event: Event) -> bool:
    """Whether a clearing may clear something that an event works on."""
    return zero.subject == event.subject or zero.concerns(event.parameters)


def same_optimizer(one: Event, other: Event) -> bool:
    """Whether two events may be about one optimizer or the parameters of one."""
    if one.subject is not None and other.subject is not None and one.parameters is None:
        return one.subject == other.subject
    return one.concerns(other.parameters)


def inside(event: Event, loop: tuple[Frame, ...]) -> bool:
    """Whether an event happens in every pass of a loop, or in a loop inside of it."""
    return event.loop[: len(loop)] == loop


def same_pass(one: Event, other: Event) -> bool:
    """Whether two events happen in the same pass of the innermost loop that they share."""
    shared = min(len(one.loop), len(other.loop))
    return one.iteration[:shared] == other.iteration[:shared]


def certain_steps(step: TrainingStep) -> Iterator[Event]:
    """Steps of optimizers, those of what may be a scheduler or an environment left out."""
    zeroed = {event.subject for event in step.anywhere(EventKind.ZERO_GRAD) if event.subject is not None}
    return (e for e in step.of(EventKind.STEP) if not e.facts.get("unsure") or e.subject in zeroed)


def by_place(events: Iterator[Event] | tuple[Event, ...]) -> Iterator[list[Event]]:
    """Events grouped by their call and subject: the same one in several passes."""
    groups: dict[tuple[Frame | None, int | None], list[Event]] = {}
    for event in events:
        groups.setdefault((event.frame, event.subject), []).append(event)
    yield from groups.values()


def got_away(step: TrainingStep, event: Event) -> bool:
    """Whether something that could not be read had hold of the optimizer, or of its parameters inside of the loop."""
    return any(
        (other.subject is not None and other.subject == event.subject)
        or (other.facts.get("role") != "model" and other.concerns(event.parameters))
        or (other.loop and other.concerns(event.parameters))
        for other in step.anywhere(EventKind.ESCAPED)
    )
