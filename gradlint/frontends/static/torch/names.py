"""The many paths under which torch's names can be imported, and the bare names that its calls are recorded under."""

from __future__ import annotations

import functools
import re

NESTED = re.compile(
    r"^torch\.(nn\.modules|nn\.parallel|distributions|optim|utils\.data|autograd)\.[a-z_]+\.([A-Z]\w*)$"
)
"""A class of a package, named by the module that defines it."""

SHORT = {"nn.modules": "torch.nn", "nn.parallel": "torch.nn.parallel"}
OVERLOADS = re.compile(r"^torch\.ops\.(?:aten|prims)\.(\w+?)(?:\.\w+)?$")

MOVED = {
    "torch.nn.parameter.Parameter": "torch.nn.Parameter",
    "torch.nn.parameter.Buffer": "torch.nn.Buffer",
    "torch.nn.modules.Module": "torch.nn.Module",
    "torch.nn.DataParallel": "torch.nn.parallel.DataParallel",
    "torch.autograd.no_grad": "torch.no_grad",
    "torch.autograd.enable_grad": "torch.enable_grad",
    "torch.autograd.set_grad_enabled": "torch.set_grad_enabled",
    "torch.autograd.inference_mode": "torch.inference_mode",
    "torch.autograd.grad_mode.no_grad": "torch.no_grad",
    "torch.autograd.grad_mode.enable_grad": "torch.enable_grad",
    "torch.autograd.grad_mode.set_grad_enabled": "torch.set_grad_enabled",
    "torch.autograd.grad_mode.inference_mode": "torch.inference_mode",
    "torch.Tensor.data": "torch.Tensor.data",
}

FUNCTIONS = (
    ("torch.nn.functional.", ""),
    ("torch.functional.", ""),
    ("torch._C._nn.", ""),
    ("torch._VF.", ""),
    ("torch.Tensor.", ""),
    ("torch.linalg.", "linalg_"),
    ("torch.fft.", "fft_"),
    ("torch.special.", "special_"),
    ("torch.sparse.", "_sparse_"),
    ("torch.signal.windows.", "windows_"),
    ("torch.", ""),
)
"""Modules of functions, and what their functions' bare names begin with."""


@functools.lru_cache(maxsize=8192)
def canonical(name: str) -> str:
    """The shortest path of a name of torch: `torch.nn.Conv2d` for `torch.nn.modules.conv.Conv2d`."""
    if name in MOVED:
        return MOVED[name]
    nested = NESTED.match(name)
    return f"{SHORT.get(nested[1], f'torch.{nested[1]}')}.{nested[2]}" if nested else name


@functools.lru_cache(maxsize=8192)
def native(name: str) -> str | None:
    """The bare name that a call of a function of torch is recorded under; None for what is no function of torch."""
    if overload := OVERLOADS.match(name):
        return overload[1]
    for prefix, short in FUNCTIONS:
        bare = name.removeprefix(prefix)
        if bare != name:
            return short + bare if bare.isidentifier() else None
    return None
