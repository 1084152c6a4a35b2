"""Reading torch's own autograd graph: which known values an output's gradient really arrives at."""

from __future__ import annotations

from typing import Any

import torch

KEY = "gradlint"
"""Key of the mark in a tensor's `__dict__` and in an autograd node's `metadata`."""

_epoch = [0]


def new_epoch() -> None:
    """Makes all marks of earlier recordings void."""
    _epoch[0] += 1


LIMIT = 20_000
"""Autograd nodes that are visited behind one value."""


def version(tensor: torch.Tensor) -> int:
    """The tensor's version counter; -1 for tensors of inference mode, which have none."""
    return -1 if tensor.is_inference() else tensor._version


def history(tensor: torch.Tensor) -> Any:
    """The tensor's `grad_fn`; None for a leaf, and for a view whose history torch refuses to give.

    A view made without gradients and then written raises when it is asked (embeddings zero their padding row so).
    """
    try:
        return tensor.grad_fn
    except RuntimeError:
        return None


def mark(tensor: torch.Tensor, node: int) -> None:
    """Remembers on the tensor, and on its place in the autograd graph, which node of the tape it is."""
    tensor.__dict__[KEY] = (node, id(tensor), version(tensor), _epoch[0])
    function = history(tensor)
    if function is not None:
        function.metadata.setdefault(KEY, {})[tensor.output_nr] = (node, _epoch[0])


def marked(tensor: torch.Tensor) -> tuple[int, bool] | None:
    """The node of a tensor and whether its content is still that of the node; None for a tensor never seen."""
    found = tensor.__dict__.get(KEY)
    if found is None or found[1] != id(tensor) or found[3] != _epoch[0]:
        return None
    return found[0], found[2] == version(tensor)


def arrivals(tensor: torch.Tensor, among: dict[int, int]) -> set[int]:
    """The nearest known nodes that a gradient of this tensor arrives at.

    `among` maps `id` of the leaf tensors that an op read to their nodes. Walks `grad_fn` until known values are met.
    """
    start = history(tensor)
    if start is None:
        return {among[id(tensor)]} if id(tensor) in among else set()
    found: set[int] = set()
    seen: set[Any] = set()
    stack = [(start, tensor.output_nr)]
    while stack and len(seen) < LIMIT:
        function, output = stack.pop()
        node = known(function, output, among)
        if node is not None:
            found.add(node)
        elif function not in seen:
            seen.add(function)
            stack.extend((after, number) for after, number in function.next_functions if after is not None)
    return found


def known(function: Any, output: int, among: dict[int, int]) -> int | None:
    """The node of one output of an autograd node, or of the leaf that it accumulates into."""
    leaf = getattr(function, "variable", None)
    if leaf is not None:
        if id(leaf) in among:
            return among[id(leaf)]
        found = marked(leaf)
        return found[0] if found is not None else None
    node, epoch = (function.metadata.get(KEY) or {}).get(output, (None, None))
    return node if epoch == _epoch[0] else None
