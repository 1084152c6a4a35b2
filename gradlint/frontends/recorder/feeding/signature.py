"""What a model's forward takes, and where it computes."""

from __future__ import annotations

import inspect
import sys
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
    return evaluated_signature(_forward(model))


def evaluated_signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with those annotations evaluated that can be: one that names nothing does not spoil the others.

    Raises:
        TypeError, ValueError: where there is none.
    """
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:
        signature = inspect.signature(function)
    names = _names_of(function)
    parameters = [one.replace(annotation=_evaluated(one.annotation, names)) for one in signature.parameters.values()]
    return signature.replace(parameters=parameters)


def _names_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The names of the file that defines a function, method or class."""
    home = sys.modules.get(getattr(function, "__module__", ""))
    return vars(home) if home is not None else {}


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, {**names})
    except Exception:
        return annotation


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
