"""A model graph as text, as a picture's source, and as what other programs read: one module a format."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from gradlint.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from gradlint.graph import ModelGraph
    from gradlint.report.graph.shown import Shown

FORMATS = {
    "text": "gradlint.report.graph.text",
    "dot": "gradlint.report.graph.dot",
    "mermaid": "gradlint.report.graph.mermaid",
    "json": "gradlint.report.graph.document",
    "fx": "gradlint.report.graph.fx",
    "onnx": "gradlint.report.graph.onnx",
}
"""The formats, and the module of each, whose `render` makes it."""

BINARY = ("onnx",)
"""Formats that are bytes, for a file."""


def check(form: str, depth: int | None, to_file: bool) -> None:
    """Raises `UsageError` for a format or a depth that there is not, and for bytes on a terminal."""
    if form not in FORMATS:
        raise UsageError(f"--format {form}: one of {', '.join(FORMATS)}{did_you_mean(form, FORMATS)}")
    if depth is not None and depth < 0:
        raise UsageError(f"--depth {depth}: a number of module levels, 0 for the model as one box")
    if form in BINARY and not to_file:
        raise UsageError(f"--format {form}: its bytes are for a file; add --output FILE")


def render(form: str, graph: ModelGraph, depth: int | None = None) -> str | bytes:
    """The graph in one of `FORMATS`; `depth` is the number of module levels that are opened, None what is readable."""
    from gradlint.report.graph.shown import shown

    make: Callable[[Shown, int | None], str | bytes] = import_module(FORMATS[form]).render
    return make(shown(graph), depth)
