"""The mean and the mean square that a weight starts with: as measured, else by its initialiser's arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradlint.analysis.moments.initial import Role, told
from gradlint.analysis.structure import initialised_by
from gradlint.graph import UNKNOWN_SIZE, Initialisation, ModelGraph, Node, Parameter

SCHEMES = ("kaiming", "xavier", "orthogonal")
"""Initialisers that set a layer's gain by its fans."""

GAINS = frozenset({"gain", "a", "0"})
"""Arguments by which the gain of a scheme is changed by hand: by keyword, and by the position behind the tensor."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the elements of a parameter are at first, and the call that made them so."""

    square: float
    mean: float
    call: Initialisation | None = None


def scale_of(parameter: Parameter, reader: Node, graph: ModelGraph) -> Scale | None:
    """The first elements of a parameter that an op reads; None where they are not known."""
    call = initialised_by(parameter)
    if parameter.moments is not None:
        return Scale(parameter.moments.square, parameter.moments.mean, call)
    if parameter.filled_elsewhere or UNKNOWN_SIZE in parameter.shape:
        return None
    start = told(parameter.initialisations, parameter.shape)
    if start is None and not parameter.initialisations and _is_built(graph, parameter):
        start = Role(reader.op, 1, _fan(reader, graph)).default(parameter)
    return None if start is None else Scale(start.variance + start.mean**2, start.mean, call)


def _fan(reader: Node, graph: ModelGraph) -> float | None:
    """The fan-in of the layer whose bias a parameter may be."""
    read = (graph.model.read.get(edge.source) for edge in graph.incoming(reader.id))
    shapes = [one.shape for one in read if one is not None and len(one.shape) > 1]
    return float(math.prod(shapes[0][1:])) if shapes and UNKNOWN_SIZE not in shapes[0] else None


def is_by_hand(graph: ModelGraph, weight: Parameter) -> bool:
    """Whether the scale of a weight is a number of the user's own, neither a default nor that of a scheme."""
    call = initialised_by(weight)
    if call is None:
        return weight.moments is not None and not _is_built(graph, weight)
    return not call.name.startswith(SCHEMES) or bool(GAINS & call.arguments.keys())


def _is_built(graph: ModelGraph, weight: Parameter) -> bool:
    """Whether a layer of a library made a weight: one that the user built, or one whose place is in a library too."""
    return weight.made is None or weight.name.rpartition(".")[0] in graph.model.built
