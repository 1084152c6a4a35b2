"""The inputs of a model: what the user, the model or the file gives, else what a search by trial forwards finds."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.examples import Shown
from gradlint.frontends.recorder.feeding.given import given
from gradlint.frontends.recorder.feeding.probe import Demand
from gradlint.frontends.recorder.feeding.recipes import GroupRecipe, describe, leaf_name, spec_recipe
from gradlint.frontends.recorder.feeding.search import arguments, search
from gradlint.frontends.recorder.feeding.signature import device_of, parameters_of, required_of, takes_any
from gradlint.frontends.recorder.feeding.trial import Failure, Success, run
from gradlint.inputs import InputSpec

BUDGET_SECONDS = 10.0
"""Time (s, of the searching thread) of the search for inputs."""
MAX_REASON = 200
"""Characters of an error's text that a message repeats."""


@dataclass(frozen=True)
class Feed:
    """The arguments of one forward call, where they come from, and their tensors in words."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    source: str
    description: tuple[str, ...]


def feed(
    model: nn.Module,
    shown: Shown | None = None,
    explicit: Sequence[InputSpec] = (),
    *,
    configured: Any = None,
    budget: float = BUDGET_SECONDS,
) -> Feed:
    """The inputs of `model`, in its present mode and on its device (meta too).

    Tried in order: `explicit` (`--input`), `configured` (the settings' `inputs`), `gradlint_inputs()` of the file,
    `example_input_array`, the calls that the file shows, inference from signature, annotations and layers. The model is
    left as it was.

    Raises:
        TargetError: when nothing runs; the text holds the reason and what to add.
    """
    device = device_of(model)
    if explicit:
        return _explicit(model, tuple(explicit), device, budget)
    tried: list[str] = []
    for source, args, kwargs in given(model, shown, configured):
        outcome = run(model, args, kwargs)
        if isinstance(outcome, Success):
            return fed_with(args, kwargs, source)
        tried.append(f"{source}: {_reason(outcome)}")
    plan, failure = search(model, {}, device, budget)
    if plan is None:
        raise TargetError(_advice(model, failure, tried)) from (failure.error if failure else None)
    return _realised(model, plan, device, "inferred")


def unlinked(value: Any) -> Any:
    """The same data without a history: values of a running script may hang on its last step's graph."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone() if value.requires_grad and not value.is_leaf else value
    if type(value) in (list, tuple):
        return type(value)(unlinked(item) for item in value)
    return {key: unlinked(item) for key, item in value.items()} if type(value) is dict else value


def fed_with(args: tuple[Any, ...], kwargs: dict[str, Any], source: str) -> Feed:
    """These arguments, without a history, and their tensors in words."""
    args, kwargs = unlinked(args), unlinked(kwargs)
    lines = [line for value in args for line in describe(value)]
    lines += [line for name, value in kwargs.items() for line in describe(value, name)]
    return Feed(args, kwargs, source, tuple(lines))


def _explicit(model: nn.Module, specs: tuple[InputSpec, ...], device: torch.device, budget: float) -> Feed:
    names = list(parameters_of(model))
    positional = [spec for spec in specs if spec.name is None]
    unknown = next((spec.name for spec in specs if spec.name and spec.name not in names and not takes_any(model)), None)
    if unknown is not None:
        raise TargetError(f"`forward` has no parameter `{unknown}`: its parameters are {', '.join(names)}")
    fixed = {
        name: spec_recipe(spec) for name, spec in zip(_positional(model, len(positional)), positional, strict=True)
    }
    fixed |= {spec.name: spec_recipe(spec) for spec in specs if spec.name}
    plan, failure = search(model, fixed, device, budget)
    if plan is None:
        raise TargetError(f"the model does not run on the inputs given with `--input`: {_reason(failure)}")
    return _realised(model, plan, device, "--input")


def _positional(model: nn.Module, count: int) -> list[str]:
    names = list(parameters_of(model))
    if count > len(names):
        raise TargetError(f"`forward` takes {len(names)} inputs, `--input` gives {count}: leave the others out")
    return names[:count]


def _realised(model: nn.Module, plan: GroupRecipe, device: torch.device, source: str) -> Feed:
    """The plan's inputs; a single one is positional where `forward` allows it."""
    args, kwargs = arguments(model, plan, device)
    named = {key: plain(value) for key, value in kwargs.items()}
    first = next(iter(parameters_of(model).values()), None)
    if (
        not args
        and first is not None
        and list(named) == [first.name]
        and first.kind is not inspect.Parameter.KEYWORD_ONLY
    ):
        return fed_with((named[first.name],), {}, source)
    return fed_with(tuple(map(plain, args)), named, source)


def plain(value: Any) -> Any:
    """Recording mappings become dictionaries."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def _reason(failure: Failure | None) -> str:
    if failure is None:
        return "no input was tried"
    if isinstance(failure.error, Demand):
        return f"nothing tells what the input `{leaf_name(failure.error.path)}` is"
    text = " ".join(str(failure.error).split())
    return f"{type(failure.error).__name__}: {text}"[:MAX_REASON]


def _advice(model: nn.Module, failure: Failure | None, tried: list[str]) -> str:
    name = type(model).__name__
    inputs = ", ".join(f"{one}=torch.randn(...)" for one in required_of(model)) or "torch.randn(...)"
    last = next((one for one in tried if not one.startswith("inferred")), _reason(failure))
    snippet = f"def gradlint_inputs(): return dict({inputs})"
    return f"no inputs were found on which `{name}` runs ({last}): add `{snippet}` or `--input`"
