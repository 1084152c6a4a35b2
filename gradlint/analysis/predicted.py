"""What is predicted of the signals and gradients of graphs that are whole."""

from __future__ import annotations

from collections.abc import Mapping

from gradlint.graph import ModelGraph, Signal


def predicted_gradients(graph: ModelGraph) -> Mapping[str, float]:
    """Root mean squares of gradients by parameter name, as far as they can be predicted."""
    from gradlint.analysis.moments import predict

    return predict(graph).gradients if graph.model.complete else {}


def predicted_signals(graph: ModelGraph) -> Mapping[int, Signal]:
    """Sizes of values and of their gradients by node number, as far as they can be predicted."""
    from gradlint.analysis.moments import predict

    return predict(graph).values if graph.model.complete else {}
