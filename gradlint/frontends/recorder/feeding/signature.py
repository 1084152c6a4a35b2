"""What a model's forward takes, and where it computes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gradlint.errors import TargetError

_KIND = inspect.Parameter


def device_of(model: nn.Module) -> torch.device:
    """The device of the first parameter or buffer, else the CPU."""
    first = next(iter([*model.parameters(), *model.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


def parameters_of(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    """The named parameters of `forward`, annotations evaluated where possible, without `*args` and `**kwargs`.

    Raises:
        TargetError: when the model has no forward.
    """
    kinds = (_KIND.POSITIONAL_ONLY, _KIND.POSITIONAL_OR_KEYWORD, _KIND.KEYWORD_ONLY)
    return {name: one for name, one in _signature(model).parameters.items() if one.kind in kinds}


def takes_any(model: nn.Module) -> bool:
    """Whether `forward` takes `**kwargs`."""
    return any(one.kind is _KIND.VAR_KEYWORD for one in _signature(model).parameters.values())


def takes_more(model: nn.Module) -> bool:
    """Whether `forward` takes `*args`."""
    return any(one.kind is _KIND.VAR_POSITIONAL for one in _signature(model).parameters.values())


def required_of(model: nn.Module) -> list[str]:
    """The parameters without a default; where all have one, the main or the first one."""
    parameters = parameters_of(model)
    required = [name for name, one in parameters.items() if one.default is one.empty]
    main = getattr(model, "main_input_name", None)
    if not required and main in parameters:
        return [str(main)]
    return required or list(parameters)[:1]


def _signature(model: nn.Module) -> inspect.Signature:
    forward = _forward(model)
    try:
        return inspect.signature(forward, eval_str=True)
    except Exception:
        return inspect.signature(forward)


def _forward(model: nn.Module) -> Callable[..., Any]:
    """The forward that the user wrote, below torch.compile and data-parallel wrappers."""
    inner = getattr(model, "_orig_mod", None)
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = model.module
    if isinstance(inner, nn.Module):
        return _forward(inner)
    if type(model).forward is nn.Module.forward:
        raise TargetError(f"`{type(model).__name__}` has no `forward`: add one, or name the model that has")
    return model.forward
