"""Between values of the evaluator and plain Python objects, for the small calculations on sizes and options."""

from __future__ import annotations

from typing import Any

from gradlint.frontends.static.values import Constant, Sequence, Symbol, Value


class NotKnownError(Exception):
    """A decision hangs on something that is not known."""


class Open:
    """A plain object that is not known: what is computed from it is not known either, and it decides nothing."""

    def _another(self, *_: Any) -> Open:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _another
    __floordiv__ = __rfloordiv__ = __truediv__ = __rtruediv__ = __mod__ = __rmod__ = _another
    __lt__ = __le__ = __gt__ = __ge__ = _another
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return self

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise NotKnownError

    def __iter__(self) -> Any:
        raise NotKnownError


OPEN = Open()
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def plain(value: Value | None) -> Any:
    """The Python object behind a value: constants and sequences of them; `OPEN` where it is not known.

    A value that is no plain object (a tensor, a function) stays itself.
    """
    match value:
        case Constant(value=known):
            return known
        case Sequence(items=items, kind="list" | "tuple" as kind, exact=True):
            inner = [plain(item) for item in items]
            return tuple(inner) if kind == "tuple" else inner
        case Symbol() | Sequence() | None:
            return OPEN
    return value


def lifted(known: Any) -> Value:
    """The value of a Python object; the inverse of `plain`."""
    if isinstance(known, Value):
        return known
    if isinstance(known, (tuple, list)):
        return Sequence([lifted(item) for item in known], "tuple" if isinstance(known, tuple) else "list")
    return Constant(known) if isinstance(known, PLAIN) else Symbol()


def size(value: Any) -> int | None:
    """A plain object as one size of a shape; None where it is not known."""
    return value if type(value) is int else None


def range_length(values: range) -> int:
    """How many numbers a range has, however many: `len` refuses more than a machine word counts."""
    return max(0, -((values.start - values.stop) // values.step))
