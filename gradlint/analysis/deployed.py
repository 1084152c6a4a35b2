"""How the graphs of exported models end: in a choice that is made for use, behind everything that learns."""

from __future__ import annotations

from gradlint import ops
from gradlint.analysis.reach import Cut
from gradlint.graph import Model, ModelGraph, Node, NodeKind

EXPORTED = frozenset({"onnx", "exported"})
"""How models are captured that somebody exported, for use rather than for training."""

LEARNING = frozenset({ops.Kind.LINEAR, ops.Kind.CONV, ops.Kind.EMBEDDING, ops.Kind.RECURRENT})
TABLES = frozenset({"take", "index_select"})
"""Ops with a weight, and those that look one up."""

QUANTISING = frozenset({"quantize_per_tensor", "dynamic_quantize", "quantized_matmul", "quantized_conv", "int_mm"})
"""Ops that only a model has which was made small for use."""


def folds_norms(model: Model) -> bool:
    """Whether batch norms may have been folded into the weights before them, as exporters to ONNX do."""
    return model.capture == "onnx"


def is_end(graph: ModelGraph, cut: Cut) -> bool:
    """Whether a cut of an exported model belongs to its use: no weight stands behind it, or it quantises."""
    if graph.model.capture not in EXPORTED:
        return False
    return cut.node.op in QUANTISING or not _leads_to_weights(graph, cut.edge.target)


def _leads_to_weights(graph: ModelGraph, start: int) -> bool:
    """Whether an op with a weight reads what a value leads to."""
    weights = {p.node for p in graph.model.parameters if p.node is not None}
    behind = graph.reached([start])
    return any(_weighs(graph, graph.node(number), behind, weights) for number in behind)


def _weighs(graph: ModelGraph, node: Node, behind: set[int], weights: set[int]) -> bool:
    known = ops.facts(node.op) if node.kind is NodeKind.OP else None
    if known is None or not (known.kind in LEARNING or node.op in TABLES):
        return False
    beside = [edge.source for edge in graph.incoming(node.id) if edge.source not in behind]
    return bool(weights.intersection(beside)) or any(_is_made_of(graph, one, weights) for one in beside)


def _is_made_of(graph: ModelGraph, node: int, weights: set[int]) -> bool:
    """Whether a value is computed from weights alone."""
    waiting, seen = [node], {node}
    while waiting:
        here = waiting.pop()
        if here in weights:
            continue
        sources = {edge.source for edge in graph.incoming(here)}
        if not sources:
            return False
        waiting += sources - seen
        seen |= sources
    return True
