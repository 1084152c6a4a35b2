"""The calls of a graph as an outline: blocks of modules in the order of execution, repeated ones folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gradlint.report.graph.shown import Call


@dataclass(frozen=True, slots=True)
class Block:
    """One stretch of execution inside of a module; `path` is the module's dotted name."""

    path: str
    items: tuple[Item, ...]

    @property
    def depth(self) -> int:
        """The number of components of the module's path."""
        return len(parts(self.path))


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same items over and over, alike in ops, literals, shapes and wiring; the first of `rounds` stands for all."""

    rounds: tuple[tuple[Item, ...], ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """The first round."""
        return self.rounds[0]


Item = Call | Block | Repeat


def parts(path: str) -> tuple[str, ...]:
    """The components of a dotted name; none for the model itself."""
    return tuple(path.split(".")) if path else ()


def outline(calls: Sequence[Call]) -> tuple[Item, ...]:
    """The calls grouped by module. A module that is called again after others is a block of its own each time."""
    return tuple(_level([(parts(call.first.module), call) for call in calls], 0))


def _level(calls: Iterable[tuple[tuple[str, ...], Call]], depth: int) -> Iterator[Item]:
    for head, group in groupby(calls, key=lambda pair: pair[0][: depth + 1]):
        inner = list(group)
        if len(head) <= depth:
            yield from (call for _, call in inner)
        else:
            yield Block(".".join(head), tuple(_level(inner, depth + 1)))


def flat(items: Iterable[Item]) -> Iterator[Call]:
    """All calls in the order of execution, every round of a repetition included."""
    for item in items:
        if isinstance(item, Call):
            yield item
        elif isinstance(item, Block):
            yield from flat(item.items)
        else:
            for once in item.rounds:
                yield from flat(once)


def paths(items: Iterable[Item]) -> Iterator[str]:
    """The paths of the outermost blocks."""
    for item in items:
        if isinstance(item, Block):
            yield item.path
        elif isinstance(item, Repeat):
            yield from paths(item.items)
