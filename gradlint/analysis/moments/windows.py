"""The windows of a pool over space: how many entries each has inside of the input, and how far neighbours overlap."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradlint.analysis.moments.calls import Call
from gradlint.analysis.moments.field import Shape

LEADING = 2
"""Axes before those of space: the batch and the channels."""


@dataclass(frozen=True, slots=True)
class Windows:
    """A pool's windows along each axis of space."""

    fine: Shape
    coarse: Shape
    extent: Shape
    stride: Shape
    padding: Shape

    def counts(self) -> dict[int, float]:
        """How many entries a window has inside of the input, and the share of the windows that have so many."""
        each = [Counter(axis) for axis in self._inside()]
        found: Counter[int] = Counter()
        for combination in itertools.product(*(axis.items() for axis in each)):
            found[math.prod(size for size, _ in combination)] += math.prod(times for _, times in combination)
        total = sum(found.values())
        return {max(size, 1): times / total for size, times in found.items()}

    def _inside(self) -> Iterator[list[int]]:
        axes = zip(self.fine, self.coarse, self.extent, self.stride, self.padding, strict=True)
        for size, out, taps, step, before in axes:
            starts = [window * step - before for window in range(out)]
            yield [max(min(start + taps, size) - max(start, 0), 0) for start in starts]

    def overlaps(self) -> Iterator[list[tuple[float, float]]]:
        """By axis: shares of all pairs of two windows along it, and what part of a window such a pair shares."""
        for out, taps, step in zip(self.coarse, self.extent, self.stride, strict=True):
            pairs = max(out * (out - 1), 1)
            near = range(1, min(out, -(-taps // max(step, 1))))
            yield [(2 * (out - apart) / pairs, 1.0 - apart * step / taps) for apart in near]


def windows(call: Call, read: Shape) -> Windows:
    """The windows of a pooling call."""
    axes = space(call)
    fine, coarse = read[-axes:], call.shape[-axes:]
    adaptive = call.node.op.startswith(("adaptive", "global"))
    given = None if adaptive else call.sizes(1, "kernel_size")
    if given is None:
        extent = tuple(max(-(-size // max(out, 1)), 1) for size, out in zip(fine, coarse, strict=True))
        return Windows(fine, coarse, extent, extent, (0,) * axes)
    extent = _spread(given, axes)
    stride = _spread(call.sizes(2, "stride") or given, axes)
    return Windows(fine, coarse, extent, stride, _spread(call.sizes(3, "padding") or (0,), axes))


def _spread(values: Sequence[int], count: int) -> Shape:
    return tuple(values) if len(values) == count else (values[0],) * count


def space(call: Call) -> int:
    """How many axes a pool works on, by its name."""
    name = call.node.op
    return int(name[-2]) if name[-2:-1].isdigit() else max(len(call.shape) - LEADING, 1)
