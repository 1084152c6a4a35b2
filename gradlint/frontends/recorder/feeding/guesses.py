"""Candidates for the arguments of a constructor or factory, from annotations, uses and names."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.guessed_config import GuessedConfig
from gradlint.frontends.recorder.feeding.names import (
    ACTIVATION,
    CONFIG,
    DEVICE,
    NORM,
    WIDTH,
    by_name,
    integer,
    lowered,
    sequences,
)
from gradlint.frontends.recorder.feeding.settings import Settings
from gradlint.frontends.recorder.feeding.signature import evaluated_signature

_MODULE = re.compile(
    r"(^|_)(backbone|encoder|decoder|model|net|network|module|head|embed(der|ding)?|extractor|trunk|body|base|base_model|generator|"
    r"discriminator|student|teacher|critic|actor|fn|layer|block|projector|tower|branch|neck|classifier|predictor|inner|core|enc|dec|"
    r"attention|attn|ff|feed_forward|feedforward|sublayer|src_embed|tgt_embed|stem|shortcut|downsample)$"
)
_COUNT = re.compile(r"^(n|d|num|dim|size|len|nb|ch)_|_(size|dim|num|count|channels|width)$")
_SIZES_OF_A_LAYER = 2
OF_DATA = frozenset({"tensor", "array"})
IMAGE_CHANNELS = 3
BRANCHES = 2
"""Items of a list of modules, or of settings of stages."""
NODES = 8
MAX_SETTINGS = 4
"""Settings of a project that are tried as the first one."""
GRAPHS = 3
"""Matrices of a list of them, as the powers of a Laplacian."""
OTHERS = 3
"""Further entries of a table of words, next to those that the code asks for."""


@dataclass(frozen=True)
class Context:
    """What helps to guess: what the file does with configuration fields, and how its other models are built."""

    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    models: tuple[type[nn.Module], ...] = ()
    settings: list[Settings] = field(default_factory=list)
    build: Callable[[type[nn.Module]], nn.Module | None] = lambda _kind: None

    def configs(self) -> list[Any]:
        """Configurations that answer every field: from the project's settings, and from names alone."""
        told = [GuessedConfig(self.fields, self.settings[at:]) for at in range(min(MAX_SETTINGS, len(self.settings)))]
        return [*told, GuessedConfig(self.fields)]


def values(parameter: inspect.Parameter, uses: frozenset[str], context: Context) -> list[Any]:
    """Candidates for a parameter, likeliest first, never empty; `uses` is what the constructor does with it."""
    compared = sorted(use.removeprefix("compared:") for use in uses if use.startswith("compared:"))
    if parameter.annotation is not parameter.empty:
        found = list(_annotated(parameter.annotation, parameter.name, uses, context))
        if found:
            return [*compared, *found] if compared and isinstance(found[0], str) else found
    return compared or list(_used(parameter.name, uses, context))


def _used(name: str, uses: frozenset[str], context: Context) -> Iterator[Any]:
    low = lowered(name)
    is_config = bool(CONFIG.search(low))
    if "text" in uses:
        yield from ("LSTM", "GRU", "relu")
    if uses & OF_DATA:
        yield from [None] if "optional" in uses else []
        yield by_name(name, uses)
    if "tensors" in uses:
        yield [torch.eye(NODES) for _ in range(GRAPHS)]
    if (keys := sorted(use.removeprefix("key:") for use in uses if use.startswith("key:"))) and "iterated" in uses:
        yield {**{key: index for index, key in enumerate(keys)}, **{f"other{i}": len(keys) + i for i in range(OTHERS)}}
    if uses & {"attribute", "key"} and not (_is_module(low) and not is_config):
        yield from context.configs()
    if "modules" in uses:
        yield [part for _ in range(BRANCHES) if (part := next(modules(low.rstrip("s"), context))) is not None]
    if named := next((use.removeprefix("items:").split() for use in uses if use.startswith("items:")), None):
        yield [tuple(_plain(one) for one in named)] * BRANCHES
    if "made" in uses and _is_module(low):
        yield from (Backbone, layer_of_sizes)
    if "called" in uses and "made" not in uses and _arity(uses) > 1:
        yield Passed()
    if "called" in uses and not _is_module(low):
        yield from _callables(name)
    if "mapping" in uses and not is_config:
        yield {"a": 10, "b": 10}
    if "iterated" in uses or "indexed" in uses:
        yield from sequences(name)
    if _is_module(low) and "number" not in uses:
        yield from modules(low, context, _arity(uses))
    guess = by_name(name, uses)
    yield from context.configs() if guess is None else [guess]


def _plain(name: str) -> Any:
    guess = by_name(name)
    return integer(lowered(name)) if guess is None else guess


def _is_module(low: str) -> bool:
    """Whether a parameter of this name usually is a part of a model: `encoder`, but not `n_head`."""
    return bool(_MODULE.search(low)) and not _COUNT.search(low)


def _callables(name: str) -> list[Any]:
    low = lowered(name)
    if NORM.search(low):
        return [nn.BatchNorm2d, nn.LayerNorm, nn.Identity]
    if ACTIVATION.search(low):
        return [nn.ReLU, torch.relu]
    if re.search(r"conv", low):
        return [nn.Conv2d, nn.Conv1d]
    return [layer_of_sizes, nn.Identity, nn.ReLU]


def layer_of_sizes(*sizes: Any, **_settings: Any) -> nn.Module:
    """A linear layer for two sizes, the identity else: stands in for an unknown block class."""
    numbers = [one for one in sizes if isinstance(one, int)]
    return nn.Linear(numbers[0], numbers[1]) if len(numbers) >= _SIZES_OF_A_LAYER else nn.Identity()


class Backbone(nn.Module):
    """A small network from images to vectors, with the last layer where published ones have it."""

    def __init__(self, *sizes: Any, **settings: Any) -> None:
        super().__init__()
        numbers = [one for one in (*sizes, *settings.values()) if type(one) is int]
        self.conv = nn.Conv2d(IMAGE_CHANNELS, WIDTH, 1)
        self.fc = nn.Linear(WIDTH, numbers[0] if numbers else WIDTH)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """One vector for each image."""
        return self.fc(self.conv(images).mean((2, 3)))  # type: ignore[no-any-return]


def _arity(uses: frozenset[str]) -> int:
    """With how many arguments a part is called, 0 where it is not told."""
    return max((int(use.removeprefix("given:")) for use in uses if use.startswith("given:")), default=0)


def modules(name: str, context: Context, arity: int = 0) -> Iterator[Any]:
    """The file's other models that can be built, those named like the parameter first, then torch's simplest layers.

    `arity` is the number of inputs that the model is called with, 0 where it is not known.
    """
    like = sorted(context.models, key=lambda model: not _alike(name, model.__name__.lower()))
    alike = [model for model in like if _alike(name, model.__name__.lower())]
    for model in alike or like:
        made = context.build(model) if not arity or _takes(model, arity) else None
        if made is not None:
            yield made
    yield from (Passed(),) if arity > 1 else (nn.Linear(WIDTH, WIDTH), nn.Identity())


def _takes(model: type[nn.Module], count: int) -> bool:
    """Whether the forward of a model takes `count` inputs."""
    every = list(inspect.signature(model.forward).parameters.values())[1:]
    named = [one for one in every if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    required = [one for one in named if one.default is one.empty]
    return len(required) <= count and (count <= len(named) or any(one.kind is one.VAR_POSITIONAL for one in every))


class Passed(nn.Module):
    """Gives its first input back, whatever else it is given: stands in for an unknown part of several inputs."""

    def forward(self, first: torch.Tensor, *_rest: Any, **_options: Any) -> torch.Tensor:
        """`first`, as it is."""
        return first


def _alike(name: str, model: str) -> bool:
    word = re.sub(r"s$|_?(net|model|module)$", "", name).replace("_", "")
    return len(word) > 1 and (word in model or model in name.replace("_", "") or word[:3] == model[:3])


def _annotated(annotation: Any, name: str, uses: frozenset[str], context: Context) -> Iterator[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        for inner in arguments:
            yield from () if inner is type(None) else _annotated(inner, name, uses, context)
    elif origin is typing.Literal:
        yield from arguments
    elif origin is typing.Annotated:
        yield from _annotated(arguments[0], name, uses, context)
    elif origin is type:
        yield from _callables(name)
    elif origin is tuple and arguments and arguments[-1] is not Ellipsis:
        yield tuple(next(_annotated(inner, name.rstrip("s"), frozenset(), context), 1) for inner in arguments)
    elif origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable):
        yield from _sequence(arguments, name, origin, context)
    elif origin is collections.abc.Callable or annotation is collections.abc.Callable:
        yield from _callables(name)
    elif origin in (dict, collections.abc.Mapping):
        yield from _mappings(uses, context)
    elif inspect.isclass(annotation):
        yield from _of_class(annotation, name, uses, context)


def _mappings(uses: frozenset[str], context: Context) -> list[Any]:
    found = [*context.configs(), {"a": 10, "b": 10}]
    return found if uses & {"key", "attribute"} else found[::-1]


def _sequence(arguments: tuple[Any, ...], name: str, origin: Any, context: Context) -> Iterator[Any]:
    inner = arguments[0] if arguments else int
    if inner is int:
        flat = [
            one
            for one in sequences(name)
            if isinstance(one, (list, tuple)) and all(isinstance(size, int) for size in one)
        ]
        yield from (origin(one) if origin in (list, tuple) else one for one in flat)
        return
    if inner is str:
        yield [f"{name.rstrip('s')}_{index}" for index in range(2)]
        return
    item = next(_annotated(inner, name.rstrip("s"), frozenset(), context), WIDTH)
    yield [item, item]


def _of_class(annotation: type, name: str, uses: frozenset[str], context: Context) -> Iterator[Any]:
    guess = by_name(name, uses)
    plain: dict[type, Callable[[], list[Any]]] = {
        bool: lambda: [False],
        int: lambda: [guess if type(guess) is int else integer(lowered(name))],
        float: lambda: [guess if type(guess) is float else 1.0],
        str: lambda: _words(name),
        list: lambda: sequences(name),
        tuple: lambda: [tuple(one) for one in sequences(name)],
        dict: lambda: _mappings(uses, context),
        torch.Tensor: lambda: [torch.randn(100, WIDTH), torch.ones(10), torch.ones(WIDTH)],
        torch.device: lambda: [torch.device("cpu")],
        torch.dtype: lambda: [torch.float32],
    }
    if annotation in plain:
        yield from plain[annotation]()
    elif issubclass(annotation, enum.Enum):
        yield from annotation
    elif issubclass(annotation, nn.Module):
        own = annotation is not nn.Module and context.build(annotation)
        yield from [own] if own else modules(lowered(name), context, _arity(uses))
    elif annotation.__module__ not in ("builtins", "typing"):
        yield from built(annotation, uses, context)


def _words(name: str) -> list[Any]:
    low = lowered(name)
    if DEVICE.search(low):
        return ["cpu"]
    if NORM.search(low):
        return ["batch", "layer", "bn", "ln", "none"]
    if "pool" in low:
        return ["mean", "max", "avg", "cls"]
    return ["relu", "gelu", "mean", "linear"]


def built(kind: type, uses: frozenset[str], context: Context) -> Iterator[Any]:
    """Instances of a configuration class: its defaults, else required fields guessed, else an object that guesses."""
    open_ended = kind.__name__ in ("Namespace", "SimpleNamespace", "DictConfig", "EasyDict", "ConfigDict", "Dict")
    for kwargs in () if open_ended else ({}, _fields(kind, context)):
        try:
            yield kind(**kwargs)
            return
        except Exception:
            continue
    if open_ended or uses & {"attribute", "key"}:
        yield from context.configs()


def _fields(kind: type, context: Context) -> dict[str, Any]:
    try:
        parameters = evaluated_signature(kind).parameters.values()
    except (TypeError, ValueError):
        return {}
    required = [
        one
        for one in parameters
        if one.default in (one.empty, dataclasses.MISSING) and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    return {one.name: values(one, context.fields.get(one.name, frozenset()), context)[0] for one in required}
