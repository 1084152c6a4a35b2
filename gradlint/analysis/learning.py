"""What takes part in training: the values that carry a gradient from a target back to a trainable parameter."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from gradlint.graph import ModelGraph, Node

_known: WeakKeyDictionary[ModelGraph, frozenset[int]] = WeakKeyDictionary()
_reached: WeakKeyDictionary[ModelGraph, frozenset[int]] = WeakKeyDictionary()


def learning(graph: ModelGraph) -> frozenset[int]:
    """The values on an open way from a trainable parameter to a target, computed once a graph."""
    found = _known.get(graph)
    if found is None:
        found = _known[graph] = _learning(graph)
    return found


def _learning(graph: ModelGraph) -> frozenset[int]:
    return graph.flowing & learnt(graph)


def learnt(graph: ModelGraph) -> frozenset[int]:
    """The values that trainable parameters reach along open edges, computed once a graph."""
    found = _reached.get(graph)
    if found is None:
        weights = [p.node for p in graph.model.trainable if p.node is not None]
        found = _reached[graph] = frozenset(graph.reached(weights, lambda edge: edge.open))
    return found


def takes_part(graph: ModelGraph, node: Node) -> bool:
    """Whether a gradient passes through a value."""
    return node.id in learning(graph)
