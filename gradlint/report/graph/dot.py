"""A graph in Graphviz's language. Names stand in labels only, where every character that means something is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradlint.report.graph import names
from gradlint.report.graph.pictures import Look, heading, lines, look, words
from gradlint.report.graph.shown import Shown
from gradlint.report.graph.view import Box, Group, Part, View, view

INDENT = "  "
_LOOKS = {
    Look.INPUT: 'shape=ellipse, fillcolor="#eeeeee"',
    Look.PLAIN: 'fillcolor="#ffffff"',
    Look.STARVED: 'fillcolor="#ffe8cc"',
    Look.CUT: 'fillcolor="#ffc9c9", penwidth=2',
}
_CLOSED = 'color="#c92a2a", fontcolor="#c92a2a", style=dashed'


def render(shown: Shown, depth: int | None = None) -> str:
    """A digraph: modules are clusters, dashed red edges pass no gradient."""
    picture = view(shown, depth)
    numbers = iter(range(10**9))
    links = (line for box in picture.boxes for line in _links(picture, box))
    head = [
        f"digraph {quoted(shown.graph.model.name)} {{",
        f'{INDENT}graph [rankdir=TB, fontname="Helvetica", label={quoted(_caption(shown))}];',
        f'{INDENT}node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10];',
        f'{INDENT}edge [fontname="Helvetica", fontsize=9];',
    ]
    return "\n".join([*head, *_parts(picture, picture.parts, 1, numbers), *links, "}"]) + "\n"


def _caption(shown: Shown) -> str:
    model = shown.graph.model
    return f"{model.name} ({model.capture})"


def _parts(picture: View, parts: Iterable[Part], level: int, numbers: Iterator[int]) -> Iterator[str]:
    margin = INDENT * level
    for part in parts:
        if isinstance(part, Group):
            yield f"{margin}subgraph cluster_{next(numbers)} {{"
            yield f'{margin}{INDENT}label={quoted(heading(part))}; style=rounded; color="#868e96";'
            yield from _parts(picture, part.parts, level + 1, numbers)
            yield f"{margin}}}"
        else:
            label = quoted(*lines(picture, part))
            yield f"{margin}n{part.number} [label={label}, {_LOOKS[look(picture, part)]}];"


def _links(picture: View, box: Box) -> Iterator[str]:
    for link in picture.links(box):
        told = words(picture, link)
        style = f" [label={quoted(told)}, {_CLOSED}]" if told else ""
        yield f"{INDENT}n{link.source} -> n{link.target}{style};"


def quoted(*rows: str) -> str:
    r"""Rows of text as one quoted string of the DOT language.

    Graphviz reads escapes (`\n`, `\N`, `\l`) and HTML entities inside of labels (Graphviz, "escString"), so backslashes
    and ampersands are doubled or named.
    """
    escaped = (names.plain(row).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for row in rows)
    return '"' + "\\n".join(escaped) + '"'
