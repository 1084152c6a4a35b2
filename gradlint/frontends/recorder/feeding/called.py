"""The tensors that torch's functions accept next to their other, known arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch

from gradlint.frontends.recorder.feeding.hints import (
    EDGE_NAMES,
    EDGES,
    MASK_NAMES,
    NODES,
    SINGLE_ID_NAMES,
    STEPS,
    by_name,
)
from gradlint.frontends.recorder.feeding.probe import Call, Probe, flat
from gradlint.frontends.recorder.feeding.recipes import Recipe, TensorRecipe
from gradlint.frontends.recorder.feeding.reshapes import BATCH, LENGTH, Shape

IMAGE_SIDES = (32, 64, 28, 16, 128, 224, 8, 256)
SIGNAL_LENGTHS = (64, 16, 256, 1024, 16000)
VOLUME_SIDES = (8, 16, 32)
MANY_CHANNELS = 128
"""Feature maps of later stages have at least so many."""
SMALL_SIDE = 16
MAX_INDEX = 90
"""Random indices stay below this even in larger tables."""


def tensors_of(shapes: Sequence[Shape]) -> list[Recipe]:
    """Tensors of random values of these shapes."""
    return [TensorRecipe(shape) for shape in dict.fromkeys(tuple(flat(shape)) for shape in shapes)]


def linear_shapes(features: int, sequential: bool) -> list[Shape]:
    """The inputs of a linear layer: vectors, sequences, grids."""
    shapes: list[Shape] = [(BATCH, features), (BATCH, STEPS, features), (BATCH, 4, 4, features), (features,)]
    return [shapes[1], shapes[0], *shapes[2:]] if sequential else shapes


def sides_of(channels: int, axes: int) -> tuple[int, ...]:
    """The sides of images, signals or volumes to try; small ones first where there are many channels."""
    sides = {1: SIGNAL_LENGTHS, 2: IMAGE_SIDES, 3: VOLUME_SIDES}[axes]
    if channels < MANY_CHANNELS or axes == 1:
        return sides
    return tuple(sorted(sides, key=lambda side: (side > SMALL_SIDE, side if side > SMALL_SIDE else -side)))


def index_shapes(name: str) -> list[Shape]:
    """The shapes of indices: one a sample for `user_id`, sequences else."""
    shapes: list[Shape] = [(BATCH, LENGTH), (BATCH,), (LENGTH,), (BATCH, STEPS, LENGTH)]
    single = SINGLE_ID_NAMES.search(name)
    return [shapes[1], shapes[0], *shapes[2:]] if single else shapes


def function_recipes(call: Call, probe: Probe, name: str, known: Sequence[Shape]) -> list[Recipe]:
    """The inputs that a torch function accepts next to its other, concrete arguments."""
    tensors = [
        one for one in flat((call.args, call.kwargs)) if isinstance(one, torch.Tensor) and not isinstance(one, Probe)
    ]
    handler = _HANDLERS.get(call.name)
    if handler is not None:
        try:
            return handler(call, probe, tensors, name)
        except (IndexError, KeyError, AttributeError):  # operands given by name, or unknown themselves
            return []
    if call.name == "__array__":
        return [dataclasses.replace(one, array=True) for one in by_name(name, known) if isinstance(one, TensorRecipe)]
    if call.name.rstrip("_0123456789d").endswith("pool") or call.name in (
        "interpolate",
        "pad",
        "pixel_shuffle",
        "unfold",
    ):
        return tensors_of([*(shape for shape in known if len(shape) > 2), (BATCH, 3, 32, 32), (BATCH, 3, 64)])
    if tensors:
        return _like(tensors[0], name, boolean=False)
    return []


def _matmul(call: Call, probe: Probe, tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    if not tensors:
        return []
    other = tuple(tensors[0].shape)
    if call.args and call.args[0] is probe:
        size = other[0] if len(other) == 1 else other[-2]
        return tensors_of(
            [(*other[:-2], STEPS, size), (BATCH, size), (BATCH, STEPS, size), (other[0], size), (size, size), (size,)]
        )
    size = other[-1]
    return tensors_of([(*other[:-2], size, size), (size, LENGTH), (BATCH, size, LENGTH), (size,)])


def _linear(call: Call, _probe: Probe, _tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    return tensors_of(linear_shapes(call.args[1].shape[1], sequential=False))


def _convolution(axes: int) -> Callable[..., list[Recipe]]:
    def shapes(call: Call, _probe: Probe, _tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
        groups = call.kwargs.get("groups", call.args[6] if len(call.args) > 6 else 1)
        channels = call.args[1].shape[1] * groups
        return tensors_of([(BATCH, channels, *(side,) * axes) for side in sides_of(channels, axes)])

    return shapes


def _embedding(_call: Call, _probe: Probe, tensors: list[torch.Tensor], name: str) -> list[Recipe]:
    rows = tensors[0].shape[0] if tensors else MAX_INDEX
    return [TensorRecipe(shape, "int64", 0, max(1, min(rows, MAX_INDEX))) for shape in index_shapes(name)]


def _lookup(call: Call, probe: Probe, tensors: list[torch.Tensor], name: str) -> list[Recipe]:
    """`table[index]`, `index_select`, `gather`, `one_hot`, `scatter_add`: whole numbers below the size of the table."""
    if call.args and call.args[0] is probe and call.name == "__getitem__":
        return tensors_of([(NODES, LENGTH), (NODES, LENGTH, LENGTH), (BATCH, LENGTH)])
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
    return tensors_of(
        [_resized(shape, axis % len(shape), sum(sizes)) for shape in shapes if -len(shape) <= axis < len(shape)]
    )


def _joined(call: Call, _probe: Probe, tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    if not tensors:
        return tensors_of([(BATCH,), (BATCH, LENGTH)]) if call.name == "stack" else []
    return tensors_of([tuple(one.shape) for one in tensors] + [(*tensors[0].shape[:-1], 1)])


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
    return tensors_of([*shapes, *collapsed])


def _summed(call: Call, probe: Probe, _tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    """An operand of `einsum`: its axes are letters, whose sizes the other operands may tell."""
    if not call.args or not isinstance(call.args[0], str):
        return []
    terms = call.args[0].replace(" ", "").partition("->")[0].split(",")
    operands = list(flat(call.args[1:]))
    if len(terms) != len(operands):
        return []
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        if not isinstance(operand, Probe) and "..." not in term:
            sizes |= dict(zip(term, operand.shape, strict=False))
    own = terms[next(i for i, one in enumerate(operands) if one is probe)]
    first = next((letter for letter in own if letter.isalpha()), "")
    plain = [tuple(sizes.get(one, BATCH if one == first else LENGTH) for one in own if one.isalpha())]
    known = [sizes[one] for one in own if one in sizes]
    square = [(known[0],) * 2] if len(own) == 2 and len(known) == 1 else []
    return tensors_of([*square, *plain])


_ATTENDED = ("query", "key", "value")
_ATTENTION_MASKS = {"key_padding_mask": 14, "attn_mask": 16}
"""Positions of the masks among the arguments of `torch.nn.functional.multi_head_attention_forward`."""


def _attended(call: Call, probe: Probe, _tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    """Query, key and value are (length, batch, width) here; masks say which keys must not be seen."""
    places = dict(zip(_ATTENDED, call.args, strict=False)) | call.kwargs
    known = [
        one for name in _ATTENDED if isinstance(one := places.get(name), torch.Tensor) and not isinstance(one, Probe)
    ]
    if not known:
        return []
    masks = {name: call.args[at] for name, at in _ATTENTION_MASKS.items() if at < len(call.args)} | call.kwargs
    key = places.get("key")
    length, batch = known[0].shape[0], known[0].shape[1] if known[0].dim() > 2 else 1
    source = key.shape[0] if isinstance(key, torch.Tensor) and not isinstance(key, Probe) else length
    if masks.get("key_padding_mask") is probe:
        return [TensorRecipe((batch, source), "bool", fill="zeros")]
    if masks.get("attn_mask") is probe:
        return [TensorRecipe((length, source), "bool", fill="zeros"), TensorRecipe((length, source), fill="zeros")]
    return tensors_of([tuple(one.shape) for one in known])


def _scored(call: Call, probe: Probe, tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    """The mask of `scaled_dot_product_attention`: true where a query sees a key."""
    operands = [one for one in call.args[:2] if isinstance(one, torch.Tensor) and not isinstance(one, Probe)]
    if any(one is probe for one in call.args[:3]) or len(operands) < 2:
        return tensors_of([tuple(one.shape) for one in tensors[:1]])
    queries, keys = (one.shape[-2] for one in operands)
    batch = operands[0].shape[0]
    return [TensorRecipe(shape, "bool", fill="ones") for shape in ((queries, keys), (batch, 1, queries, keys))]


def _packed(call: Call, probe: Probe, tensors: list[torch.Tensor], _name: str) -> list[Recipe]:
    """The lengths of padded sequences: all of full length, which is in descending order too. Or the sequences."""
    first = bool(call.args[2]) if len(call.args) > 2 else bool(call.kwargs.get("batch_first", False))
    if tensors and call.args[0] is probe and tensors[0].dim() == 1:
        batch, steps = len(tensors[0]), int(tensors[0].max())
        return tensors_of([(batch, steps, LENGTH) if first else (steps, batch, LENGTH)])
    if not tensors or tensors[0].dim() < 2:
        return []
    steps, batch = tensors[0].shape[int(first)], tensors[0].shape[int(not first)]
    return [TensorRecipe((batch,), "int64", steps, steps + 1)]


_HANDLERS: dict[str, Callable[[Call, Probe, list[torch.Tensor], str], list[Recipe]]] = {
    **dict.fromkeys(("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "dot"), _matmul),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "linear": _linear,
    "einsum": _summed,
    "multi_head_attention_forward": _attended,
    "scaled_dot_product_attention": _scored,
    **dict.fromkeys(("_pack_padded_sequence", "pack_padded_sequence"), _packed),
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
