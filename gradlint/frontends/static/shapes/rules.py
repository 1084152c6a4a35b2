"""Where the shape rules of ops are registered, and what they share.

A shape is a tuple of sizes, None for a size that is not known; None alone where not even the rank is known. Arguments
come as plain objects (`plain_values.plain`), tensors as themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from gradlint.frontends.static.values import Tensor

Shape = tuple[int | None, ...] | None
Rule = Callable[..., Shape]

RULES: dict[str, tuple[tuple[str, ...], Rule]] = {}
"""The parameters of an op, and the function of them that gives the shape of its first result."""


class UnknownShapeError(Exception):
    """A shape that is needed is not known."""


def rule(*names: str, takes: str) -> Callable[[Rule], Rule]:
    """Registers the shape rule of some ops; `takes` are the names of their parameters in order.

    The rule does not get those that begin with a hyphen; one that begins with a star takes all that follow.
    """

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, (tuple(takes.split()), function)))
        return function

    return register


def known_shape(tensor: Any) -> tuple[int | None, ...]:
    """The shape of a tensor whose rank is known; raises `UnknownShapeError` otherwise."""
    if not isinstance(tensor, Tensor) or tensor.shape is None:
        raise UnknownShapeError
    return tensor.shape


def broadcast(shapes: Iterable[Shape]) -> Shape:
    """The shape of tensors that are broadcast together; raises `ValueError` where torch would raise."""
    known = [tuple(shape) for shape in shapes if shape is not None]
    if any(shape is None for shape in shapes):
        return None
    rank = max(map(len, known), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in known]
    return tuple(_broadcast_size(sizes) for sizes in zip(*padded, strict=True))


def _broadcast_size(sizes: tuple[int | None, ...]) -> int | None:
    large = {s for s in sizes if s is not None and s != 1}
    if len(large) > 1:
        raise ValueError("the sizes cannot be broadcast together")
    if large:
        return large.pop()
    return None if None in sizes else 1


def axis_of(dim: Any, rank: int) -> int:
    if type(dim) is not int or not -rank <= dim < max(rank, 1):
        raise UnknownShapeError
    return dim % rank if rank else 0


def spread(value: Any, axes: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes


def volume(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else math.prod(s for s in known if s is not None)


def sized(formula: Callable[..., int], *values: Any) -> int | None:
    """A size by formula; None where one of its terms is not known."""
    return formula(*values) if all(type(value) is int for value in values) else None
