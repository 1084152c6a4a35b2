"""Norms whose statistic is taken over a single element, whatever the input: what is left of it is zero."""

from __future__ import annotations

import math

from gradlint import ops
from gradlint.analysis.norms import BATCH_NORM, INSTANCE_NORM, given, is_kind, normalised, parameters_of, standardises
from gradlint.graph import ModelGraph, Node
from gradlint.training import EventKind

CHANNELS_LAST_AXIS = frozenset({"layer_norm", "rms_norm"})
NORMALISED_SHAPE = ("normalized_shape", "1")
GROUPS = ("num_groups", "1")
GROUP_NORM = "group_norm"
SPATIAL = 2
"""The first axis behind batch and channels."""

GLOBAL_POOLS = frozenset(f"adaptive_{kind}_pool{axes}d" for kind in ("avg", "max") for axes in (1, 2, 3))
OUTPUT_SIZE = ("output_size", "1")
POINTWISE = (ops.Kind.ACTIVATION, ops.Kind.DROPOUT, ops.Kind.CAST)


def is_over_one(graph: ModelGraph, node: Node) -> bool:
    """Whether a value is made by such a norm."""
    if node.op in CHANNELS_LAST_AXIS:
        shape = given(node, NORMALISED_SHAPE, ())
        return isinstance(shape, list) and bool(shape) and all(size == 1 for size in shape)
    if node.op == GROUP_NORM:
        return _has_one_channel_a_group(node) and _is_one_place(graph, node)
    if node.op == INSTANCE_NORM:
        return standardises(node) and _is_one_place(graph, node)
    return node.op == BATCH_NORM and standardises(node) and _is_one_sample(graph, node)


def _has_one_channel_a_group(node: Node) -> bool:
    groups = given(node, GROUPS, None)
    return node.shape is not None and len(node.shape) >= SPATIAL and groups == node.shape[1]


def _is_one_place(graph: ModelGraph, node: Node) -> bool:
    """Whether there is one place a channel whatever the input's size: vectors, and maps behind global pooling."""
    if node.shape is not None and len(node.shape) == SPATIAL:
        return True
    before = normalised(graph, node)
    while before is not None and (is_kind(before, *POINTWISE) or _is_pixelwise(graph, before)):
        before = normalised(graph, before)
    return before is not None and before.op in GLOBAL_POOLS and _is_one(given(before, OUTPUT_SIZE, None))


def _is_pixelwise(graph: ModelGraph, node: Node) -> bool:
    """Whether an op is a convolution with a kernel of one place."""
    if not is_kind(node, ops.Kind.CONV):
        return False
    kernels = [parameter.shape[SPATIAL:] for parameter in parameters_of(graph, node) if len(parameter.shape) > SPATIAL]
    return len(kernels) == 1 and all(size == 1 for size in kernels[0])


def _is_one(size: object) -> bool:
    return size == 1 or (isinstance(size, list) and bool(size) and all(one == 1 for one in size))


def _is_one_sample(graph: ModelGraph, node: Node) -> bool:
    """Whether the program trains a batch norm on one value a channel; one that it evaluates somewhere is left out."""
    if graph.model.reach_at != "loss" or node.shape is None or len(node.shape) < SPATIAL:
        return False
    evaluated = graph.training is not None and graph.training.anywhere(EventKind.EVAL)
    return not evaluated and math.prod(node.shape) == node.shape[1]
