"""The shapes that a layer or a function accepts, which is what an unknown input must have to get there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.called import (
    IMAGE_SIDES,
    MAX_INDEX,
    SIGNAL_LENGTHS,
    VOLUME_SIDES,
    function_recipes,
    index_shapes,
    linear_shapes,
    sides_of,
    tensors_of,
)
from gradlint.frontends.recorder.feeding.hints import (
    EDGE_NAMES,
    LIST_NAMES,
    MASK_NAMES,
    STEPS,
    TIME_NAMES,
    by_name,
    edges,
    named,
)
from gradlint.frontends.recorder.feeding.probe import Demand, Place, Probe
from gradlint.frontends.recorder.feeding.recipes import GroupRecipe, ProbeRecipe, Recipe, TensorRecipe, ValueRecipe
from gradlint.frontends.recorder.feeding.reshapes import BATCH, LENGTH, Shape

SEED_SIDES = (1, 4, 8, 16)

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
            return _carried(probe, _known_first(accepted, known, weightless=weightless)) or by_name(name, known)
        case "function" if probe is not None and TIME_NAMES.match(name):
            return by_name(name, known)
        case "function" if probe is not None:
            told = by_name(name, known)
            found = [*function_recipes(demand.detail, probe, name, known), *named(name, known)]
            return list(dict.fromkeys([*_carried(probe, found), *told]))
        case "iterate":
            return _iterated(demand.detail, name, known)
        case "rank" | "axis" | "like" | "item":
            return _ranked(demand, name, known)
        case "key":
            if demand.detail:
                return [GroupRecipe("dict", ((demand.detail, ProbeRecipe()),))]
            return [GroupRecipe("dict", tuple((str(i), ProbeRecipe()) for i in range(size))) for size in (2, 3, 4, 0)]
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
    return list(dict.fromkeys([*fitting, *_as_long(tensors, known), *_beside(tensors, known), *recipes]))


def _beside(tensors: list[TensorRecipe], known: Sequence[Shape]) -> Iterator[TensorRecipe]:
    """Indices for every step of a sequence of vectors that is decided."""
    lengths = [shape[1] for shape in known if len(shape) == len("NSE")]
    if tensors and not tensors[0].floating and tensors[0].shape == (BATCH, LENGTH):
        yield from (dataclasses.replace(tensors[0], shape=(BATCH, length)) for length in lengths[:1])


def _as_long(tensors: list[TensorRecipe], known: Sequence[Shape]) -> Iterator[TensorRecipe]:
    """Sequences as long as those that are decided, where the layer takes sequences first."""
    lengths = [shape[1] for shape in known if len(shape) == len("NSE")]
    if tensors and len(tensors[0].shape) == len("NSE") and tensors[0].shape[1] == STEPS:
        yield from (dataclasses.replace(tensors[0], shape=(BATCH, length, tensors[0].shape[2])) for length in lengths)
    elif lengths and len(tensors) > 1 and tensors[1].shape[1:2] == (STEPS,) and len(tensors[1].shape) == len("NSE"):
        yield dataclasses.replace(tensors[1], shape=(BATCH, lengths[0], tensors[1].shape[2]))


def _carried(probe: Probe, recipes: Sequence[Recipe]) -> list[Recipe]:
    """The recipes for the value at the probe, carried back to the input through the reshapes between."""
    found: list[Recipe] = []
    for recipe in recipes:
        if isinstance(recipe, TensorRecipe):
            origins = [shape for shape in probe.origins(recipe.shape) if all(size > 0 for size in shape)]
            found += [dataclasses.replace(recipe, shape=shape) for shape in origins]
        else:
            found.append(recipe)
    return list(dict.fromkeys(found))


def layer_recipes(layer: nn.Module, given: tuple[Any, ...], *, sequential: bool, name: str = "") -> list[Recipe]:
    """The inputs that one of torch's layers accepts, batch size 2."""
    position = next((i for i, one in enumerate(given) if isinstance(one, Probe)), 0)
    match layer:
        case nn.Embedding() | nn.EmbeddingBag():
            return [TensorRecipe(shape, "int64", 0, index_bound(layer)) for shape in (*index_shapes(name), (1, BATCH))]
        case nn.LSTM() | nn.GRU() | nn.RNN():
            return [state_recipe(layer)] if position else tensors_of(_sequence(layer.input_size, layer.batch_first))
        case nn.LSTMCell():
            pair = TensorRecipe((BATCH, layer.hidden_size))
            return (
                [GroupRecipe("tuple", ((0, pair), (1, pair)))] if position else tensors_of([(BATCH, layer.input_size)])
            )
        case nn.GRUCell() | nn.RNNCell():
            return tensors_of([(BATCH, layer.hidden_size if position else layer.input_size)])
        case nn.MultiheadAttention():
            return _attention(layer, given, position)
        case (
            nn.Transformer()
            | nn.TransformerEncoder()
            | nn.TransformerDecoder()
            | nn.TransformerEncoderLayer()
            | nn.TransformerDecoderLayer()
        ) if masks := _mask(layer, given, name):
            return masks
        case nn.Bilinear():
            return tensors_of([(BATCH, layer.in2_features if position else layer.in1_features)])
    return tensors_of(list(_plain_shapes(layer, sequential)))


_MASKS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Transformer: ("", "", "source", "target", "memory", "of source", "of target", "of source"),
    nn.TransformerDecoder: ("", "", "target", "memory", "of target", "of source"),
    nn.TransformerDecoderLayer: ("", "", "target", "memory", "of target", "of source"),
    nn.TransformerEncoder: ("", "source", "of source"),
    nn.TransformerEncoderLayer: ("", "source", "of source"),
}
"""What each positional argument of torch's transformers masks: pairs of places, or the places of every sample."""


def _mask(layer: nn.Module, given: tuple[Any, ...], name: str) -> list[Recipe]:
    """The mask that is asked of a layer of torch's transformers, none where it is asked for a sequence."""
    roles = next(roles for kind, roles in _MASKS.items() if isinstance(layer, kind))
    place = next((i for i, one in enumerate(given) if isinstance(one, Probe)), None)
    by_name = ("of source" if "pad" in name else "source") if MASK_NAMES.search(name) else ""
    role = by_name if place is None else roles[place] if place < len(roles) else ""
    known = [one for one in given[:2] if isinstance(one, torch.Tensor) and not isinstance(one, Probe)]
    if not role or not known or any(one.dim() != len("NSE") for one in known):
        return []
    inner = next(one for one in layer.modules() if isinstance(one, nn.MultiheadAttention))
    decodes = isinstance(layer, (nn.TransformerDecoder, nn.TransformerDecoderLayer))
    source, target = (known[-1], known[0]) if decodes else (known[0], known[-1])
    source_length, target_length = (one.shape[1 if inner.batch_first else 0] for one in (source, target))
    batch = source.shape[0 if inner.batch_first else 1]
    shapes = {
        "source": (source_length, source_length),
        "target": (target_length, target_length),
        "memory": (target_length, source_length),
        "of source": (batch, source_length),
        "of target": (batch, target_length),
    }
    return [TensorRecipe(shapes[role], "bool", fill="zeros"), TensorRecipe(shapes[role], fill="zeros")]


def _plain_shapes(layer: nn.Module, sequential: bool) -> Iterator[Shape]:
    wide: Any = layer
    kind = next((one for one in _CONVOLUTIONS if isinstance(layer, one)), None)
    if kind is not None:
        sides, axes = _CONVOLUTIONS[kind]
        channels = wide.in_channels or 3
        plain = "Transpose" not in kind.__name__
        yield from ((BATCH, channels, *(side,) * axes) for side in (sides_of(channels, axes) if plain else sides))
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
    return tensors_of([*shapes, (BATCH, STEPS, int(size or layer.embed_dim))])


def _iterated(wanted: tuple[int | None, tuple[str, ...]], name: str, known: Sequence[Shape]) -> list[Recipe]:
    """`a, b = x` asks for as many parts; an edge list is one tensor with two rows; a loop takes any sequence."""
    if EDGE_NAMES.match(name):
        return [edges()]
    count, names = wanted
    parts = BATCH if count is None else count
    places: list[int] = [*(Place(index, one) for index, one in enumerate(names))] or list(range(parts))
    probes = tuple((place, ProbeRecipe()) for place in places)
    group = GroupRecipe("tuple" if count else "list", probes)
    return [group, *by_name(name, known)]


def _ranked(demand: Demand, name: str, known: Sequence[Shape]) -> list[Recipe]:
    count = demand.detail if demand.kind == "rank" else None
    wanted = by_name(name, known)
    if demand.kind == "item":
        return _items(demand.detail, name, wanted)
    if demand.kind == "axis" and type(demand.detail) is int and demand.probe is not None:
        wanted = _with_axis(demand.detail, demand.probe, wanted)
    tensors = [one for one in wanted if isinstance(one, TensorRecipe)]
    probe = demand.probe
    if count is None or probe is None:
        return wanted
    carried = [shape for default in _defaults(count) for shape in probe.origins(default)]
    fitting = [one for one in tensors if carried and len(one.shape) == len(carried[0])]
    return [*fitting, *tensors_of(carried), *wanted]


def _items(index: int, name: str, wanted: list[Recipe]) -> list[Recipe]:
    """`x[0]`, `x[-1]`: of a tensor, or of a list of feature maps or sequences; the name may tell."""
    count = 1 if index <= 0 else index + 1
    group = GroupRecipe("list", tuple((place, ProbeRecipe()) for place in range(count)))
    return [group, *wanted] if LIST_NAMES.search(name.lower()) else [*wanted[:2], group, *wanted[2:]]


def _with_axis(axis: int, probe: Probe, wanted: list[Recipe]) -> list[Recipe]:
    """The inputs that have the axis which the code asks for, after the reshapes so far."""
    enough = [shape for rank in range(axis + 1, axis + 3) for one in _defaults(rank) for shape in probe.origins(one)]
    least = min((len(shape) for shape in enough), default=0)
    kept = [one for one in wanted if not isinstance(one, TensorRecipe) or len(one.shape) >= least]
    return list(dict.fromkeys([*kept[:1], *tensors_of(enough), *kept])) if axis > 1 else wanted


def _defaults(rank: int) -> list[Shape]:
    shapes: dict[int, list[Shape]] = {
        1: [(BATCH,)],
        2: [(BATCH, LENGTH)],
        3: [(BATCH, STEPS, LENGTH), (BATCH, LENGTH, 64)],
        4: [(BATCH, 3, 32, 32), (BATCH, STEPS, LENGTH, LENGTH)],
        5: [(BATCH, 4, 3, 32, 32), (BATCH, 3, 4, 32, 32)],
    }
    return shapes.get(rank, [(BATCH,) * rank])
