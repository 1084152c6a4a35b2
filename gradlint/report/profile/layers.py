"""The lines of a profile: one a layer, repeated layers of equal shape folded into one line with a range."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gradlint.analysis.verdicts import GradientEntry

SCREEN = 32
"""Layers that are shown one by one."""

FEWEST = 2
"""Layers that make a repetition."""


@dataclass(frozen=True, slots=True)
class Line:
    """One layer, or several alike: the largest parameter of each, by a name such as `blocks.{0..7}.fc.weight`."""

    name: str
    shape: tuple[int, ...]
    entries: tuple[GradientEntry, ...]

    def range(self, size: Callable[[GradientEntry], float | None]) -> tuple[float, float] | None:
        """The least and the greatest of what is known of its gradients."""
        known = [found for entry in self.entries if (found := size(entry)) is not None]
        return (min(known), max(known)) if known else None


def lines(entries: Sequence[GradientEntry]) -> tuple[Line, ...]:
    """The layers of a profile in their order, folded where they are more than a screen holds."""
    layers = list(_layers(entries))
    if len(layers) <= SCREEN:
        return tuple(Line(entry.parameter.name, entry.parameter.shape, (entry,)) for entry in layers)
    return tuple(_folded(layers))


def _layers(entries: Iterable[GradientEntry]) -> Iterator[GradientEntry]:
    """The largest parameter of every module."""
    largest: dict[str, GradientEntry] = {}
    for entry in entries:
        module = entry.parameter.name.rpartition(".")[0] or entry.parameter.name
        best = largest.get(module)
        if best is None or entry.parameter.elements > best.parameter.elements:
            largest[module] = entry
    return iter(largest.values())


_Key = tuple[tuple[str, ...], int, tuple[int, ...]]
"""A name with one number left out, the place of that number, and a shape."""


def _folded(layers: Sequence[GradientEntry]) -> Iterator[Line]:
    counts = Counter(key for entry in layers for key in _keys(entry))
    groups: dict[_Key | str, list[GradientEntry]] = {}
    for entry in layers:
        best = max(_keys(entry), key=lambda key: counts[key], default=None)
        many = best is not None and counts[best] >= FEWEST
        groups.setdefault(best if best is not None and many else entry.parameter.name, []).append(entry)
    for key, members in groups.items():
        alone = isinstance(key, str) or len(members) == 1
        name = members[0].parameter.name if alone or isinstance(key, str) else _name(key, members)
        yield Line(name, members[0].parameter.shape, tuple(members))


def _keys(entry: GradientEntry) -> Iterator[_Key]:
    parts = entry.parameter.name.split(".")
    for place, part in enumerate(parts):
        if part.isdecimal():
            yield (*parts[:place], *parts[place + 1 :]), place, entry.parameter.shape


def _name(key: _Key, members: Sequence[GradientEntry]) -> str:
    left, place, _ = key
    numbers = sorted(int(entry.parameter.name.split(".")[place]) for entry in members)
    return ".".join([*left[:place], f"{{{_span(numbers)}}}", *left[place:]])


def _span(numbers: Sequence[int]) -> str:
    """`0..7`, `0..14 by 2`, or the numbers one by one."""
    steps = {after - before for before, after in pairwise(numbers)}
    if len(steps) == 1:
        (step,) = steps
        return f"{numbers[0]}..{numbers[-1]}" + (f" by {step}" if step > 1 else "")
    return ",".join(map(str, numbers))


def decades(found: Iterable[Line]) -> tuple[int, int] | None:
    """The powers of ten around all sizes above zero; None where there are none."""
    ranges = [line.range(size) for line in found for size in (lambda e: e.measured, lambda e: e.predicted)]
    known = [value for span in ranges if span is not None for value in span if 0 < value < math.inf]
    if not known:
        return None
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    return low, max(high, low + 1)
