"""The shape that an index makes of another."""

from __future__ import annotations

from gradlint.frontends.static.python.plain_values import plain, range_length
from gradlint.frontends.static.record.passages import carries
from gradlint.frontends.static.values import Constant, Sequence, Symbol, Tensor, Value

Shape = tuple[int | None, ...] | None


def index_shape(shape: Shape, key: Value) -> Shape:
    """The shape of `x[key]`; None where it is not known."""
    if shape is None:
        return None
    parts = list(key.items) if isinstance(key, Sequence) and key.kind == "tuple" else [key]
    if any(not _is_basic(part) for part in parts):
        return _gathered(shape, parts)
    return _basic(shape, parts)


def _is_basic(part: Value) -> bool:
    if isinstance(part, Constant):
        return part.value is None or part.value is Ellipsis or isinstance(part.value, (int, slice))
    return (isinstance(part, Sequence) and part.kind == "slice") or (isinstance(part, Symbol) and part.type == "int")


def _basic(shape: tuple[int | None, ...], parts: list[Value]) -> Shape:
    """Integers take an axis away, None makes one, slices and `...` keep them."""
    consuming = sum(not (isinstance(part, Constant) and part.value in (None, Ellipsis)) for part in parts)
    rest = len(shape) - consuming
    if rest < 0:
        return None
    sizes, left, open_ = list(shape), [], True
    for part in parts:
        if isinstance(part, Constant) and part.value is Ellipsis:
            left += sizes[:rest]
            del sizes[:rest]
            open_ = False
        elif isinstance(part, Constant) and part.value is None:
            left.append(1)
        else:
            left += _one(part, sizes.pop(0))
    return tuple(left + sizes) if open_ or not sizes else None


def _one(part: Value, size: int | None) -> list[int | None]:
    """What is left of one axis."""
    if isinstance(part, Constant) and isinstance(part.value, slice):
        return [_sliced(part.value, size)]
    return [None] if isinstance(part, Sequence) else []


def _sliced(part: slice, size: int | None) -> int | None:
    if part == slice(None):
        return size
    try:
        return None if size is None else range_length(range(*part.indices(size)))
    except (TypeError, ValueError):
        return None


def _gathered(shape: tuple[int | None, ...], parts: list[Value]) -> Shape:
    """One mask over the first axes, or one tensor of indices among slices."""
    advanced = [part for part in parts if not _is_basic(part)]
    if len(advanced) != 1 or not isinstance(advanced[0], Tensor) or any(_takes_away(part) for part in parts):
        return None
    index = advanced[0]
    if index.shape is None or index.dtype is None or carries(index.dtype):
        return None
    before = parts.index(index)
    if any(
        not isinstance(part, Constant) or part.value != slice(None) for part in parts[:before] + parts[before + 1 :]
    ):
        return None
    if index.dtype in ("bool", "uint8"):
        return (*shape[:before], None, *shape[before + len(index.shape) :])
    return (*shape[:before], *index.shape, *shape[before + 1 :])


def _takes_away(part: Value) -> bool:
    return _is_basic(part) and not (isinstance(part, Constant) and isinstance(plain(part), slice))
