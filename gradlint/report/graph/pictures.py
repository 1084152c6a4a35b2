"""What pictures of a graph share: the lines of a box, the words on a link, and which boxes stand out."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from gradlint.report.graph import names
from gradlint.report.graph.names import TIMES
from gradlint.report.graph.view import Box, Group, Link, View

MOST_NAMES = 4
"""Ops of a collapsed module, or parameters of an op, that a box names."""


class Look(StrEnum):
    """How a box is drawn."""

    INPUT = "input"
    PLAIN = "plain"
    STARVED = "starved"
    CUT = "cut"


def heading(part: Box | Group) -> str:
    """A module, and how many of its kind stand behind one."""
    times = f"{TIMES}{part.times}" if part.times > 1 else ""
    return f"{part.title} {times}".strip()


def lines(picture: View, box: Box) -> Iterator[str]:
    """What stands in a box: its module, what it computes, its parameters, its type, what it hides."""
    if not box.is_input and (title := heading(box)):
        yield title
    if box.alone:
        yield names.op_of(box.calls[0])
        yield from filter(None, [_parameters(picture, box)])
    else:
        yield _ops(box)
    if made := names.types_of(box.calls[-1]):
        yield made
    fact = picture.shown.fact
    hidden = dict.fromkeys(map(fact, picture.closed_inside(box)))
    yield from (f"inside: {fact}" for fact in hidden)
    yield from dict.fromkeys(filter(None, (fact(edge) for edge in picture.operands(box) if box.alone)))


def _ops(box: Box) -> str:
    listed = names.counted(map(names.op_of, box.calls)).split(", ")
    more = [f"… {len(listed) - MOST_NAMES} more"] if len(listed) > MOST_NAMES else []
    return ", ".join([*listed[:MOST_NAMES], *more])


def _parameters(picture: View, box: Box) -> str:
    node = picture.shown.graph.node
    read = [names.operand(node(edge.source), box.title) for edge in picture.operands(box)]
    more = [f"… {len(read) - MOST_NAMES} more"] if len(read) > MOST_NAMES else []
    return ", ".join([*read[:MOST_NAMES], *more])


def look(picture: View, box: Box) -> Look:
    """The look of a box: an input, one that stops a gradient, one whose parameters get none, or any other."""
    if box.is_input:
        return Look.INPUT
    edges = (*(link.edge for link in picture.links(box)), *picture.operands(box), *picture.closed_inside(box))
    if any(map(picture.shown.stops, edges)):
        return Look.CUT
    return Look.STARVED if picture.starved(box) else Look.PLAIN


def words(picture: View, link: Link) -> str:
    """What is written on a link: nothing where gradient flows."""
    return picture.shown.fact(link.edge)
