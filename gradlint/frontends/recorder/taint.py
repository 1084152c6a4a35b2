"""Values that left torch: numpy arrays and Python numbers that remember which tensors they came from.

Each tracked class behaves like its base and carries `gradlint_origin`, the graph nodes whose values went into it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

_asarray = np.asarray
"""numpy's own, also while the recorder replaces it."""

Origin = frozenset[int]
NOWHERE: Origin = frozenset()
ORIGIN = "gradlint_origin"
NESTING = 4
"""Depth to which lists, tuples and dicts are searched for tracked values."""
BREADTH = 4096
"""Elements of one container that are searched for tracked values, from its start."""

_ARITHMETIC = (
    "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__ __rfloordiv__ "
    "__mod__ __rmod__ __pow__ __rpow__ __neg__ __pos__ __abs__ __round__ __trunc__ __floor__ __ceil__"
).split()
_METHODS = (
    "mean sum std var max min prod ptp dot trace cumsum cumprod item tolist astype clip round copy repeat take choose "
    "compress diagonal all any argmax argmin argsort"
).split()


def origins(values: Iterable[Any], depth: int = NESTING) -> Origin:
    """The nodes behind all tracked values in nested lists, tuples and dicts."""
    found: set[int] = set()
    for value in values:
        if isinstance(value, _TRACKED):
            found |= getattr(value, ORIGIN)
        elif depth and isinstance(value, (list, tuple, set)):
            found |= origins(itertools.islice(value, BREADTH), depth - 1)
        elif depth and isinstance(value, dict):
            found |= origins(value.values(), depth - 1)
        elif isinstance(value, np.ndarray) and isinstance(value.base, TrackedArray):
            found |= value.base.gradlint_origin
    return frozenset(found)


class _Ufuncs:
    """Lets numpy's element-wise functions pass the origin on."""

    gradlint_origin: Origin = NOWHERE

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        origin = origins((*inputs, *(out or ())))
        if out:
            options["out"] = tuple(_plain(array) for array in out)
        result = getattr(ufunc, method)(*(_plain(value) for value in inputs), **options)
        for array in out or ():
            if isinstance(array, TrackedArray):
                array.gradlint_origin = origin
        return out[0] if out and len(out) == 1 else tracked(result, origin)


class TrackedFloat(_Ufuncs, float):
    """A Python float that was read off a tensor."""


class TrackedInt(_Ufuncs, int):
    """A Python int that was read off a tensor."""


class TrackedArray(_Ufuncs, np.ndarray):
    """A numpy array that was read off a tensor, or computed from one that was."""

    def __array_finalize__(self, parent: Any) -> None:
        self.gradlint_origin = getattr(parent, ORIGIN, NOWHERE)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        origin = origins((args, options))
        return tracked(super().__array_function__(function, types, args, options), origin)

    def __getitem__(self, index: Any) -> Any:
        return tracked(super().__getitem__(index), self.gradlint_origin)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.gradlint_origin = self.gradlint_origin | origins((value,))
        super().__setitem__(index, value)

    def __float__(self) -> float:
        return float(self.view(np.ndarray))

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.item())

    def __round__(self, digits: int | None = None) -> Any:
        return tracked(round(float(self), digits), self.gradlint_origin)

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()


def _plain(value: Any) -> Any:
    if isinstance(value, TrackedArray):
        return value.view(np.ndarray)
    return value.real if isinstance(value, (TrackedFloat, TrackedInt)) else value


def _with_methods(cls: type, base: type, names: Iterable[str]) -> type:
    for name in names:
        method = getattr(base, name, None)
        if method is not None:
            setattr(cls, name, _tracking(method))
    return cls


def _tracking(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def compute(self: Any, *others: Any, **options: Any) -> Any:
        result = method(_plain(self), *map(_plain, others), **options)
        return result if result is NotImplemented else tracked(result, origins((self, *others)))

    return compute


_with_methods(TrackedFloat, float, _ARITHMETIC)
_with_methods(TrackedInt, int, _ARITHMETIC)
_with_methods(TrackedArray, np.ndarray, _METHODS)
_TRACKED: tuple[type, ...] = (TrackedFloat, TrackedInt, TrackedArray)


def tracked(value: Any, origin: Origin) -> Any:
    """The same value, remembering that it came from `origin`; lists and tuples of numbers element by element.

    A numpy scalar becomes an array without axes: numpy's and torch's C code do not take subclasses of its scalars.
    """
    if not origin or isinstance(value, (bool, np.bool_, str, type(None))):
        return value
    if isinstance(value, (np.ndarray, np.floating, np.integer)):
        array = _asarray(value).view(TrackedArray)
        array.gradlint_origin = origin
        return array
    if isinstance(value, (float, int)):
        number = (TrackedFloat if isinstance(value, float) else TrackedInt)(value)
        number.gradlint_origin = origin
        return number
    if type(value) in (list, tuple):
        return type(value)(tracked(item, origin) for item in value)
    return value
