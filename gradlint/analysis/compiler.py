"""What the compiler said of a model, sorted by what a rule may say of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradlint.compilation import Break
from gradlint.finding import Related, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph, Node

FORWARD = "forward"
WHOLE = frozenset({"exported", "onnx"})
"""Captures of graphs that an exporter took whole."""

DATA_DEPENDENT = "Data-dependent"
"""How torch's titles of breaks begin where Python decides by a tensor's value."""


def severity(graph: ModelGraph, compiled: bool) -> Severity:
    """A break costs something only where the model is compiled or exported."""
    return Severity.WARNING if compiled or graph.model.compiled else Severity.NOTE


def breaks(graph: ModelGraph, data_dependent: bool) -> Iterator[tuple[Frame, Break]]:
    """The breaks that the compiler told of, each with the user's own innermost place."""
    for found in graph.model.compilation.breaks if graph.model.compilation else ():
        place = next((frame for frame in found.frames if frame.user), None)
        if place is not None and found.title.startswith(DATA_DEPENDENT) is data_dependent:
            yield place, found


def unsaid(graph: ModelGraph, nodes: Iterable[Node]) -> Iterator[Node]:
    """Calls in a forward at which the compiler must break, where it was not asked or did not come so far.

    Behind a break in a loop the rest of a function is left to Python, and nothing is said of it.
    """
    compilation = graph.model.compilation
    asked = compilation is not None and not compilation.untried
    found_breaks = compilation.breaks if compilation is not None else ()
    if graph.model.capture in WHOLE or (asked and not found_breaks):
        return
    told = {
        (frame.path, line)
        for found in found_breaks
        for frame in found.frames
        for line in range(frame.line, max(frame.line, frame.end_line) + 1)
    }
    for node in nodes:
        if _is_in_forward(node) and not any((frame.path, frame.line) in told for frame in node.frames if frame.user):
            yield node


def chain(found: Break) -> tuple[Related, ...]:
    """The calls of the user's own that led to a break."""
    own = [frame for frame in found.frames if frame.user][1:]
    return tuple(Related(path=f.path, line=f.line, column=f.column, message="called from here") for f in own)


def _is_in_forward(node: Node) -> bool:
    """Whether a call was made by a model's forward, by itself or through helpers."""
    return any(frame.user and frame.function.rpartition(".")[2] == FORWARD for frame in node.frames)
