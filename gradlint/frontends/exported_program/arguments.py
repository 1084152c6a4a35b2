"""What a call reads: values by the place of the argument that holds them, and plain literals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradlint.frontends.exported_program.schema import DTYPES, Argument, NamedArgument, names_in

REPEATED = "repeated"
"""Literal of a call that has one tensor at two positions."""

TEXT_LIMIT = 60
TUPLE_LIMIT = 8
"""Characters of a text, and numbers of a list, that are kept as a literal."""

KEYWORD = 2
SELF = "self"
INPUT = "input"
"""The first argument is `self` in aten and `input` in torch."""

_PLAIN = ("as_int", "as_float", "as_bool", "as_string")
_LISTS = ("as_ints", "as_floats", "as_bools")


@dataclass(frozen=True, slots=True)
class Operand:
    """A value that a call reads: its name in the file, its number, and the place of the argument."""

    name: str
    value: int
    place: int | str


def operands(inputs: Sequence[NamedArgument], values: Mapping[str, int]) -> Iterator[Operand]:
    """The values among the arguments that are known."""
    for position, entry in enumerate(inputs):
        place = entry.name if entry.kind == KEYWORD else position
        for name in names_in(entry.arg):
            if name in values:
                yield Operand(name, values[name], place)


def literals(inputs: Sequence[NamedArgument]) -> dict[str, Any]:
    """The numbers, texts and short lists among the arguments, by position and by name."""
    found: dict[str, Any] = {}
    for position, entry in enumerate(inputs):
        value = literal(entry.arg)
        if value is None:
            continue
        if entry.kind != KEYWORD:
            found[str(position)] = value
        if entry.name:
            found[INPUT if entry.name == SELF else entry.name] = value
    tensors = [name for entry in inputs for name in names_in(entry.arg)]
    return found | {REPEATED: True} if len(set(tensors)) < len(tensors) else found


def literal(argument: Argument) -> Any:
    """An argument as a literal of a node; None where it is none."""
    for tag, held in argument.items():
        if tag == "as_scalar_type":
            return DTYPES.get(held) if isinstance(held, int) else None
        if tag in _PLAIN and isinstance(held, (bool, int, float, str)):
            return None if isinstance(held, str) and len(held) >= TEXT_LIMIT else held
        if tag in _LISTS and isinstance(held, list) and len(held) <= TUPLE_LIMIT:
            return held if all(isinstance(item, (bool, int, float)) for item in held) else None
    return None
