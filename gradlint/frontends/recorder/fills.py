"""What filled the memory of each tensor: the factory that made it, initialisers, and writes by hand."""

from __future__ import annotations

from collections.abc import Iterable
from types import FrameType
from typing import Any

import torch

from gradlint.frontends.recorder.frames import RawFrames, take
from gradlint.frontends.recorder.tensors import storage_key
from gradlint.frontends.scaled_fills import Told, rescaled

Fill = tuple[str, tuple[Any, ...], dict[str, Any], RawFrames]
"""The name of a call, its arguments behind the tensor, and where it stands."""

FACTORIES = frozenset(
    """empty zeros ones full rand randn eye empty_like zeros_like ones_like full_like rand_like randn_like
    new_empty new_zeros new_ones new_full""".split()
)
"""Calls that fill new memory by numbers alone, or not at all."""

COPIES = frozenset("clone to half float double bfloat16 cuda cpu contiguous type".split())
"""Calls whose result has the content of their first tensor."""

PARTIAL = "__setitem__"
"""Stands for every write into a part of a tensor's memory."""

MOST = 12
"""Fills that are kept of one tensor: the last ones."""


class Fills:
    """The fills of all memory that was seen, by storage; memory that parameters own is told apart."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[Fill, ...]] = {}
        self._owned: set[int] = set()

    def of(self, tensor: torch.Tensor) -> tuple[Fill, ...]:
        """What filled a tensor's memory, oldest first."""
        key = storage_key(tensor)
        return self._calls.get(key, ()) if key is not None else ()

    def own(self, parameter: torch.Tensor) -> None:
        """A parameter is made of a tensor's memory."""
        if (key := storage_key(parameter)) is not None:
            self._owned.add(key)

    def is_owned(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor shares the memory of a parameter."""
        return storage_key(tensor) in self._owned

    def made(
        self,
        results: Iterable[torch.Tensor],
        name: str,
        args: tuple[Any, ...],
        options: dict[str, Any],
        frame: FrameType,
        read: Iterable[torch.Tensor],
    ) -> None:
        """A call made tensors; one with memory of its own begins anew."""
        sources = [storage_key(tensor) for tensor in read]
        for tensor in results:
            key = storage_key(tensor)
            if key is None or key in sources:
                continue
            self._owned.discard(key)
            if name in FACTORIES:
                self._calls[key] = ((name, args, options, take(frame)),)
            elif name in COPIES and sources and sources[0] in self._calls:
                self._calls[key] = self._calls[sources[0]]
            elif told := self._rescaled(name, args, sources):
                self._calls[key] = ((told[0], (), told[1], take(frame)),)
            else:
                self._calls.pop(key, None)

    def _rescaled(self, name: str, args: tuple[Any, ...], sources: list[int | None]) -> Told | None:
        """What a call with a tensor that is filled and a number makes of it."""
        calls = self._calls.get(sources[0], ()) if len(sources) == 1 and sources[0] is not None else ()
        if not calls or len(args) != 2 or not isinstance(args[0], torch.Tensor):
            return None
        named = {**{str(place): value for place, value in enumerate(calls[-1][1])}, **calls[-1][2]}
        return rescaled(calls[-1][0], named, name, args[1])

    def note(self, tensor: torch.Tensor, fill: Fill) -> None:
        """A call filled a tensor, or wrote into a part of its memory."""
        key = storage_key(tensor)
        if key is not None:
            partial = tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes()
            named = (PARTIAL, (), {}, fill[3]) if partial else fill
            self._calls[key] = (*self._calls.get(key, ())[-MOST:], named)
