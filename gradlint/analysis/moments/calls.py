"""What a rule sees of one op call, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from gradlint.analysis.moments.curves import Curve, identity
from gradlint.analysis.moments.field import Field, Shape
from gradlint.analysis.operands import REPEATED, SWAPPED, Number, number
from gradlint.graph import Node, NodeKind


@dataclass(frozen=True, slots=True)
class Value:
    """A value's moments and what else is known of it.

    `curve` gives it as an elementwise function of another value, `mean_of` says that it is the mean of a value over
    some
    axes, `hidden` the share of entries that a mask of a softmax takes away, `known` its integer content where one
    number stands everywhere.
    """

    field: Field
    curve: Curve | None = None
    mean_of: tuple[int, frozenset[int]] | None = None
    hidden: float | None = None


@dataclass(frozen=True, slots=True)
class Operand:
    """A value that a call read; `open` says that gradient passes back to it."""

    node: Node
    value: Value
    open: bool = True

    @property
    def id(self) -> int:
        """The number of its node."""
        return self.node.id

    @property
    def field(self) -> Field:
        """Its moments."""
        return self.value.field

    @property
    def curve(self) -> Curve:
        """The value as a function of its base; of itself where it has none, or where no gradient passes."""
        if self.value.curve is not None and self.open:
            return self.value.curve
        return identity(self.id, self.field)

    @property
    def is_parameter(self) -> bool:
        """Whether it is a weight as it is."""
        return self.node.kind is NodeKind.PARAMETER


Gradients = Sequence[Field | None]
Passed = Iterator[tuple[int, Field]]
Backward = Callable[[Gradients], Passed]


@dataclass(frozen=True, slots=True)
class Made:
    """What a call made: a value for each of its outputs, and how the gradients of these pass on to other nodes."""

    values: tuple[Value | None, ...]
    backward: Backward


@dataclass(frozen=True)
class Call:
    """One op call: its outputs, and the values that it read in the order of its arguments."""

    outputs: tuple[Node, ...]
    reads: tuple[Operand, ...]

    @property
    def node(self) -> Node:
        """The first output."""
        return self.outputs[0]

    def of(self, output: Node) -> Call:
        """The call with one of its outputs."""
        return Call((output,), self.reads)

    @cached_property
    def shape(self) -> Shape:
        """The shape of the first output; rules are asked only where it is known."""
        assert self.node.shape is not None
        return self.node.shape

    @property
    def elements(self) -> int:
        """How many numbers the first output has."""
        return math.prod(self.shape)

    def literal(self, position: int, name: str, default: object = None) -> object:
        """A literal argument by its position or name."""
        found = self.node.literals
        return found.get(str(position), found.get(name, default))

    def number(self, position: int, name: str, default: float) -> float:
        """A numeric argument by its position or name."""
        found = number(self.literal(position, name))
        return default if found is None else float(found)

    def flag(self, position: int, name: str, default: bool = False) -> bool:
        """A Boolean argument by its position or name."""
        found = self.literal(position, name)
        return found if isinstance(found, bool) else default

    def sizes(self, position: int, name: str) -> tuple[int, ...] | None:
        """An integer or several of them, as a tuple."""
        found = self.literal(position, name)
        if isinstance(found, int) and not isinstance(found, bool):
            return (found,)
        return tuple(found) if isinstance(found, (list, tuple)) else None

    def at(self, position: int) -> Operand | Number | None:
        """The value or number at a position of the arguments."""
        given = self.node.literals.get(str(position))
        if given is not None:
            return number(given)
        if self.node.literals.get(REPEATED) and len(self.reads) == 1:
            return self.reads[0]
        before = sum(1 for key in self.node.literals if key.isdigit() and int(key) < position)
        index = position - before
        return self.reads[index] if 0 <= index < len(self.reads) else None

    def pair(self) -> tuple[Operand | Number | None, Operand | Number | None]:
        """The left and the right operand of a binary op."""
        first, second = self.at(0), self.at(1)
        return (second, first) if self.node.native.startswith(SWAPPED) else (first, second)


Rule = Callable[[Call], Made | None]
"""None where a rule does not apply."""

Rules = Mapping[str, Rule]


def single(value: Value | Field, backward: Callable[[Field], Passed]) -> Made:
    """What a call with one output made."""
    made = Value(value) if isinstance(value, Field) else value

    def passed(gradients: Gradients) -> Passed:
        if gradients[0] is not None:
            yield from backward(gradients[0])

    return Made((made,), passed)


def source(value: Value | Field) -> Made:
    """A value that passes nothing back."""
    return single(value, lambda _: iter(()))


def plain(value: Value, of: Field) -> Value:
    """The same knowledge of a value with other moments, which is no function of a base any more."""
    return replace(value, field=of, curve=None, mean_of=None)
