"""Repeated layers become one: the rounds of a repetition are alike in ops, literals, shapes, gradients and wiring.

Items of an outline get equal numbers when they are alike but for their surroundings; a run of equal numbers with some
period is a candidate, and holds as far as every round reads its values from the same places: from itself, from the
round before, or from one value outside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradlint.graph import Edge
from gradlint.report.graph.outline import Block, Item, Repeat, flat
from gradlint.report.graph.shown import Call, Shown

LONGEST_PERIOD = 48
"""Items (ops and modules of one level) that a round may have."""

LONG_LEVEL, SHORT_PERIOD = 20_000, 12
"""Above so many items on one level, as in graphs without modules, only shorter rounds are looked for."""

BARE_ROUNDS = 3
"""Rounds from which on ops that are in no module are folded; a repeated module is folded from two on."""

_NUMBER = re.compile(r"\d+")


@dataclass(slots=True)
class _Likeness:
    """Equal numbers for items that are alike."""

    shown: Shown
    numbers: dict[Any, int] = field(default_factory=dict)
    known: dict[int, tuple[Item, int]] = field(default_factory=dict)

    def of(self, item: Item) -> int:
        """The number of an item."""
        if id(item) not in self.known:
            self.known[id(item)] = (item, self.numbers.setdefault(self._key(item), len(self.numbers)))
        return self.known[id(item)][1]

    def _key(self, item: Item) -> Any:
        if isinstance(item, Call):
            return self._call(item)
        if isinstance(item, Block):
            return (_NUMBER.sub("#", item.path), *map(self.of, item.items))
        return (len(item.rounds), *map(self.of, item.items))

    def _call(self, call: Call) -> Any:
        made = tuple((n.kind, n.value, n.dtype, n.shape, n.grad_enabled, n.inplace) for n in call.nodes)
        first = call.first
        literals = json.dumps(first.literals, sort_keys=True, default=str)
        return (_NUMBER.sub("#", first.module), first.op, first.native, literals, made, *map(self._read, call.edges))

    def _read(self, edge: Edge) -> Any:
        node = self.shown.graph.node(edge.source)
        if not self.shown.is_leaf(node.id):
            return (edge.passage, edge.reason)
        name = _NUMBER.sub("#", node.name)
        return (edge.passage, edge.reason, node.kind, name, node.dtype, node.shape, node.id in self.shown.starved)


def folded(shown: Shown, items: Sequence[Item]) -> tuple[Item, ...]:
    """The same items with repetitions folded, the innermost first."""
    return _folded(shown, _Likeness(shown), items)


def _folded(shown: Shown, likeness: _Likeness, items: Sequence[Item]) -> tuple[Item, ...]:
    inner: list[Item] = [
        Block(item.path, _folded(shown, likeness, item.items)) if isinstance(item, Block) else item for item in items
    ]
    numbers = [likeness.of(item) for item in inner]
    return tuple(_runs(shown, inner, numbers))


def _runs(shown: Shown, items: Sequence[Item], numbers: Sequence[int]) -> Iterator[Item]:
    most = LONGEST_PERIOD if len(items) <= LONG_LEVEL else SHORT_PERIOD
    periods = range(1, min(most, len(items) // 2) + 1)
    alike = [_alike(numbers, period) for period in periods]
    place = 0
    while place < len(items):
        rounds = _best(shown, items, place, [lengths[place] for lengths in alike])
        if rounds:
            yield Repeat(rounds)
            place += sum(map(len, rounds))
        else:
            yield items[place]
            place += 1


def _alike(numbers: Sequence[int], period: int) -> list[int]:
    """From each place on, how many items in a row equal the one a period later."""
    lengths = [0] * (len(numbers) + 1)
    for place in range(len(numbers) - period - 1, -1, -1):
        lengths[place] = lengths[place + 1] + 1 if numbers[place] == numbers[place + period] else 0
    return lengths


def _best(shown: Shown, items: Sequence[Item], place: int, lengths: Sequence[int]) -> tuple[tuple[Item, ...], ...]:
    """The repetition that begins at a place and covers most; empty when there is none."""
    counts = [(length // period + 1, period) for period, length in enumerate(lengths, 1) if length >= period]
    for count, period in sorted(counts, key=lambda pair: (-pair[0] * pair[1], pair[1])):
        rounds = (tuple(items[place + n * period : place + (n + 1) * period]) for n in range(count))
        held = tuple(_wired_alike(shown, rounds))
        if len(held) >= _fewest(held[0]):
            return held
    return ()


def _fewest(items: tuple[Item, ...]) -> int:
    return BARE_ROUNDS if all(isinstance(item, Call) and not item.first.module for item in items) else 2


def _wired_alike(shown: Shown, rounds: Iterable[tuple[Item, ...]]) -> Iterator[tuple[Item, ...]]:
    """The rounds, from the first on, that read their values from the same places."""
    before: dict[int, tuple[int, int]] = {}
    known: list[Any] = []
    for number, once in enumerate(rounds):
        calls = list(flat(once))
        own = {n.id: (index, output) for index, call in enumerate(calls) for output, n in enumerate(call.nodes)}
        wires = [_wire(shown, edge.source, own, before) for call in calls for edge in call.edges]
        if number == 1:
            known = [new if _begins(old, new) else old for old, new in zip(known, wires, strict=True)]
        if number and wires != known:
            return
        yield once
        known, before = wires, own


def _wire(shown: Shown, source: int, own: dict[int, tuple[int, int]], before: dict[int, tuple[int, int]]) -> Any:
    if source in own:
        return ("own", own[source])
    if source in before:
        return ("before", before[source])
    return ("leaf",) if shown.is_leaf(source) else ("outside", source)


def _begins(old: Any, new: Any) -> bool:
    """Whether the first round reads from outside what the second one reads from the first."""
    return bool(old[0] == "outside" and new[0] == "before")
