"""Inputs that need no inference: from the settings, `gradlint_inputs()`, the model itself, or the file's calls."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.examples import Shown, holds_tensor
from gradlint.frontends.recorder.feeding.limits import Unknown, time_limit
from gradlint.frontends.recorder.feeding.reshapes import BATCH
from gradlint.frontends.recorder.feeding.signature import device_of, parameters_of, required_of, takes_any
from gradlint.frontends.recorder.feeding.trial import quiet, seeded

MAX_SHOWN = 8
"""Calls of the file that are tried."""
EVALUATION_SECONDS = 10.0


def given(
    model: nn.Module, shown: Shown | None, configured: Any
) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """The inputs that need no inference, in the order of trust."""
    if configured is not None:
        yield ("configuration", *_spread(model, configured))
    function = vars(shown.module).get("gradlint_inputs") if shown else None
    if callable(function) and (made := _made(function)) is not None:
        yield ("gradlint_inputs", *_spread(model, made))
    example = getattr(model, "example_input_array", None)
    if example is not None and holds_tensor(example):
        yield ("example_input_array", *_spread(model, example))
    if shown is not None:
        yield from (("shown", args, kwargs) for args, kwargs in _shown(model, shown))
    size = (getattr(model, "default_cfg", None) or {}).get("input_size")
    if isinstance(size, tuple):  # timm's own convention
        with seeded():
            yield "inferred", (torch.randn(BATCH, *size, device=device_of(model)),), {}
    dummy = getattr(model, "dummy_inputs", None) if hasattr(model, "main_input_name") else None
    if isinstance(dummy, dict) and set(required_of(model)) <= set(dummy) <= set(parameters_of(model)):
        yield "inferred", (), _moved({**dummy}, device_of(model))


def _made(function: Callable[[], Any]) -> Any:
    try:
        with seeded(), time_limit(EVALUATION_SECONDS):
            return function()
    except Exception as error:
        raise TargetError(f"`gradlint_inputs()` fails with {type(error).__name__}: {error}") from error


def _spread(model: nn.Module, value: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A tuple holds positional arguments, a dictionary named ones where `forward` has them, all else is one."""
    if isinstance(value, tuple) and type(value) is tuple:
        return value, {}
    if isinstance(value, dict) and (takes_any(model) or set(value) <= set(parameters_of(model))):
        return (), value
    if isinstance(value, list) and len(required_of(model)) == len(value) > 1:
        return tuple(value), {}
    return (value,), {}


def _shown(model: nn.Module, shown: Shown) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    factories = {name for name, value in vars(shown.module).items() if inspect.isfunction(value)}
    own = type(model).__name__
    names = {own} | (factories if not _is_constructed(own, shown) else set())
    with seeded(), quiet():
        calls = list(itertools.islice(_evaluated(shown, names), MAX_SHOWN))
    for args, kwargs in calls:
        if holds_tensor(args) or holds_tensor(kwargs):
            moved = _moved((args, kwargs), device_of(model))
            yield moved[0], moved[1]


def _evaluated(shown: Shown, names: set[str]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    try:
        yield from shown.feeds(names)
    except Unknown:
        return


def _is_constructed(name: str, shown: Shown) -> bool:
    return any(
        getattr(call.func, "id", "") == name for scope in shown.scopes if scope.kind != "method" for call in scope.calls
    )


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if type(value) in (tuple, list):
        return type(value)(_moved(item, device) for item in value)
    if type(value) is dict:
        return {key: _moved(item, device) for key, item in value.items()}
    return value
