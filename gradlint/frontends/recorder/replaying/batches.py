"""Decides what missing data must be: a model's inputs from its layers, a loss's target from its predictions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.replaying.placeholder import (
    BATCH,
    UNKNOWN_SIZE,
    WHOLE_BATCH,
    Placeholder,
    placeholders,
    settled,
    undecided,
)

IMAGE_SIDE = 32
CLASS_LOSSES = frozenset({"cross_entropy", "nll_loss", "multi_margin_loss"})
PROBABILITY_LOSSES = frozenset(
    {"binary_cross_entropy", "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"}
)
SIGN_LOSSES = frozenset({"cosine_embedding_loss", "margin_ranking_loss", "soft_margin_loss", "hinge_embedding_loss"})
INDEXING = frozenset({"gather", "index_select", "take_along_dim", "scatter", "scatter_"})

Arguments = tuple[Any, ...]
Options = dict[str, Any]


def decided(function: Callable[..., Any], args: Arguments, kwargs: Options) -> Any:
    """The result of a torch function some of whose arguments are placeholders; undecided where nothing decides them."""
    known = _tensors((settled(args), settled(kwargs)))
    open_ones = [one for one in placeholders((args, kwargs)) if undecided(one)]
    if open_ones and not known:
        return open_ones[0].derived()
    name = getattr(function, "__name__", "")
    for one in open_ones:
        one.decide(_fitting(name, settled(args), known))
    return function(*settled(args), **settled(kwargs))


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, (list, tuple)) else []


def _fitting(name: str, args: Arguments, known: list[torch.Tensor]) -> torch.Tensor:
    """A tensor that an operation with the known ones accepts: a loss's target, a layer's input, else one like them."""
    first = known[0]
    if name in LAYER_INPUTS and undecided(args[0]):
        return LAYER_INPUTS[name](first)
    if name in CLASS_LOSSES:
        return torch.randint(0, max(first.shape[_class_axis(first)], 1), _without_classes(first))
    if name in PROBABILITY_LOSSES:
        return torch.rand_like(first.detach()).round()
    if name in SIGN_LOSSES:
        return torch.randint(0, 2, first.shape[:1]) * 2.0 - 1.0
    if name in INDEXING:
        return torch.zeros((*first.shape[:-1], 1), dtype=torch.long)
    if name == "kl_div":
        return torch.softmax(torch.randn_like(first.detach()), -1)
    return _like(first)


def _like(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.detach()
    return torch.randn_like(plain) if plain.is_floating_point() else torch.zeros_like(plain)


def _class_axis(scores: torch.Tensor) -> int:
    return 1 if scores.dim() > 1 else 0


def _without_classes(scores: torch.Tensor) -> tuple[int, ...]:
    return (scores.shape[0], *scores.shape[2:]) if scores.dim() > 1 else ()


def _image(axes: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda weight: torch.randn(BATCH, weight.shape[1], *[IMAGE_SIDE] * axes)


LAYER_INPUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "linear": lambda weight: torch.randn(BATCH, weight.shape[-1]),
    "bilinear": lambda weight: torch.randn(BATCH, weight.shape[1]),
    "embedding": lambda weight: torch.randint(0, weight.shape[0], (BATCH, UNKNOWN_SIZE)),
    "layer_norm": lambda weight: torch.randn(BATCH, *weight.shape),
    "batch_norm": lambda weight: torch.randn(BATCH, weight.shape[0]),
    "conv1d": _image(1),
    "conv2d": _image(2),
    "conv3d": _image(3),
    "conv_transpose2d": lambda weight: torch.randn(BATCH, weight.shape[0], 4, 4),
}

Feeder = Callable[[nn.Module], tuple[Arguments, Options]]


def fed(module: nn.Module, args: Arguments, kwargs: Options, feeder: Feeder) -> tuple[Arguments, Options]:
    """The arguments of a module's call with its undecided placeholders decided by `feeder`, which infers inputs for it.

    Left as they are where the module has no parameters (its parts decide), or where `feeder` raises.
    """
    open_ones = [one for one in placeholders((args, kwargs)) if undecided(one)]
    if not open_ones or not _decides(module):
        return settled(args), settled(kwargs)
    if isinstance(module, nn.RNNBase):
        open_ones[0].decide(_sequence(module))
        return settled(args), settled(kwargs)
    try:
        inferred, named = feeder(module)
    except Exception:
        return args, kwargs
    if WHOLE_BATCH in kwargs or (len(args) == 1 and undecided(args[0]) and len(inferred) + len(named) > 1):
        return inferred, named
    for name, value in _bound(module, inferred, named).items():
        given = _bound(module, args, kwargs).get(name)
        if isinstance(given, Placeholder) and undecided(given):
            given.decide(value)
    return settled(args), settled(kwargs)


def _decides(module: nn.Module) -> bool:
    loss = type(module).__module__ == "torch.nn.modules.loss"
    return not loss and next(module.parameters(), None) is not None


def _sequence(module: nn.RNNBase) -> torch.Tensor:
    lead = (BATCH, UNKNOWN_SIZE) if module.batch_first else (UNKNOWN_SIZE, BATCH)
    return torch.randn(*lead, module.input_size)


def _bound(module: nn.Module, args: Arguments, kwargs: Options) -> dict[str, Any]:
    """Arguments by the names of `forward`'s parameters; those of `*args` by their number."""
    names = [
        name for name, one in inspect.signature(module.forward).parameters.items() if one.kind is not one.VAR_POSITIONAL
    ]
    positions = [*names, *map(str, range(len(args)))]
    return dict(zip(positions, args, strict=False)) | kwargs


def missing_like(shape: Any, cause: BaseException | None) -> Any:
    """Placeholders in the structure of an assignment's targets (names in nested tuples)."""
    if isinstance(shape, tuple):
        return [missing_like(one, cause) for one in shape]
    return Placeholder(shape, cause)
