"""A graph as a Mermaid flowchart. Of a name, all but letters, digits and a few marks is written as a number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradlint.report.graph import names
from gradlint.report.graph.names import TIMES
from gradlint.report.graph.pictures import Look, heading, lines, look, words
from gradlint.report.graph.shown import Shown
from gradlint.report.graph.view import Box, Group, Part, View, view

INDENT = "  "
SAFE = f" .,_-{TIMES}…"
"""What may stand in a quoted label as it is. A colon or a percent sign may not: before it parses, Mermaid looks for
lines with `style`, a colon and an entity, and for directives in percent signs."""

_LOOKS = {
    Look.INPUT: "fill:#eeeeee,stroke:#868e96",
    Look.STARVED: "fill:#ffe8cc,stroke:#e8590c",
    Look.CUT: "fill:#ffc9c9,stroke:#c92a2a,stroke-width:2px",
}


def render(shown: Shown, depth: int | None = None) -> str:
    """A flowchart: modules are subgraphs, dotted arrows pass no gradient."""
    picture = view(shown, depth)
    numbers = iter(range(10**9))
    links = (line for box in picture.boxes for line in _links(picture, box))
    body = [*_parts(picture, picture.parts, 1, numbers), *links, *_classes(picture)]
    return "\n".join(["flowchart TB", *body]) + "\n"


def _parts(picture: View, parts: Iterable[Part], level: int, numbers: Iterator[int]) -> Iterator[str]:
    margin = INDENT * level
    for part in parts:
        if isinstance(part, Group):
            yield f"{margin}subgraph g{next(numbers)}[{quoted(heading(part))}]"
            yield from _parts(picture, part.parts, level + 1, numbers)
            yield f"{margin}end"
        else:
            yield f"{margin}{_node(picture, part)}"


def _node(picture: View, box: Box) -> str:
    label = quoted(*lines(picture, box))
    return f"n{box.number}([{label}])" if box.is_input else f"n{box.number}[{label}]"


def _links(picture: View, box: Box) -> Iterator[str]:
    for link in picture.links(box):
        told = words(picture, link)
        arrow = f"-.->|{quoted(told)}|" if told else "-->"
        yield f"{INDENT}n{link.source} {arrow} n{link.target}"


def _classes(picture: View) -> Iterator[str]:
    """The looks in use, each with its boxes."""
    looks = {box.number: look(picture, box) for box in picture.boxes}
    for kind, style in _LOOKS.items():
        numbers = [f"n{number}" for number, found in looks.items() if found is kind]
        if numbers:
            yield f"{INDENT}classDef {kind} {style}"
            yield f"{INDENT}class {','.join(numbers)} {kind}"


def quoted(*rows: str) -> str:
    """Rows of text as one quoted label; an empty one holds a space, which Mermaid needs."""
    text = "<br/>".join("".join(map(_escaped, names.plain(row))) for row in rows)
    return f'"{text or " "}"'


def _escaped(char: str) -> str:
    return char if char.isalnum() or char in SAFE else f"#{ord(char)};"
