"""Edits of a text: which of them may be made at once, and the text that they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gradlint.finding import Edit, Fix
from gradlint.source import Source


@dataclass(frozen=True, order=True)
class Span:
    """Part of a text in code points, end exclusive; empty where an edit only inserts."""

    start: int
    end: int

    def crosses(self, other: Span) -> bool:
        """Whether the order of two edits would matter: they share text, or begin at one place."""
        return self.start == other.start or (self.start < other.end and other.start < self.end)


def span(source: Source, edit: Edit) -> Span:
    """The part of a source that an edit replaces."""
    first, last = (source.line_of(edit.cell, line) for line in (edit.line, edit.end_line))
    return Span(source.offset(first, edit.column), source.offset(last, edit.end_column))


def edited(source: Source, edits: Iterable[Edit]) -> Source:
    """The source with disjoint edits made, in whatever order they come; equal ones are made once."""
    places = {(span(source, edit), edit.text) for edit in edits}
    return source.spliced((place.start, place.end, text) for place, text in places)


def disjoint(source: Source, fixes: Iterable[Fix]) -> list[Fix]:
    """The fixes that can be made at once, the first of those that cross one another; each is taken whole or not."""
    chosen: list[Fix] = []
    taken: dict[Span, str] = {}
    for fix in sorted(fixes, key=lambda fix: [span(source, edit) for edit in fix.edits]):
        places = {span(source, edit): edit.text for edit in fix.edits}
        fresh = {place: text for place, text in places.items() if taken.get(place) != text}
        if not any(place.crosses(other) for place in fresh for other in taken):
            taken |= places
            chosen.append(fix)
    return chosen


def moved(source: Source, edits: Iterable[Edit], offset: int) -> Span:
    """Where a place of the old text may stand in the new one: before or behind what is inserted right there."""
    first = last = offset
    for place, new in sorted({(span(source, edit), edit.text) for edit in edits}):
        grown = len(new) - (place.end - place.start)
        if place.start < offset < place.end:
            return Span(first + place.start - offset, last + place.start - offset + len(new))
        if place.end < offset or place.start < place.end == offset:
            first, last = first + grown, last + grown
        elif place.start == place.end == offset:
            last += grown
    return Span(first, last)
