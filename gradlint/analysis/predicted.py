"""What is predicted of the signals and gradients of graphs that are whole."""

from __future__ import annotations

from collections.abc import Mapping

from gradlint.graph import ModelGraph, Signal

MOST_NODES = 20_000
"""Nodes of a graph that is predicted: four times those of a language model with 70 billion parameters, or 5 seconds."""


def predicted_gradients(graph: ModelGraph) -> Mapping[str, float]:
    """Root mean squares of gradients by parameter name, as far as they can be predicted."""
    from gradlint.analysis.moments import predict

    return predict(graph).gradients if _is_predictable(graph) else {}


def predicted_signals(graph: ModelGraph) -> Mapping[int, Signal]:
    """Sizes of values and of their gradients by node number, as far as they can be predicted."""
    from gradlint.analysis.moments import predict

    return predict(graph).values if _is_predictable(graph) else {}


def _is_predictable(graph: ModelGraph) -> bool:
    return graph.model.complete and len(graph) <= MOST_NODES
