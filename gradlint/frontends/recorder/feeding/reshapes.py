"""The inverses of reshaping ops, on shapes: which shapes of an input lead to a given shape after the op."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

BATCH = 2
"""Batch size of inferred inputs: the smallest that batch norm accepts in train mode."""
LENGTH = 8
"""Size of an axis of which nothing is known."""

Shape = tuple[int, ...]
Back = Callable[[Shape], list[Shape]]


_REDUCTIONS = frozenset({"mean", "sum", "amax", "amin", "std", "var", "norm", "argmax", "prod", "logsumexp"})


def inverse(name: str, numbers: list[Any]) -> Back | None:
    """The inverse of the op `name` with the whole numbers of its arguments, None for an op without one."""
    match name, numbers:
        case "unsqueeze", [axis]:
            return lambda shape: _without(shape, axis)
        case "squeeze", [axis]:
            return lambda shape: [_inserted(shape, axis, 1)]
        case "squeeze", []:
            return lambda shape: [(*shape, 1), shape]
        case (("transpose" | "swapaxes"), [first, second]):
            return lambda shape: _swapped(shape, first, second)
        case "permute", [*axes] if axes:
            return lambda shape: _permuted(shape, axes)
        case "flatten", [] | [1] | [1, -1]:
            return unflattened
        case (("view" | "reshape"), [first, -1]) if first in (BATCH, -1):
            return unflattened
        case (("view" | "reshape"), [-1, int(size)]):
            return lambda shape: unflattened((BATCH, size)) if shape[-1] == size else []
        case (("view" | "reshape"), [first, *rest]) if all(isinstance(size, int) and size > 0 for size in rest):
            return lambda _shape: unflattened((BATCH, math.prod(rest)))
        case _ if name in _REDUCTIONS and numbers:
            return lambda shape: [_inserted(shape, numbers[0], LENGTH)]
    return None


def kept_axis(axis: int) -> Back:
    """The inverse of a reduction that leaves an axis of one: the axis is as long as it likes."""
    return lambda shape: [
        tuple(LENGTH if i == axis % len(shape) and size == 1 else size for i, size in enumerate(shape))
    ]


def unindexed(shape: Shape, index: tuple[Any, ...]) -> list[Shape]:
    """The shapes that `[index]` turns into `shape`: None takes an axis of one away, an integer adds an axis."""
    rest, origin = list(shape), []
    for position, one in enumerate(index):
        if one is Ellipsis:
            after = sum(later is None or isinstance(later, slice) for later in index[position + 1 :])
            keep = max(0, len(rest) - after)
            origin += rest[:keep]
            rest = rest[keep:]
        elif one is None:
            if not rest or rest.pop(0) != 1:
                return []
        elif isinstance(one, int):
            origin.append(max(LENGTH, one + 1))
        elif rest:
            size = rest.pop(0)
            origin.append(max(size, one.stop or 0) if isinstance(one, slice) and isinstance(one.stop, int) else size)
        else:
            return []
    return [(*origin, *rest)]


def _without(shape: Shape, axis: int) -> list[Shape]:
    if not -len(shape) <= axis < len(shape):
        return []
    axis %= len(shape)
    return [shape[:axis] + shape[axis + 1 :]] if shape[axis] == 1 else []


def _inserted(shape: Shape, axis: int, size: int) -> Shape:
    axis = axis % (len(shape) + 1)
    return (*shape[:axis], size, *shape[axis:])


def _swapped(shape: Shape, first: int, second: int) -> list[Shape]:
    if not all(-len(shape) <= axis < len(shape) for axis in (first, second)):
        return []
    sizes = list(shape)
    sizes[first], sizes[second] = sizes[second], sizes[first]
    return [tuple(sizes)]


def _permuted(shape: Shape, axes: list[int]) -> list[Shape]:
    if len(axes) != len(shape):
        return []
    origin = [0] * len(shape)
    for size, axis in zip(shape, axes, strict=True):
        origin[axis % len(shape)] = size
    return [tuple(origin)]


def unflattened(shape: Shape) -> list[Shape]:
    """The shapes of images, sequences and vectors that flatten to the matrix `shape`."""
    if len(shape) != 2:
        return [shape]
    batch, size = shape
    found: list[Shape] = []
    for channels in (1, 3):
        side = math.isqrt(size // channels)
        if side > 1 and channels * side * side == size:
            found.append((batch, channels, side, side))
    side = math.isqrt(size)
    square: list[Shape] = [(batch, side, side)] if side > 1 and side * side == size else []
    return [*found, (batch, size), *square]
