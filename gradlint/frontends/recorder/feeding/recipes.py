"""How to make one input of a model: plain descriptions that turn into tensors, containers and probes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from gradlint.frontends.recorder.feeding.probe import Demand, Place, Probe
from gradlint.inputs import InputSpec

Path = tuple[Any, ...]
DEFAULT_HIGH = 2
"""Exclusive bound of random integers whose meaning is unknown: indices 0 and 1 exist in every table of use."""


@dataclass(frozen=True)
class TensorRecipe:
    """A tensor of random values: normal for floating dtypes, uniform in [`low`, `high`) for integers; or a `fill`."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float = 0
    high: float | None = None
    fill: str = "random"
    array: bool = False
    """Whether the code wants it as a numpy array."""

    @property
    def floating(self) -> bool:
        """Whether the dtype carries gradient."""
        return self.dtype.startswith(("float", "bfloat", "complex"))


@dataclass(frozen=True)
class ValueRecipe:
    """A Python value that is passed as it is."""

    value: Any


@dataclass(frozen=True)
class ProbeRecipe:
    """An input of which nothing is known yet; what the model does with it first will tell."""


@dataclass(frozen=True)
class GroupRecipe:
    """A container or object: `make` turns the items, by key, index or attribute, into it."""

    kind: str
    items: tuple[tuple[Any, Recipe], ...]
    make: Callable[..., Any] | None = None


Recipe = TensorRecipe | ValueRecipe | ProbeRecipe | GroupRecipe


class _Keys(dict[Any, Any]):
    """A mapping that tells which key it misses."""

    path: Path = ()

    def __missing__(self, key: Any) -> Any:
        raise Demand(self.path, "key", key)


class _Fields:
    """An object that tells which attribute it misses; item access works too."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.__dict__ |= values
        self.__dict__["_path"] = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Demand(self.__dict__["_path"], "attribute", name)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def to(self, *_args: Any, **_kwargs: Any) -> _Fields:
        """The same object: moving between devices changes nothing here."""
        return self


def spec_recipe(spec: InputSpec) -> TensorRecipe:
    """The recipe of an input that the user gave."""
    return TensorRecipe(spec.shape, spec.dtype, spec.low or 0, spec.high)


def make(recipe: Recipe, device: torch.device, path: Path = ()) -> Any:
    """The value that `recipe` describes, on `device`."""
    match recipe:
        case TensorRecipe():
            made = _tensor(recipe, device)
            return made.cpu().numpy() if recipe.array else made
        case ValueRecipe(value=value):
            return value.to(device) if isinstance(value, torch.Tensor) else value
        case ProbeRecipe():
            return Probe.at(path)
        case GroupRecipe(kind=kind, items=items, make=build):
            values = {key: make(item, device, (*path, key)) for key, item in items}
            return _group(kind, values, path, build)


def _group(kind: str, values: dict[Any, Any], path: Path, build: Callable[..., Any] | None) -> Any:
    if build is not None:
        return build(**values)
    if kind in ("list", "tuple"):
        return list(values.values()) if kind == "list" else tuple(values.values())
    if kind == "dict":
        made = _Keys(values)
        made.path = path
        return made
    return _Fields(path, values)


def _tensor(recipe: TensorRecipe, device: torch.device) -> torch.Tensor:
    dtype: torch.dtype = getattr(torch, recipe.dtype)
    if recipe.fill == "ones" or (recipe.fill == "identity" and len(recipe.shape) < 2):
        return torch.ones(recipe.shape, dtype=dtype, device=device)
    if recipe.fill == "zeros":
        return torch.zeros(recipe.shape, dtype=dtype, device=device)
    if recipe.fill == "identity":
        return torch.eye(*recipe.shape[-2:], dtype=dtype, device=device).expand(recipe.shape).clone()
    if dtype.is_floating_point or dtype.is_complex:
        return _floating(recipe, dtype, device)
    if dtype is torch.bool:
        return torch.rand(recipe.shape, device=device) < 0.5
    high = DEFAULT_HIGH if recipe.high is None else int(recipe.high)
    return torch.randint(int(recipe.low), max(int(recipe.low) + 1, high), recipe.shape, dtype=dtype, device=device)


def _floating(recipe: TensorRecipe, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if recipe.high is None:
        return torch.randn(recipe.shape, device=device).to(dtype)
    return (recipe.low + (recipe.high - recipe.low) * torch.rand(recipe.shape, device=device)).to(dtype)


def leaves(recipe: Recipe, path: Path = ()) -> Iterator[tuple[Path, Recipe]]:
    """Every recipe that is no container, with its path."""
    if isinstance(recipe, GroupRecipe):
        for key, item in recipe.items:
            yield from leaves(item, (*path, key))
    else:
        yield path, recipe


def leaf_name(path: Path) -> str:
    """The name of an input: of the parameter, the key, or the variable that it is unpacked to."""
    names = (one.name if isinstance(one, Place) else one for one in reversed(path))
    return next((one for one in names if isinstance(one, str) and one), "")


def replaced(recipe: Recipe, path: Path, new: Recipe) -> Recipe:
    """`recipe` with the part at `path` exchanged for `new`; a missing key of a container is added."""
    if not path:
        return new
    if not isinstance(recipe, GroupRecipe):
        return recipe
    items = dict(recipe.items)
    items[path[0]] = replaced(items.get(path[0], ProbeRecipe()), path[1:], new)
    return dataclasses.replace(recipe, items=tuple(items.items()))


def floats_as(plan: GroupRecipe, dtype: str) -> GroupRecipe:
    """The plan for a model whose parameters are of `dtype`: its plain float32 tensors are of that dtype too."""
    for path, leaf in list(leaves(plan)):
        if isinstance(leaf, TensorRecipe) and leaf.dtype == "float32" and dtype != "float32":
            changed = replaced(plan, path, dataclasses.replace(leaf, dtype=dtype))
            assert isinstance(changed, GroupRecipe)
            plan = changed
    return plan


def elements(recipe: Recipe) -> int:
    """The number of elements of all tensors."""
    return sum(math.prod(leaf.shape) for _, leaf in leaves(recipe) if isinstance(leaf, TensorRecipe))


def describe(value: Any, name: str = "") -> tuple[str, ...]:
    """The tensors of a value as a report names them: `float32[2, 3, 16, 16]`, `mask: bool[2, 8]`."""
    label = f"{name}: " if name else ""
    if isinstance(value, numpy.ndarray):
        return (f"{label}numpy {value.dtype}{list(value.shape)}",)
    if isinstance(value, torch.Tensor):
        return (f"{label}{str(value.dtype).removeprefix('torch.')}{list(value.shape)}",)
    if isinstance(value, dict):
        return tuple(
            line for key, item in value.items() for line in describe(item, f"{name}.{key}" if name else str(key))
        )
    if isinstance(value, (list, tuple)):
        return tuple(
            line for index, item in enumerate(value) for line in describe(item, f"{name}[{index}]" if name else "")
        )
    return (f"{label}{value if isinstance(value, (int, float, str, bool, type(None))) else type(value).__name__}",)
