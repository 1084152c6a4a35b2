"""Which losses the steps of an optimizer follow."""

from __future__ import annotations

from collections.abc import Iterable

from gradlint.training import Event, EventKind


def followed(events: Iterable[Event]) -> dict[int, tuple[int, ...]]:
    """By a parameter's identity the losses since the step before, of every step of an optimizer that holds it."""
    served: dict[int, dict[int, None]] = {}
    due: list[int] = []
    stepping = False
    for event in events:
        if event.kind is EventKind.BACKWARD and event.node is not None:
            due = [event.node] if stepping else [*due, event.node]
            stepping = False
        elif event.kind is EventKind.STEP:
            stepping = True
            for parameter in event.parameters or ():
                served.setdefault(parameter, {}).update(dict.fromkeys(due))
    return {parameter: tuple(losses) for parameter, losses in served.items()}
