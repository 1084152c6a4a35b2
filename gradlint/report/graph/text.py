"""A graph as text: one line for each op or collapsed module, and what stops the gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradlint.analysis.reach import reach
from gradlint.graph import Edge, Model, NodeKind
from gradlint.report.graph import names
from gradlint.report.graph.names import TIMES
from gradlint.report.graph.shown import Shown
from gradlint.report.graph.view import Box, Group, Part, View, view

INDENT = "  "
SHUT = "x"
WIDEST = 48
"""Columns that one part of a line may take before the others stop lining up behind it."""
MOST_OPS = 26
"""Columns that the names of a collapsed module's ops may take."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line: a mark, and cells that stand below each other."""

    mark: str
    cells: tuple[str, ...]
    tail: str = ""


def render(shown: Shown, depth: int | None = None) -> str:
    """The model's head, a line for each box, and the results."""
    picture = view(shown, depth)
    rows = list(_rows(picture, picture.parts, 0))
    return "\n".join([*_head(shown), *_aligned(rows), _results(picture), *_legend(rows)]) + "\n"


def _head(shown: Shown) -> Iterator[str]:
    model = shown.graph.model
    place = f"{names.plain(model.path)}:{model.line}" if model.line else names.plain(model.path)
    parts = filter(None, (names.plain(model.name), place, model.capture, "" if model.complete else "not complete"))
    yield INDENT.join(parts)
    trainable, starved = model.trainable, len(reach(shown.graph).starved)
    end = "the loss" if model.reach_at == "loss" else "the outputs"
    yield f"{_parameters(model)}; {len(trainable) - starved} of {len(trainable)} get a gradient from {end}"
    yield ""


def _parameters(model: Model) -> str:
    elements = sum(p.elements for p in model.parameters)
    return f"{len(model.parameters)} parameters with {elements:,} elements"


def _rows(picture: View, parts: Iterable[Part], level: int, inside: str = "") -> Iterator[_Row]:
    for part in parts:
        title = _relative(part.title, inside)
        times = f" {TIMES}{part.times}" if part.times > 1 else ""
        if isinstance(part, Group):
            yield _Row(" ", (INDENT * level + f"{title}{times}".strip(),))
            yield from _rows(picture, part.parts, level + 1, part.path)
        else:
            yield _row(picture, part, f"{INDENT * level}{title}{times}")


def _relative(title: str, inside: str) -> str:
    """A module's name without that of the module around it."""
    return "" if title == inside else title.removeprefix(f"{inside}.")


def _row(picture: View, box: Box, title: str) -> _Row:
    links, closed = picture.links(box), picture.closed_inside(box)
    operands = picture.operands(box) if box.alone else ()
    shut = any(picture.shown.stops(edge) for edge in (*(link.edge for link in links), *operands, *closed))
    reads = [_told(picture, f"%{link.source}", link.edge) for link in links]
    reads += [_told(picture, names.operand(picture.shown.graph.node(e.source), box.title), e) for e in operands]
    made = names.types_of(box.calls[-1])
    cells = (title, f"%{box.number}", _what(picture, box), ", ".join(reads), made)
    return _Row(SHUT if shut else " ", cells, INDENT.join(_tail(picture, box, closed, shut)))


def _told(picture: View, name: str, edge: Edge) -> str:
    fact = picture.shown.fact(edge)
    return f"{name} ({fact})" if fact else name


def _what(picture: View, box: Box) -> str:
    if box.alone:
        return names.op_of(box.calls[0])
    ops = names.counted(names.op_of(call) for call in box.calls)
    ops = ops if len(ops) <= MOST_OPS else ops[: MOST_OPS - 1] + "…"
    return f"{len(box.calls)} ops ({ops}), {_count(picture, box)} parameters"


def _count(picture: View, box: Box) -> int:
    node = picture.shown.graph.node
    return len({e.source for e in picture.operands(box) if node(e.source).kind is NodeKind.PARAMETER})


def _tail(picture: View, box: Box, closed: tuple[Edge, ...], shut: bool) -> Iterator[str]:
    for fact in dict.fromkeys(map(picture.shown.fact, closed)):
        edges = [edge for edge in closed if picture.shown.fact(edge) == fact]
        yield f"inside: {fact} {names.where(picture.shown, edges[0])}".rstrip()
    outer = (edge for call in box.calls for edge in call.edges if picture.shown.stops(edge) and edge not in closed)
    if shut and (first := next(outer, None)):
        yield names.where(picture.shown, first)
    if starved := picture.starved(box):
        count = _count(picture, box)
        yield "no gradient" if starved == count else f"no gradient to {starved} of {count} parameters"


def _aligned(rows: list[_Row]) -> Iterator[str]:
    columns = range(max((len(row.cells) for row in rows), default=0))
    widths = [
        max((len(r.cells[c]) for r in rows if len(r.cells) > max(c, 1) and len(r.cells[c]) <= WIDEST), default=0)
        for c in columns
    ]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row.cells, widths, strict=False)]
        yield f"{row.mark} {INDENT.join([*cells, row.tail])}".rstrip()


def _results(picture: View) -> str:
    model = picture.shown.graph.model
    ends = dict.fromkeys(picture.home[node] for node in (model.targets or model.outputs) if node in picture.home)
    word = "loss" if model.reach_at == "loss" else "outputs"
    return f"{word}: {', '.join(f'%{number}' for number in ends) or 'none'}"


def _legend(rows: list[_Row]) -> Iterator[str]:
    if any(row.mark == SHUT for row in rows):
        yield f"{SHUT} marks what stops a gradient on its way back"
