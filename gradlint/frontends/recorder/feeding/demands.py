"""The shapes that a layer or a function accepts, which is what an unknown input must have to get there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.hints import (
    EDGE_NAMES,
    EDGES,
    MASK_NAMES,
    NODES,
    SINGLE_ID_NAMES,
    STEPS,
    TIME_NAMES,
    by_name,
    edges,
)
from gradlint.frontends.recorder.feeding.probe import Call, Demand, Probe, flat
from gradlint.frontends.recorder.feeding.recipes import GroupRecipe, ProbeRecipe, Recipe, TensorRecipe, ValueRecipe
from gradlint.frontends.recorder.feeding.reshapes import BATCH, LENGTH, Shape

IMAGE_SIDES = (32, 64, 28, 16, 128, 224, 8, 256)
SIGNAL_LENGTHS = (64, 16, 256, 1024, 16000)
VOLUME_SIDES = (8, 16, 32)
SEED_SIDES = (1, 4, 8, 16)
MAX_INDEX = 90
"""Random indices stay below this even in larger tables."""

_CONVOLUTIONS: dict[type[nn.Module], tuple[tuple[int, ...], int]] = {
    nn.Conv1d: (SIGNAL_LENGTHS, 1),
    nn.Conv2d: (IMAGE_SIDES, 2),
    nn.Conv3d: (VOLUME_SIDES, 3),
    nn.ConvTranspose1d: ((16, 1, 64), 1),
    nn.ConvTranspose2d: (SEED_SIDES, 2),
    nn.ConvTranspose3d: ((1, 4), 3),
}


def recipes_for(demand: Demand, name: str, *, sequential: bool, known: Sequence[Shape]) -> list[Recipe]:
    """What the input could be after what the model did with it, likeliest first.

    `name` is the parameter's, key's or attribute's name, `sequential` tells that the model has layers for sequences,
    `known` are the shapes of the inputs that are already decided.
    """
    probe = demand.probe
    match demand.kind:
        case "layer" if probe is not None:
            layer, given = demand.detail
            accepted = layer_recipes(layer, given, sequential=sequential, name=name)
            weightless = next(layer.parameters(), None) is None
            return _carried(probe, _known_first(accepted, known, weightless=weightless))
        case "function" if probe is not None and TIME_NAMES.match(name):
            return by_name(name, known)
        case "function" if probe is not None:
            return _carried(probe, function_recipes(demand.detail, probe, name, known)) + by_name(name, known)
        case "iterate":
            return _iterated(demand.detail, name, known)
        case "rank" | "axis" | "like" | "item":
            return _ranked(demand, name, known)
        case "key":
            return (
                [GroupRecipe("dict", ((demand.detail, ProbeRecipe()),))] if demand.detail else [GroupRecipe("dict", ())]
            )
        case "attribute":
            return [GroupRecipe("object", ((demand.detail, ProbeRecipe()),))]
        case "scalar":
            return [ValueRecipe(2), ValueRecipe(value=True), *by_name(name, known)]
        case "call":
            return [ValueRecipe(nn.Identity())]
    return by_name(name, known)


def _known_first(recipes: list[Recipe], known: Sequence[Shape], *, weightless: bool) -> list[Recipe]:
    """The shapes of inputs already decided come first where the layer takes them: pairs of images, of sentences."""
    tensors = [one for one in recipes if isinstance(one, TensorRecipe)]
    alike = [
        dataclasses.replace(one, shape=shape)
        for shape in known
        for one in tensors
        if len(one.shape) == len(shape)
        and (one.shape[1:2] == shape[1:2] or not one.floating or weightless)
        and one.shape[-1:] != (1,)
    ]
    fitting = [one for one in alike if len(one.shape) > 3 or one in tensors]
    return list(dict.fromkeys([*fitting, *recipes]))


def _carried(probe: Probe, recipes: Sequence[Recipe]) -> list[Recipe]:
    """The recipes for the value at the probe, carried back to the input through the reshapes between."""
    found: list[Recipe] = []
    for recipe in recipes:
        if isinstance(recipe, TensorRecipe):
            origins = [shape for shape in probe.origins(recipe.shape) if all(size > 0 for size in shape)]
            found += [TensorRecipe(shape, recipe.dtype, recipe.low, recipe.high, recipe.fill) for shape in origins]
        else:
            found.append(recipe)
    return list(dict.fromkeys(found))


def layer_recipes(layer: nn.Module, given: tuple[Any, ...], *, sequential: bool, name: str = "") -> list[Recipe]:
    """The inputs that one of torch's layers accepts, batch size 2."""
    position = next((i for i, one in enumerate(given) if isinstance(one, Probe)), 0)
    match layer:
        case nn.Embedding() | nn.EmbeddingBag():
            return [TensorRecipe(shape, "int64", 0, index_bound(layer)) for shape in index_shapes(name)]
        case nn.LSTM() | nn.GRU() | nn.RNN():
            return [state_recipe(layer)] if position else _shapes(_sequence(layer.input_size, layer.batch_first))
        case nn.LSTMCell():
            pair = TensorRecipe((BATCH, layer.hidden_size))
            return [GroupRecipe("tuple", ((0, pair), (1, pair)))] if position else _shapes([(BATCH, layer.input_size)])
        case nn.GRUCell() | nn.RNNCell():
            return _shapes([(BATCH, layer.hidden_size if position else layer.input_size)])
        case nn.MultiheadAttention():
            return _attention(layer, given, position)
        case nn.Bilinear():
            return _shapes([(BATCH, layer.in2_features if position else layer.in1_features)])
    return _shapes(list(_plain_shapes(layer, sequential)))


def _plain_shapes(layer: nn.Module, sequential: bool) -> Iterator[Shape]:
    wide: Any = layer
    kind = next((one for one in _CONVOLUTIONS if isinstance(layer, one)), None)
    if kind is not None:
        sides, axes = _CONVOLUTIONS[kind]
        channels = wide.in_channels or 3
        yield from ((BATCH, channels, *(side,) * axes) for side in sides)
        return
    match layer:
        case nn.Linear():
            yield from linear_shapes(wide.in_features or LENGTH, sequential)
        case nn.BatchNorm1d() | nn.InstanceNorm1d():
            yield from ((BATCH, wide.num_features), (BATCH, wide.num_features, LENGTH))
        case nn.BatchNorm2d() | nn.InstanceNorm2d():
            yield (BATCH, wide.num_features, 16, 16)
        case nn.BatchNorm3d():
            yield (BATCH, wide.num_features, LENGTH, LENGTH, LENGTH)
        case nn.LayerNorm() | nn.RMSNorm():
            yield from ((BATCH, STEPS, *wide.normalized_shape), (BATCH, *wide.normalized_shape))
        case nn.GroupNorm():
            yield from (
                (BATCH, wide.num_channels, 16, 16),
                (BATCH, wide.num_channels, LENGTH),
                (BATCH, wide.num_channels),
            )
        case nn.TransformerEncoderLayer() | nn.TransformerDecoderLayer():
            yield (BATCH, STEPS, wide.self_attn.embed_dim)
        case nn.TransformerEncoder() | nn.TransformerDecoder():
            yield (BATCH, STEPS, wide.layers[0].self_attn.embed_dim)
        case nn.Transformer():
            yield (BATCH, STEPS, wide.d_model)
        case _:
            yield from _rank_of_name(type(layer).__name__)


def _rank_of_name(name: str) -> Iterator[Shape]:
    if "1d" in name:
        yield from ((BATCH, 3, 64), (BATCH, LENGTH, LENGTH))
    elif "3d" in name:
        yield (BATCH, 3, 16, 16, 16)
    elif "2d" in name or "Pixel" in name or "Upsample" in name:
        yield from ((BATCH, 3, side, side) for side in IMAGE_SIDES)
    else:
        yield from ((BATCH, LENGTH), (BATCH, STEPS, LENGTH), (BATCH, 3, 32, 32))


def linear_shapes(features: int, sequential: bool) -> list[Shape]:
    """The inputs of a linear layer: vectors, sequences, grids."""
    shapes: list[Shape] = [(BATCH, features), (BATCH, STEPS, features), (BATCH, 4, 4, features), (features,)]
    return [shapes[1], shapes[0], *shapes[2:]] if sequential else shapes


def index_shapes(name: str) -> list[Shape]:
    """The shapes of indices: one a sample for `user_id`, sequences else."""
    shapes: list[Shape] = [(BATCH, LENGTH), (BATCH,), (LENGTH,), (BATCH, STEPS, LENGTH)]
    single = SINGLE_ID_NAMES.search(name)
    return [shapes[1], shapes[0], *shapes[2:]] if single else shapes


def index_bound(layer: nn.Embedding | nn.EmbeddingBag) -> int:
    """The exclusive upper bound of random indices for an embedding table."""
    return max(1, min(layer.num_embeddings, MAX_INDEX))


def _sequence(size: int, batch_first: bool) -> list[Shape]:
    return [(BATCH, STEPS, size), (STEPS, size)] if batch_first else [(STEPS, BATCH, size), (BATCH, STEPS, size)]


def state_recipe(layer: nn.LSTM | nn.GRU | nn.RNN) -> Recipe:
    """The initial state of a recurrent layer: `(h, c)` for an LSTM, else `h`; (layers * directions, batch, hidden)."""
    directions = 2 if layer.bidirectional else 1
    state = TensorRecipe((layer.num_layers * directions, BATCH, layer.hidden_size))
    return GroupRecipe("tuple", ((0, state), (1, state))) if isinstance(layer, nn.LSTM) else state


def _attention(layer: nn.MultiheadAttention, given: tuple[Any, ...], position: int) -> list[Recipe]:
    size = (layer.embed_dim, layer.kdim, layer.vdim)[position] if position < 3 else layer.embed_dim
    others = [tuple(one.shape) for one in given if isinstance(one, torch.Tensor) and not isinstance(one, Probe)]
    shapes = [(*shape[:-1], int(size or layer.embed_dim)) for shape in others]
    return _shapes([*shapes, (BATCH, STEPS, int(size or layer.embed_dim))])


def _shapes(shapes: Sequence[Shape]) -> list[Recipe]:
    return [TensorRecipe(shape) for shape in dict.fromkeys(shapes)]


def function_recipes(call: Call, probe: Probe, name: str, known: Sequence[Shape]) -> list[Recipe]:
    """The inputs that a torch function accepts next to its other, concrete arguments."""
    tensors = [
        one for one in flat((call.args, call.kwargs)) if isinstance(one, torch.Tensor) and not isinstance(one, Probe)
    ]
    handler = _HANDLERS.get(call.name)
    if handler is not None:
        return handler(call, probe, tensors, name)
    if call.name.rstrip("_0123456789d").endswith("pool") or call.name in (
        "interpolate",
        "pad",
        "pixel_shuffle",
        "unfold",
    ):
        return _shapes([*(shape for shape in known if len(shape) > 2), (BATCH, 3, 32, 32), (BATCH, 3, 64)])
    if tensors:
        return _like(tensors[0], name, boolean=False)
    return []


def _matmul(call: Call, probe: Probe, tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    if not tensors:
        return []
    other = tuple(tensors[0].shape)
    if call.args and call.args[0] is probe:
        size = other[0] if len(other) == 1 else other[-2]
        return _shapes(
            [(*other[:-2], STEPS, size), (BATCH, size), (BATCH, STEPS, size), (other[0], size), (size, size)]
        )
    size = other[-1]
    return _shapes([(*other[:-2], size, size), (size, LENGTH), (BATCH, size, LENGTH), (size,)])


def _linear(call: Call, _probe: Probe, _tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    return _shapes(linear_shapes(call.args[1].shape[1], sequential=False))


def _convolution(axes: int) -> Callable[..., list[Recipe]]:
    sides = {1: SIGNAL_LENGTHS, 2: IMAGE_SIDES, 3: VOLUME_SIDES}[axes]

    def shapes(call: Call, _probe: Probe, _tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
        groups = call.kwargs.get("groups", call.args[6] if len(call.args) > 6 else 1)
        channels = call.args[1].shape[1] * groups
        return _shapes([(BATCH, channels, *(side,) * axes) for side in sides])

    return shapes


def _embedding(_call: Call, _probe: Probe, tensors: list[torch.Tensor], name: str) -> list[Recipe]:
    rows = tensors[0].shape[0] if tensors else MAX_INDEX
    return [TensorRecipe(shape, "int64", 0, max(1, min(rows, MAX_INDEX))) for shape in index_shapes(name)]


def _lookup(call: Call, probe: Probe, tensors: list[torch.Tensor], name: str) -> list[Recipe]:
    """`table[index]`, `index_select`, `gather`, `one_hot`, `scatter_add`: whole numbers below the size of the table."""
    if call.args and call.args[0] is probe and call.name == "__getitem__":
        return _shapes([(NODES, LENGTH), (NODES, LENGTH, LENGTH), (BATCH, LENGTH)])
    rows = min((one.shape[0] for one in tensors if one.dim()), default=LENGTH)
    high = max(1, min(rows, MAX_INDEX))
    if EDGE_NAMES.match(name):
        return [TensorRecipe((2, EDGES), "int64", 0, high)]
    if call.name == "gather" and tensors:
        return _gathered(call, tuple(tensors[0].shape))
    shapes = (
        [tuple(tensors[0].shape[:1]), *index_shapes(name)]
        if tensors and call.name != "__getitem__"
        else index_shapes(name)
    )
    return [TensorRecipe(shape, "int64", 0, high) for shape in shapes]


def _gathered(call: Call, shape: Shape) -> list[Recipe]:
    """Indices along one axis of a tensor of `shape`, one for each place of the other axes."""
    axis = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else -1) % max(1, len(shape))
    return [TensorRecipe(_resized(shape, axis, size), "int64", 0, shape[axis]) for size in (1, shape[axis])]


def _resized(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _masking(_call: Call, _probe: Probe, tensors: list[torch.Tensor], name: str) -> list[Recipe]:
    return _like(tensors[0], name, boolean=True) if tensors else []


def _split(call: Call, probe: Probe, _tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    """An axis that is split into parts of given sizes is as long as their sum."""
    sizes = (
        call.args[1] if len(call.args) > 1 else call.kwargs.get("split_size_or_sections", call.kwargs.get("split_size"))
    )
    if call.args[0] is not probe or not isinstance(sizes, (list, tuple)):
        return []
    axis = call.kwargs.get("dim", call.args[2] if len(call.args) > 2 else 0)
    shapes = ((BATCH, LENGTH), (BATCH, STEPS, LENGTH), (BATCH, 3, 32, 32))
    return _shapes(
        [_resized(shape, axis % len(shape), sum(sizes)) for shape in shapes if -len(shape) <= axis < len(shape)]
    )


def _joined(_call: Call, _probe: Probe, tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    if not tensors:
        return []
    return _shapes([tuple(one.shape) for one in tensors] + [(*tensors[0].shape[:-1], 1)])


def _like(other: torch.Tensor, name: str, *, boolean: bool) -> list[Recipe]:
    """Tensors that broadcast with `other`: its own shape, fewer leading axes, axes of size one."""
    shape = tuple(other.shape)
    shapes = [
        shape,
        *(shape[i:] for i in range(1, len(shape))),
        *((*shape[:i], 1, *shape[i + 1 :]) for i in range(len(shape))),
    ]
    collapsed = [(shape[0], *(1,) * (len(shape) - 1))] if shape else []
    if boolean or MASK_NAMES.search(name):
        return [TensorRecipe(one, "bool", fill="ones") for one in (*shapes, *collapsed)]
    return _shapes([*shapes, *collapsed])


_HANDLERS: dict[str, Callable[[Call, Probe, list[torch.Tensor], str], list[Recipe]]] = {
    **dict.fromkeys(("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "dot"), _matmul),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "linear": _linear,
    "conv1d": _convolution(1),
    "conv2d": _convolution(2),
    "conv3d": _convolution(3),
    "embedding": _embedding,
    **dict.fromkeys(
        ("__getitem__", "index_select", "gather", "one_hot", "scatter_add", "scatter_add_", "index_add", "index_add_"),
        _lookup,
    ),
    **dict.fromkeys(
        ("masked_fill", "masked_fill_", "masked_select", "where", "logical_and", "__and__", "__or__"), _masking
    ),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack", "hstack"), _joined),
}


def _iterated(count: int | None, name: str, known: Sequence[Shape]) -> list[Recipe]:
    """`a, b = x` asks for as many parts; an edge list is one tensor with two rows; a loop takes any sequence."""
    if EDGE_NAMES.match(name):
        return [edges()]
    parts = BATCH if count is None else count
    probes = tuple((index, ProbeRecipe()) for index in range(parts))
    group = GroupRecipe("tuple" if count else "list", probes)
    return [group, *by_name(name, known)]


def _ranked(demand: Demand, name: str, known: Sequence[Shape]) -> list[Recipe]:
    count = demand.detail if demand.kind == "rank" else None
    wanted = by_name(name, known)
    tensors = [one for one in wanted if isinstance(one, TensorRecipe)]
    probe = demand.probe
    if count is None or probe is None:
        return wanted
    carried = [shape for default in _defaults(count) for shape in probe.origins(default)]
    fitting = [one for one in tensors if carried and len(one.shape) == len(carried[0])]
    return [*fitting, *_shapes(carried), *wanted]


def _defaults(rank: int) -> list[Shape]:
    shapes: dict[int, list[Shape]] = {
        1: [(BATCH,)],
        2: [(BATCH, LENGTH)],
        3: [(BATCH, STEPS, LENGTH), (BATCH, LENGTH, 64)],
        4: [(BATCH, 3, 32, 32), (BATCH, STEPS, LENGTH, LENGTH)],
        5: [(BATCH, 4, 3, 32, 32), (BATCH, 3, 4, 32, 32)],
    }
    return shapes.get(rank, [(BATCH,) * rank])
