"""The initial states of recurrent models, as the models themselves make them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.limits import time_limit
from gradlint.frontends.recorder.feeding.recipes import GroupRecipe, Recipe, TensorRecipe
from gradlint.frontends.recorder.feeding.reshapes import BATCH
from gradlint.frontends.recorder.feeding.trial import preserved, quiet

_METHODS = re.compile(
    r"(init|zero|begin|initial|get_init)\w*(hidden|state|hc|h0|carry)|(hidden|state)\w*(init|zero)", re.I
)
MAKING_SECONDS = 2.0


def own_states(model: nn.Module) -> list[Recipe]:
    """What `init_hidden(batch)` of the model, or of a part of it, gives for the batch size of inferred inputs."""
    found: list[Recipe] = []
    for module in model.modules():
        for name in dir(type(module)):
            if _METHODS.match(name.lower().strip("_")):
                found += _made(module, name)
    return list(dict.fromkeys(found))


def _made(module: nn.Module, name: str) -> list[Recipe]:
    try:
        maker = getattr(module, name)
        parameters = inspect.signature(maker).parameters.values()
        required = [one for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
        with preserved(module), quiet(), time_limit(MAKING_SECONDS):
            state = _recipe(maker(*(BATCH for _ in required[:1])))
    except Exception:
        return []
    return [state] if state is not None else []


def _recipe(value: Any) -> Recipe | None:
    if isinstance(value, torch.Tensor):
        return TensorRecipe(tuple(value.shape)) if value.is_floating_point() else None
    if isinstance(value, (list, tuple)):
        parts = [part for one in value if (part := _recipe(one)) is not None]
        if len(parts) == len(value):
            return GroupRecipe("list" if isinstance(value, list) else "tuple", tuple(enumerate(parts)))
    return None
