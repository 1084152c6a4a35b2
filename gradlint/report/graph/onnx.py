"""A graph as an `.onnx` file."""

from __future__ import annotations

from gradlint.report.graph.shown import Shown


def kept(shown: Shown) -> list[int]:
    """The values of a graph that are handed out: those of its calls, and what these read."""
    read = {edge.source for call in shown.calls for edge in call.edges}
    return sorted(shown.own | read)


def render(shown: Shown, depth: int | None = None) -> bytes:  # noqa: ARG001
    """The bytes of the file."""
    from gradlint.frontends.written_graphs.onnx_model import written

    return written(shown.graph, kept(shown))
