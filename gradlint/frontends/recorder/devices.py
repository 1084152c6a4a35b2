"""Calls that name an accelerator, on a machine that may have none."""

from __future__ import annotations

from typing import Any

import torch

MOVES = frozenset({"cuda", "to", "xpu"})
"""Methods that move a tensor to a device."""


def on_cpu(name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The same call with every accelerator device replaced: a copy on the CPU is what the move makes of a tensor.

    On a machine with an accelerator `.cuda()` and `.to("cuda")` return a new, non-leaf tensor; so does the replacement,
    and so does a parameter's own `.to(device)`, whatever the device is on this machine.
    `Module.to`, which keeps parameters in place, works under `no_grad`.
    """
    if name in ("cuda", "xpu"):
        if args[0].is_meta:
            return torch.Tensor.clone, (args[0],), {}
        return torch.Tensor.to, (args[0], "cpu"), {"copy": True}
    moved = any(_is_accelerator(value) for value in (*args, *options.values()))
    own = isinstance(args[0] if args else None, torch.nn.Parameter) and torch.is_grad_enabled()
    if name == "to" and own and _takes_device(args, options):
        return function, args, {**options, "copy": True}
    if not moved:
        return function, args, options
    args = tuple("cpu" if _is_accelerator(value) else value for value in args)
    options = {key: "cpu" if _is_accelerator(value) else value for key, value in options.items()}
    return function, args, ({**options, "copy": True} if name == "to" else options)


def _takes_device(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a move is to a device that a program computes: on another machine it is an accelerator."""
    return any(isinstance(value, torch.device) for value in (*args[1:], *options.values()))


def _is_accelerator(value: Any) -> bool:
    if isinstance(value, torch.device):
        return value.type not in ("cpu", "meta")
    return isinstance(value, str) and value.split(":")[0] in ("cuda", "xpu", "mps", "hpu", "npu")
