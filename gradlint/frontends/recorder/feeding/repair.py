"""What to change in the inputs after a failed trial: from the layer, what it was given, and the error's text."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.asserted import disagreements
from gradlint.frontends.recorder.feeding.called import index_shapes
from gradlint.frontends.recorder.feeding.demands import index_bound, layer_recipes
from gradlint.frontends.recorder.feeding.hints import EDGE_NAMES, MASK_NAMES, TOKEN_NAMES
from gradlint.frontends.recorder.feeding.probe import Probe, flat
from gradlint.frontends.recorder.feeding.recipes import (
    GroupRecipe,
    Path,
    ProbeRecipe,
    Recipe,
    TensorRecipe,
    ValueRecipe,
    leaf_name,
    leaves,
)
from gradlint.frontends.recorder.feeding.reshapes import BATCH, LENGTH, Shape
from gradlint.frontends.recorder.feeding.resizing import (
    MAX_SIDE,
    Change,
    axes_of,
    batches_told,
    exchanged,
    resized,
    scaled,
    sizes_told,
    spatial_axes,
)
from gradlint.frontends.recorder.feeding.trial import Failure

_JOINED_SIDES = (64, 128, 96, 188, 256, 224, 160)
"""Image sides on which the two ways of a U-net meet: powers of two, and 12 mod 16 where convolutions are not padded."""
STACKED = 3
"""Samples that are stacked along a further axis: the shots of a class, the crops of an image."""
MAX_OF_A_KIND = 6
"""Changes of one kind before the next kind has its turn."""
_FRONTS = ((BATCH, STACKED), (BATCH,), (BATCH, STACKED, STACKED))
"""Axes before those of one sample."""
LONG = 64
"""Axes from this length on are signals, which may have to be much longer, rather than features."""
_LONG = re.compile(r"Long|Int\b|integer|dtype int|indices must be|as indices|tensors used as", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


def changes(failure: Failure, plan: Recipe, *, sequential: bool, sizes: tuple[int, ...] = ()) -> Iterator[Change]:
    """Single replacements in `plan` that may mend the failure, likeliest first; `sizes` are the model's own."""
    tensors = [(path, leaf) for path, leaf in leaves(plan) if isinstance(leaf, TensorRecipe)]
    text = f"{type(failure.error).__name__}: {failure.error}"
    groups = [
        _arrays(text, tensors),
        _pooled(text, tensors),
        _dtypes(text, failure, tensors),
        _shapes_told(text, tensors),
        _stacked(failure, tensors, sequential),
        _layers(failure, tensors, sequential),
        batches_told(text, tensors),
        _compared(failure.error, tensors),
        _named_sizes(text, failure.error, tensors),
        sizes_told(text, tensors),
        _known_sizes(sizes, tensors),
        _ranks(text, tensors),
        _extents(text, tensors),
        _structures(text, tensors),
        _neighbours(tensors),
    ]
    heads = [list(itertools.islice(group, MAX_OF_A_KIND)) for group in groups]
    yield from itertools.chain.from_iterable(heads)
    yield from itertools.chain.from_iterable(groups)


def _arrays(text: str, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """Numpy arrays where the code, or an operation of numpy, takes no tensors; and tensors where it takes no array."""
    if re.search(r"ndarray|numpy|'Tensor' object has no attribute '(astype|copy)'", text):
        yield from ((path, dataclasses.replace(leaf, array=not leaf.array)) for path, leaf in tensors)


def _known_sizes(sizes: tuple[int, ...], tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """An axis as long as a size that the model was written for."""
    for size in sizes:
        for path, leaf, axis in axes_of(tensors):
            if leaf.shape[axis] != size:
                yield path, resized(leaf, axis, size)


_TOLD = (
    r"[Ee]xpected.*?[(\[](?P<wanted>[\d, ]+)[)\]],? (?:but )?got:? [(\[](?P<given>[\d, ]+)[)\]]",
    r"Target sizes: \[(?P<wanted>[\d, ]+)\]\.\s+Tensor sizes: \[(?P<given>[\d, ]+)\]",
)


def _shapes_told(text: str, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """The text names a whole shape: `Expected hidden size (1, 2, 32), got [6, 2, 32]`."""
    found = next((one for pattern in _TOLD if (one := re.search(pattern, text))), None)
    if found is None:
        return
    wanted, given = (tuple(int(one) for one in found[group].split(",") if one.strip()) for group in ("wanted", "given"))
    for path, leaf in tensors:
        if leaf.shape == given and leaf.floating:
            yield path, dataclasses.replace(leaf, shape=wanted)
        elif given and leaf.shape[-len(given) :] == given and len(wanted) == len(given) and leaf.floating:
            yield path, dataclasses.replace(leaf, shape=(*leaf.shape[: -len(given)], *wanted))


def _compared(error: BaseException, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """The user's own check compared two sizes."""
    for first, second in disagreements(error):
        if first != second:
            yield from exchanged(first, second, tensors)
            yield from exchanged(second, first, tensors)
            yield from scaled(first, second, tensors)


def _dtypes(text: str, failure: Failure, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """Indices where whole numbers are expected, booleans for masks, floats where a sum of both is refused."""
    if isinstance(failure.layer, (nn.Embedding, nn.EmbeddingBag)):
        given = failure.given[0] if failure.given else None
        high = index_bound(failure.layer)
        whole = [one for one in tensors if not one[1].floating] if "out of range" in text else []
        for path, leaf in whole or _suspects(given, tensors):
            shapes = [leaf.shape, *index_shapes(leaf_name(path))] if leaf.floating else [leaf.shape]
            yield from ((path, TensorRecipe(shape, "int64", 0, high)) for shape in shapes)
    if "index" in text and "out of" in text and (bound := re.search(r"size (\d+)|out of range", text)):
        high = int(bound[1]) if bound[1] else 1
        yield from ((path, dataclasses.replace(leaf, high=high)) for path, leaf in tensors if not leaf.floating)
        yield from ((path, dataclasses.replace(leaf, fill="zeros")) for path, leaf in tensors if leaf.floating)
    if "offsets" in text:
        yield from ((path, TensorRecipe((LENGTH,), "int64")) for path, leaf in tensors if len(leaf.shape) > 1)
        yield from ((path, TensorRecipe((BATCH,), "int64", fill="zeros")) for path, _ in tensors)
    if "boolean mask" in text or ("mask" in text and "bool" in text):
        yield from (
            (path, TensorRecipe(leaf.shape, "bool", fill="ones"))
            for path, leaf in tensors
            if MASK_NAMES.search(leaf_name(path))
        )
        yield from ((path, TensorRecipe(leaf.shape, "bool", fill="ones")) for path, leaf in tensors)
    if _LONG.search(text):
        named = sorted(tensors, key=lambda one: not TOKEN_NAMES.search(leaf_name(one[0])))
        yield from ((path, TensorRecipe(leaf.shape, "int64", 0, 2)) for path, leaf in named if leaf.floating)
    if re.search(r"lengths?\b.*sorted|[Ll]ength of all samples|lengths' array", text):
        yield from ((path, _longest(leaf, tensors)) for path, leaf in tensors if not leaf.floating)
    if re.search(r"same dtype|Float|floating|Input dtype must be|not implemented for '(Long|Bool)|only.*float", text):
        yield from ((path, TensorRecipe(leaf.shape)) for path, leaf in tensors if not leaf.floating)


def _longest(leaf: TensorRecipe, tensors: list[tuple[Path, TensorRecipe]]) -> TensorRecipe:
    """Lengths that are all those of the longest sequence."""
    steps = max((one.shape[1] for _, one in tensors if 1 < len(one.shape) < len("NCHW")), default=LENGTH)
    return dataclasses.replace(leaf, shape=leaf.shape[:1] or (BATCH,), dtype="int64", low=steps, high=steps + 1)


def _suspects(given: Any, tensors: list[tuple[Path, TensorRecipe]]) -> list[tuple[Path, TensorRecipe]]:
    """The inputs of the same shape as what the failing layer was given, else all."""
    shape = tuple(given.shape) if isinstance(given, torch.Tensor) and not isinstance(given, Probe) else None
    same = [one for one in tensors if one[1].shape == shape]
    return same or tensors


def _layers(failure: Failure, tensors: list[tuple[Path, TensorRecipe]], sequential: bool) -> Iterator[Change]:
    """The input reached the layer as it is: give it a shape of the layer's own. Else scale the axis that is off."""
    given = next((one for one in failure.given if isinstance(one, torch.Tensor) and not isinstance(one, Probe)), None)
    if failure.layer is None or given is None:
        return
    shape = tuple(given.shape)
    for path, leaf in tensors:
        if leaf.shape == shape and leaf.floating:
            yield from ((path, recipe) for recipe in layer_recipes(failure.layer, failure.given, sequential=sequential))
    wanted = _wanted(failure.layer)
    if wanted is None:
        return
    axis, size = wanted
    actual = shape[axis] if -len(shape) <= axis < len(shape) else None
    if actual is not None and actual != size:
        yield from exchanged(actual, size, tensors)
        yield from scaled(actual, size, tensors)


def _wanted(layer: nn.Module) -> tuple[int, int] | None:
    """The axis and size that a layer requires of its input."""
    match layer:
        case nn.Linear(in_features=size):
            return -1, size
        case nn.LSTM(input_size=size) | nn.GRU(input_size=size) | nn.RNN(input_size=size) | nn.GRUCell(input_size=size):
            return -1, size
        case nn.LSTMCell(input_size=size) | nn.RNNCell(input_size=size):
            return -1, size
        case nn.MultiheadAttention(embed_dim=size) | nn.Transformer(d_model=size):
            return -1, size
        case nn.TransformerEncoderLayer() | nn.TransformerDecoderLayer():
            return -1, int(layer.self_attn.embed_dim)
        case nn.LayerNorm(normalized_shape=shape):
            return -1, int(shape[-1])
        case nn.BatchNorm1d(num_features=size) | nn.BatchNorm2d(num_features=size) | nn.GroupNorm(num_channels=size):
            return 1, next(flat(size))
        case nn.Conv1d(in_channels=size) | nn.Conv2d(in_channels=size) | nn.Conv3d(in_channels=size):
            return 1, size
        case nn.ConvTranspose1d(in_channels=size) | nn.ConvTranspose2d(in_channels=size):
            return 1, size
    return None


def _named_sizes(text: str, error: BaseException, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """An assertion, or a complaint about the size of an image, names the size that it wants."""
    if not isinstance(error, AssertionError) and not re.search(r"[Ii]mage|height|width", text):
        return
    numbers = [int(one) for one in _NUMBER.findall(text) if 1 < int(one) <= MAX_SIDE]
    for path, leaf in tensors:
        for number in dict.fromkeys(numbers):
            for axes in range(1, max(1, len(leaf.shape) - 1) + 1):
                if len(leaf.shape) > axes:
                    yield path, dataclasses.replace(leaf, shape=(*leaf.shape[:-axes], *(number,) * axes))


def _stacked(failure: Failure, tensors: list[tuple[Path, TensorRecipe]], sequential: bool) -> Iterator[Change]:
    """The layer was given too few axes: the input has more of them before those that the layer takes."""
    given = next((one for one in failure.given if isinstance(one, torch.Tensor)), None)
    told = re.search(r"input of size|\dD|\d-D|dimension", str(failure.error))
    if failure.layer is None or given is None or isinstance(given, Probe) or not told:
        return
    wanted = [
        one.shape
        for one in itertools.islice(layer_recipes(failure.layer, failure.given, sequential=sequential), 2)
        if isinstance(one, TensorRecipe) and len(one.shape) > given.dim()
    ]
    for shape in wanted:
        for path, leaf in tensors:
            if leaf.floating:
                yield from ((path, dataclasses.replace(leaf, shape=(*front, *shape[1:]))) for front in _FRONTS)


def _ranks(text: str, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """Too few or too many axes."""
    wanted = [
        int(one) for one in re.findall(r"(\d)-?D|(?<=expected )(\d)(?=[,)])|(\d)[- ]dim", text) for one in one if one
    ]
    wanted += [int(one) for one in re.findall(r"must be a (\d)D tensor", text)]
    fewer = re.search(r"too many values to unpack|at most|too many dim", text)
    more = re.search(
        r"not enough values|too many indices|Dimension out of range|unbatched|at least|index out of range|exceed|"
        r"dimension specified as",
        text,
    )
    apart = _apart(text, wanted)
    if "same number of dimensions" in text:
        steps = [(path, leaf) for path, leaf in tensors if not leaf.floating and len(leaf.shape) > 1]
        yield from ((path, dataclasses.replace(leaf, shape=(1, BATCH, *leaf.shape[2:]))) for path, leaf in steps)
    for path, leaf in tensors:
        ranks = [len(leaf.shape) + one for one in apart] + [one for one in wanted if one != len(leaf.shape)]
        ranks += [len(leaf.shape) + 1] if more or "must be a" in text else []
        ranks += [len(leaf.shape) - 1] if fewer else []
        for rank in dict.fromkeys(ranks):
            yield from ((path, dataclasses.replace(leaf, shape=shape)) for shape in reranked(leaf.shape, rank))


def _apart(text: str, wanted: list[int]) -> list[int]:
    """By how many axes what met an operation differs from what it takes, or from what it was joined with."""
    if found := re.search(r"same number of dimensions: got (\d+) and (\d+)", text):
        return [int(found[2]) - int(found[1]), int(found[1]) - int(found[2])]
    given = re.search(r"got (\d)-?D|found (\d)-?D|input\.dim\(\) = (\d)", text)
    size = next((int(one) for one in given.groups() if one), 0) if given else 0
    return list(dict.fromkeys(one - size for one in reversed(wanted) if one != size)) if size else []


def reranked(shape: Shape, rank: int) -> list[Shape]:
    """Shapes with `rank` axes that keep the batch and what they can of the rest."""
    if rank <= 0:
        return []
    if rank < len(shape):
        return list(dict.fromkeys([(*shape[:1], *shape[len(shape) - rank + 1 :]), shape[:rank]]))
    grown: list[Shape] = []
    while len(shape) + len(grown) < rank and not grown:
        grown = [(*shape[:1], LENGTH, *shape[1:]), (*shape, shape[-1] if len(shape) > 2 else LENGTH)]
        grown += [(*shape[:1], 3, 32, 32)] if rank == 4 else []
    if len(grown[0]) < rank:
        return [longer for one in grown[:2] for longer in reranked(one, rank)]
    return [one for one in grown if len(one) == rank]


def _extents(text: str, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """Spatial axes that are too small for the kernels and strides, or a batch too small for batch norm."""
    if re.search(
        r"too small|[Kk]ernel size|Expected more than 1|more than 1 spatial|[Pp]adding size|non-zero|negative dim|"
        r"empty|divisible|(smaller|shorter|less|greater|longer) than|too short",
        text,
    ):
        for path, leaf in tensors:
            axes = spatial_axes(leaf.shape)
            if axes and leaf.shape[-1] < MAX_SIDE:
                yield path, dataclasses.replace(leaf, shape=(*leaf.shape[:-axes], *(leaf.shape[-1] * 2,) * axes))
                yield path, dataclasses.replace(leaf, shape=(*leaf.shape[:-axes], *(LENGTH * 8,) * axes))
                yield path, dataclasses.replace(leaf, shape=(*leaf.shape[:-axes], *(LENGTH * 12,) * axes))
            elif len(leaf.shape) == 3:
                yield path, resized(leaf, 1, leaf.shape[1] * 4)
            if leaf.floating and 1 < len(leaf.shape) <= 3 and leaf.shape[-1] >= LONG:
                yield path, resized(leaf, len(leaf.shape) - 1, leaf.shape[-1] * 8)
    if "Sizes of tensors must match" in text:
        images = [(path, leaf) for path, leaf in tensors if spatial_axes(leaf.shape) > 1]
        yield from (
            (path, dataclasses.replace(leaf, shape=(*leaf.shape[:-2], side, side)))
            for side in _JOINED_SIDES
            for path, leaf in images
        )
    if "Expected more than 1" in text or "batch" in text.lower():
        yield from (
            (path, resized(leaf, 0, 2 * BATCH)) for path, leaf in tensors if leaf.shape and leaf.shape[0] <= BATCH
        )


_VOLUME = re.compile(r"T: (\d+) H: (\d+) W: (\d+)\D+kT: (\d+) kH: (\d+) kW: (\d+)")
"""How torch tells that a volume is smaller than the kernel of a pooling layer."""
_POOLED = re.compile(r"input size: \(\d+x\d+x(\d+)\)\. Calculated output size: \(\d+x-?\d+x(-?\d+)\)")
"""How torch tells that pooling leaves nothing of an image: its width before, and after."""


def _pooled(text: str, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """Videos and volumes of which a pooling layer gets too little: each axis as many times longer as it takes."""
    if found := _POOLED.search(text):
        side, made = int(found[1]), int(found[2])
        for path, leaf in tensors:
            if len(leaf.shape) == len("NCHW") and side > 0 and leaf.shape[-1] * (side + 1 - made) // side <= MAX_SIDE:
                sides = [size * (side + 1 - made) // side for size in leaf.shape[2:]]
                yield path, dataclasses.replace(leaf, shape=(*leaf.shape[:2], *sides))
    found = _VOLUME.search(text)
    if found is None:
        return
    sizes = [int(one) for one in found.groups()]
    times = [max(1, -(-kernel // size)) for size, kernel in zip(sizes[:3], sizes[3:], strict=True)]
    for path, leaf in tensors:
        if len(leaf.shape) == len("NCTHW"):
            longer = [min(MAX_SIDE, size * time) for size, time in zip(leaf.shape[2:], times, strict=True)]
            yield path, dataclasses.replace(leaf, shape=(*leaf.shape[:2], *longer))


def _structures(text: str, tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """The input is no tensor: a number, an object, a list."""
    if re.search(
        r"only integer tensors|cannot be interpreted as an integer|single element|must be (an? )?int|can't be used as",
        text,
    ):
        yield from ((path, ValueRecipe(value)) for path, _ in reversed(tensors) for value in (2, 1))
    if found := re.search(r"'(?:Tensor|int|float|bool|NoneType|Identity)' object has no attribute '(\w+)'", text):
        yield from ((path, GroupRecipe("object", ((found[1], ProbeRecipe()),))) for path, _ in tensors)
    if re.search(r"tuple of Tensors|must be tuple|list of|sequence of|not Tensor", text):
        yield from ((path, GroupRecipe("list", ((0, leaf), (1, leaf)))) for path, leaf in tensors)
    if re.search(r"KeyError|string indices|new\(\)|too many indices", text):
        return


def _neighbours(tensors: list[tuple[Path, TensorRecipe]]) -> Iterator[Change]:
    """Blind changes when the text told nothing: other ranks, other order of axes, equal sizes."""
    for path, leaf in tensors:
        shape = leaf.shape
        if len(shape) > 2:
            yield path, dataclasses.replace(leaf, shape=(*shape[:-2], shape[-1], shape[-2]))
        if len(shape) > 1:
            yield path, dataclasses.replace(leaf, shape=(shape[1], shape[0], *shape[2:]))
        yield from ((path, dataclasses.replace(leaf, shape=one)) for one in reranked(shape, len(shape) + 1)[:1])
        yield from ((path, dataclasses.replace(leaf, shape=one)) for one in reranked(shape, len(shape) - 1)[:1])
        if not EDGE_NAMES.match(leaf_name(path)) and leaf.floating:
            yield path, TensorRecipe(shape, "int64")
