"""The changes made while something uncertain runs, so that they can be taken back and joined with an alternative's.

All that can change lives in dicts, lists and attributes of values. While nobody watches, a write costs nothing extra.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

tick = itertools.count(1).__next__
"""The time, in things that were born."""

ABSENT: Any = object()
"""Stands for a key that a dict does not have."""

ITEMS = "[]"
"""Key of a list's whole content."""

Cell = tuple[int, Any]
"""A place that can change: the identity of its holder, and its key."""


class Cells(dict[Any, Any]):
    """The attributes or entries of a value; `birth` tells what was made inside of a branch."""

    __slots__ = ("birth",)

    def __init__(self, content: dict[Any, Any]) -> None:
        super().__init__(content)
        self.birth = tick()


def cells(content: dict[Any, Any]) -> dict[Any, Any]:
    """A dict that knows its birth; one that does already is kept."""
    return content if type(content) is Cells else Cells(content)


class Change(NamedTuple):
    """What one place holds: `target` is a dict, a list or a value."""

    target: Any
    key: Any
    content: Any


@dataclass(slots=True, eq=False)
class Heap:
    """The trail of changes since the first watcher came."""

    trail: list[Change] = field(default_factory=list)
    watchers: int = 0

    def open(self) -> int:
        """Begins to watch; the mark to go back to."""
        self.watchers += 1
        return len(self.trail)

    def close(self) -> None:
        """Ends one watch."""
        self.watchers -= 1
        if not self.watchers:
            self.trail.clear()

    def write(self, target: Any, key: Any, content: Any) -> None:
        """Changes an entry of a dict, the whole content of a list (`ITEMS`) or an attribute of a value."""
        if self.watchers:
            self.trail.append(Change(target, key, read(target, key)))
        put(target, key, content)

    def undo(self, mark: int) -> None:
        """Takes back all changes since a mark."""
        while len(self.trail) > mark:
            last = self.trail.pop()
            put(last.target, last.key, last.content)

    def before(self, mark: int) -> dict[Cell, Change]:
        """What the places that changed since a mark held then."""
        found: dict[Cell, Change] = {}
        for change in self.trail[mark:]:
            found.setdefault((id(change.target), change.key), change)
        return found

    def now(self, mark: int) -> dict[Cell, Change]:
        """What the places that changed since a mark hold now."""
        return {
            cell: Change(change.target, change.key, read(change.target, change.key))
            for cell, change in self.before(mark).items()
        }


def read(target: Any, key: Any) -> Any:
    """The content of a place; of a list a copy."""
    if isinstance(target, dict):
        return target.get(key, ABSENT)
    return list(target) if type(target) is list else getattr(target, key)


def put(target: Any, key: Any, content: Any) -> None:
    """Changes the content of a place without a trace."""
    if isinstance(target, dict):
        if content is ABSENT:
            target.pop(key, None)
        else:
            target[key] = content
    elif type(target) is list:
        target[:] = content
    else:
        setattr(target, key, content)
