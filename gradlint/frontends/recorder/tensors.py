"""Finding the tensors among the arguments of a call, and the memory behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from gradlint.frontends.recorder.taint import NESTING


def storage_key(tensor: torch.Tensor) -> int | None:
    """Identifies the memory behind a tensor; None where it has none."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return None


def tensors_in(values: Iterable[Any], depth: int = NESTING) -> list[torch.Tensor]:
    """The tensors among arguments, in nested lists, tuples and dicts too, each once."""
    found: list[torch.Tensor] = []
    _gather(values, found, depth)
    if len(found) < 2:
        return found
    return list({id(tensor): tensor for tensor in found}.values())


def located(args: tuple[Any, ...], options: dict[str, Any]) -> tuple[list[torch.Tensor], list[int | str]]:
    """The tensors among arguments, each once, with the position or the name of the argument that holds it."""
    found: dict[int, tuple[torch.Tensor, int | str]] = {}
    named: list[tuple[int | str, Any]] = [*enumerate(args), *options.items()]
    for place, value in named:
        if isinstance(value, torch.Tensor):
            found.setdefault(id(value), (value, place))
        elif isinstance(value, (list, tuple, dict)):
            for tensor in tensors_in((value,)):
                found.setdefault(id(tensor), (tensor, place))
    return [tensor for tensor, _ in found.values()], [place for _, place in found.values()]


def _gather(values: Iterable[Any], found: list[torch.Tensor], depth: int) -> None:
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif depth and isinstance(value, (list, tuple)):
            _gather(value, found, depth - 1)
        elif depth and isinstance(value, dict):
            _gather(value.values(), found, depth - 1)
