"""What a number makes of a tensor that a factory filled: `torch.randn(n) * 0.02` is a normal of deviation 0.02.

The result is told as the initialiser that would have filled it, in the names of `torch.nn.init` and the factories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Told = tuple[str, dict[str, Any]]
"""The name of an initialiser, with its arguments by their names."""

MULTIPLYING = frozenset({"mul", "multiply", "__mul__", "__rmul__"})
DIVIDING = frozenset({"div", "truediv", "true_divide", "divide", "__truediv__"})
ADDING = frozenset({"add", "__add__", "__radd__"})
SUBTRACTING = frozenset({"sub", "subtract", "__sub__"})
SUBTRACTED = frozenset({"rsub", "__rsub__"})


@dataclass(frozen=True, slots=True)
class _Line:
    """`x * factor + shift`."""

    factor: float
    shift: float

    def of(self, value: float) -> float:
        return value * self.factor + self.shift


def rescaled(name: str, arguments: Mapping[str, Any], call: str, number: object) -> Told | None:
    """What `call` with a number makes of a filled tensor (on its left); None where that has no name.

    `arguments` are those of the fill behind the tensor, by their positions ("0") or their names.
    """
    line = _line(call, number)
    maker = FILLS.get(name) if line is not None else None
    return maker(line, arguments) if maker is not None and line is not None else None


def _line(call: str, number: object) -> _Line | None:
    if type(number) is not int and type(number) is not float:
        return None
    value = float(number)
    if call in MULTIPLYING:
        return _Line(value, 0.0)
    if call in DIVIDING and value:
        return _Line(1.0 / value, 0.0)
    if call in ADDING or call in SUBTRACTING:
        return _Line(1.0, value if call in ADDING else -value)
    return _Line(-1.0, value) if call in SUBTRACTED else None


def _number(arguments: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    found: object = next((arguments[key] for key in keys if key in arguments), None)
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def _uniform(line: _Line, low: float | None, high: float | None) -> Told | None:
    if low is None or high is None:
        return None
    ends = sorted((line.of(low), line.of(high)))
    return "uniform_", {"a": ends[0], "b": ends[1]}


def _normal(line: _Line, mean: float | None, deviation: float | None) -> Told | None:
    if mean is None or deviation is None:
        return None
    return "normal_", {"mean": line.of(mean), "std": abs(line.factor) * deviation}


def _constant(line: _Line, value: float | None) -> Told | None:
    return None if value is None else ("full", {"fill_value": line.of(value)})


Maker = Callable[[_Line, Mapping[str, Any]], "Told | None"]
FILLS: dict[str, Maker] = {
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros"), lambda line, _: _constant(line, 0.0)),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), lambda line, _: _constant(line, 1.0)),
    **dict.fromkeys(
        ("full", "full_like", "new_full"),
        lambda line, given: _constant(line, _number(given, ("fill_value", "1"))),
    ),
    **dict.fromkeys(("rand", "rand_like"), lambda line, _: _uniform(line, 0.0, 1.0)),
    **dict.fromkeys(("randn", "randn_like"), lambda line, _: _normal(line, 0.0, 1.0)),
    "uniform_": lambda line, given: _uniform(
        line, _number(given, ("a", "from", "0")), _number(given, ("b", "to", "1"))
    ),
    "normal_": lambda line, given: _normal(line, _number(given, ("mean", "0")), _number(given, ("std", "1"))),
}
