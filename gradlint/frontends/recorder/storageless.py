"""Values of tensors without storage, for forward passes on the meta device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from gradlint.frontends.recorder.devices import on_cpu
from gradlint.frontends.recorder.facts import dtype_name
from gradlint.frontends.recorder.natives import native_name

NUMBER = 0.5
"""Stands for a floating value that is read off a tensor without storage."""

READERS = frozenset(
    ("numpy", "__array__", "item", "tolist", "__float__", "__int__", "__index__", "__bool__", "__complex__")
)
"""Calls that turn a tensor into numpy arrays or Python numbers."""


def value(name: str, tensor: torch.Tensor, branch: bool = True) -> Any:
    """What a reader returns for a tensor without storage; `branch` is its truth."""
    if name in ("numpy", "__array__"):
        return np.zeros(tuple(tensor.shape), dtype=dtype_name(tensor.dtype).replace("bfloat16", "float32"))
    if name == "tolist":
        return np.full(tuple(tensor.shape), NUMBER if tensor.is_floating_point() else 1).tolist()
    if name == "__bool__":
        return branch
    whole = name in ("__int__", "__index__") or not (tensor.is_floating_point() or name == "__float__")
    return 1 if whole else NUMBER


class Storageless(TorchFunctionMode):
    """Lets unrecorded passes read values off tensors without storage, and keeps them on the CPU."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = native_name(function)
        if name in READERS and args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            return value(name, args[0])
        function, args, options = on_cpu(name, function, args, kwargs or {})
        return function(*args, **options)
