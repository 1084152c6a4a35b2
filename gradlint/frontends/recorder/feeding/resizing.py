"""Other lengths for the axes of inputs: sizes that should agree, image sides that make a flattened size fit."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator

from gradlint.frontends.recorder.feeding.recipes import Path, Recipe, TensorRecipe
from gradlint.frontends.recorder.feeding.reshapes import BATCH, LENGTH, Shape

Change = tuple[Path, Recipe]
MAX_SIDE = 512
SIDES = (
    7,
    8,
    14,
    16,
    20,
    24,
    28,
    32,
    40,
    48,
    50,
    56,
    64,
    72,
    80,
    84,
    96,
    100,
    112,
    128,
    160,
    192,
    224,
    227,
    256,
    299,
    320,
    512,
)
"""Image sides in common use."""
NEAR_SIDES = 4
"""Sides tried next to the estimate of the one that makes a flattened size fit."""
MAX_LENGTH = 64_000
USUAL_SIDE = 224
"""Side (pixels) of the images of most published classifiers."""
LOOPED = 4
"""How many times longer an axis is made that a loop runs over the end of."""
MAX_ASPECT = 4
"""How many times longer one side of an image may be than the other."""


def exchanged(actual: int, size: int, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """An axis of the wrong size comes straight from an input: the same size, a multiple of it, or one part of a sum."""
    if actual <= 0 or size <= 0:
        return
    axes = axes_of(tensors)
    for path, leaf, axis in axes:
        if leaf.shape[axis] == actual:
            yield path, resized(leaf, axis, size)
    for path, leaf, axis in axes:
        scaled, rest = divmod(leaf.shape[axis] * size, actual)
        if not rest and scaled > 0 and leaf.floating and actual % leaf.shape[axis] == 0 and not _is_side(leaf, axis):
            yield path, resized(leaf, axis, scaled)
    for path, leaf, axis in axes:
        if leaf.shape[axis] + size - actual > 0 and not _is_side(leaf, axis):
            yield path, resized(leaf, axis, leaf.shape[axis] + size - actual)


def axes_of(tensors: list[tuple[Path, TensorRecipe]]) -> list[tuple[Path, TensorRecipe, int]]:
    """Every axis of every tensor but the first one, the batch."""
    return [(path, leaf, axis) for path, leaf in tensors for axis in reversed(range(1, len(leaf.shape)))]


def _is_side(leaf: TensorRecipe, axis: int) -> bool:
    """Whether the axis is a side of an image."""
    return len(leaf.shape) == 4 and axis > 1


def resized(leaf: TensorRecipe, axis: int, size: int) -> TensorRecipe:
    """`leaf` with one axis of another size; the sides of a square image or adjacency matrix change together."""
    axes = spatial_axes(leaf.shape)
    if len(leaf.shape) == 2 and leaf.shape[0] == leaf.shape[1] > BATCH:
        return dataclasses.replace(leaf, shape=(size, size))
    if axes > 1 and axis >= len(leaf.shape) - axes and leaf.shape[-1] == leaf.shape[-2]:
        return dataclasses.replace(leaf, shape=(*leaf.shape[:-axes], *(size,) * axes))
    return dataclasses.replace(leaf, shape=(*leaf.shape[:axis], size, *leaf.shape[axis + 1 :]))


def scaled(actual: int, size: int, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """The axis is a flattened one: scale the spatial axes of images and signals by the ratio."""
    for path, leaf in tensors:
        axes = spatial_axes(leaf.shape)
        if not axes or actual <= 0 or size <= 0:
            continue
        estimate = leaf.shape[-1] * (size / actual) ** (1 / axes)
        found = _oblong(actual, size, leaf.shape[-1]) if axes > 1 and leaf.shape[-1] == leaf.shape[-2] else []
        yield from ((path, dataclasses.replace(leaf, shape=(*leaf.shape[:-2], *sides))) for sides in found)
        for side in [*_near(estimate, MAX_SIDE if axes > 1 else MAX_LENGTH), *([USUAL_SIDE] if axes > 1 else [])]:
            if side != leaf.shape[-1]:
                yield path, dataclasses.replace(leaf, shape=(*leaf.shape[:-axes], *(side,) * axes))


def _oblong(actual: int, size: int, side: int) -> list[tuple[int, int]]:
    """The sides (pixels) of images that are not square, with which `size` features are left where `actual` were.

    A square image of `side` leaves `actual` = channels * cells ** 2 features; the fewest cells give the channels.
    """
    if math.isqrt(size * side**2 // actual) ** 2 * actual == size * side**2:
        return []
    for cells in range(2, side // 2):
        stride, rest = divmod(side, cells)
        channels, left = divmod(actual, cells**2)
        if rest or left or size % channels:
            continue
        wanted = size // channels
        width = next((one for one in range(math.isqrt(wanted), 0, -1) if wanted % one == 0), 1)
        height = wanted // width
        if height <= MAX_ASPECT * width and height * stride <= MAX_SIDE:
            return [(height * stride, width * stride), (width * stride, height * stride)]
    return []


def spatial_axes(shape: Shape) -> int:
    return {3: 1, 4: 2, 5: 2}.get(len(shape), 0)


def _near(estimate: float, most: int) -> list[int]:
    exact = [math.floor(estimate), math.ceil(estimate), round(estimate) + 1, round(estimate) - 1, round(estimate) + 2]
    common = sorted(SIDES, key=lambda side: abs(side - estimate))[:NEAR_SIDES]
    ordered = [common[0], *exact[:2], *common[1:], *exact[2:]]
    return [side for side in dict.fromkeys(ordered) if 0 < side <= most]


def sizes_told(text: str, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """Two sizes that should agree: make one of the inputs' axes the other size."""
    pairs = [
        r"tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
        r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)",
        r"Expected size (\d+) but got size (\d+)",
        r"expanded size of the tensor \((\d+)\) must match the existing size \((\d+)\)",
        r"to have (\d+) channels, but got (\d+)",
        r"running_mean should contain (\d+) elements not (\d+)",
        r"has size (\d+) for operand \d+ which does not broadcast with previously seen size (\d+)",
        r"input.*?got (\d+),? expected (\d+)",
        r"[Ee]xpected (?:\w+ )*?(\d+),? (?:but )?got:? (\d+)",
        r"weight of size \[\d+, (\d+).*?input\[\d+, (\d+)",
        r"normalized_shape=\[(\d+)\].*?\[.*?(\d+)\]$",
        r"\[\d+, \d+, (\d+)\] and \[\d+, (\d+), \d+\]",
        r"(\d+) vs\.? (\d+)",
        r"(\d+),? but (?:found|got|was|is|received) (\d+)",
        r"operand.*?size (\d+).*?size (\d+)",
        r"(\d+) (?:!=|==) (\d+)",
        r"\((\d+)\D{1,40}?\((\d+)",
    ]
    for pattern in pairs:
        if found := re.search(pattern, text, re.DOTALL):
            first, second = int(found[1]), int(found[2])
            yield from exchanged(first, second, tensors)
            yield from exchanged(second, first, tensors)
            yield from scaled(first, second, tensors)
            yield from scaled(second, first, tensors)
    if found := re.search(r"shape '\[(.*?)\]' is invalid for input of size (\d+)", text):
        yield from _viewed([int(one) for one in found[1].split(",")], int(found[2]), tensors)
    if found := re.search(r"index (\d+) is out of bounds for dimension \d+ with size (\d+)", text):
        grown = [one for one in axes_of(tensors) if one[1].shape[one[2]] == int(found[2]) == int(found[1])]
        yield from ((path, resized(leaf, axis, LOOPED * int(found[2]))) for path, leaf, axis in grown)
        yield from exchanged(int(found[2]), int(found[1]) + 1, tensors)
        for path, leaf, axis in axes_of(tensors):
            if leaf.floating and leaf.shape[axis] <= int(found[1]):
                yield path, resized(leaf, axis, int(found[1]) + 1)
    if found := re.search(r"sum exactly to (\d+).*split_sizes=\[([\d, ]+)\]", text):
        yield from exchanged(int(found[1]), sum(int(one) for one in found[2].split(",")), tensors)


def _viewed(sizes: list[int], elements: int, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    fixed = math.prod(size for size in sizes if size > 0)
    actual = elements // BATCH if -1 in sizes or sizes[0] == BATCH else elements
    if actual and fixed != actual:
        yield from scaled(actual, fixed // BATCH if sizes[0] == BATCH and -1 not in sizes else fixed, tensors)
    for path, leaf in tensors:
        per_sample = fixed // BATCH if sizes and sizes[0] in (BATCH, -1) else fixed
        yield path, dataclasses.replace(leaf, shape=(*leaf.shape[:-1], sizes[-1] if sizes[-1] > 0 else LENGTH))
        if per_sample > 0 and len(leaf.shape) == 2:
            yield path, dataclasses.replace(leaf, shape=(leaf.shape[0], per_sample))


_BATCHES = (
    r"batch.?size \(?(\d+)\)? (?:doesn't|to) match \w+ batch.?size \(?(\d+)",
    r"Number of indices \((\d+)\) should be equal to source.size\(dim\): \((\d+)\)",
    r"equal size, but got \[(\d+).*?\[(\d+)",
)


def batches_told(text: str, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """Two first axes that should agree."""
    found = next((one for pattern in _BATCHES if (one := re.search(pattern, text))), None)
    if found is None:
        return
    first, second = int(found[1]), int(found[2])
    for actual, size in ((first, second), (second, first)):
        for path, leaf in tensors if actual != size else ():
            yield from (
                (path, dataclasses.replace(leaf, shape=(*leaf.shape[:axis], size, *leaf.shape[axis + 1 :])))
                for axis in range(min(2, len(leaf.shape)))
                if leaf.shape[axis] == actual
            )
