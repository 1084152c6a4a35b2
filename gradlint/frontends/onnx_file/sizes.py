"""The moments of the weights that a file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradlint.errors import TargetError
from gradlint.frontends import first_rows
from gradlint.frontends.onnx_file.tensors import Tensors
from gradlint.graph import Moments, Parameter

MOST_MEASURED = 5_000
"""Weights of a file whose values are read: more are those of a graph too large for anything to be predicted of it."""


def with_moments(parameters: Sequence[Parameter], path: str) -> tuple[Parameter, ...]:
    """The parameters with the moments of those whose values can be read."""
    if len(parameters) > MOST_MEASURED:
        return tuple(parameters)
    try:
        tensors = Tensors(path)
        return tuple(replace(one, moments=_moments(tensors, one)) for one in parameters)
    except TargetError:
        return tuple(parameters)


def _moments(tensors: Tensors, parameter: Parameter) -> Moments | None:
    if parameter.name not in tensors:
        return None
    try:
        values = next(iter(tensors.chunks(parameter.name)), None)
    except TargetError:
        return None
    return first_rows.moments(values, parameter.shape) if values is not None else None
