"""A graph as the code of a `torch.fx.Graph`, which a worker makes: torch is imported nowhere else."""

from __future__ import annotations

from gradlint.errors import TargetError, UsageError
from gradlint.report.graph.onnx import kept
from gradlint.report.graph.shown import Shown

ENTRY = "gradlint.frontends.written_graphs.fx:code"


def render(shown: Shown, depth: int | None = None) -> str:  # noqa: ARG001
    """Python code: the graph's forward function, a line for each op."""
    from gradlint.recording import Recording, encode
    from gradlint.worker import Worker, torch_available

    if not torch_available():
        raise UsageError("--format fx: torch is not installed: pip install gradlint-nn[torch]")
    graph = shown.graph
    edges = tuple(edge for node in graph.nodes for edge in graph.incoming(node.id))
    recording = encode(Recording(tuple(graph.nodes), edges, (graph.model,)))
    with Worker() as worker:
        outcome = worker.run({"entry": ENTRY, "recording": recording, "kept": kept(shown)})
    if outcome.payload is None:
        raise TargetError(f"--format fx: {outcome.message}")
    return str(outcome.payload["code"]).strip() + "\n"
