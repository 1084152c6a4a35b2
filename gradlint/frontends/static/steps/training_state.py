"""What an evaluation remembers of training: who is who, and which values are arithmetic on gradients."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradlint.frame import Frame
from gradlint.frontends.static.heap import tick
from gradlint.frontends.static.values import Choice, Tensor, Unknown, Value
from gradlint.training import Condition, Event, EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


@dataclass(slots=True, frozen=True)
class Gradient:
    """A value that is a multiple of a parameter's gradient: of which, with which sign (None: not known), and whether
    something scales it."""

    of: int
    sign: int | None = 1
    scaled: bool = False


@dataclass(slots=True, frozen=True)
class Update:
    """A parameter moved along its gradient, as a new value."""

    gradient: Gradient
    place: Frame | None


FREED = " freed"
"""Where a parameter that was frozen and set free again keeps how many events came before."""


@dataclass(slots=True, eq=False)
class TrainingState:
    """The working state of the training events of one run.

    `numbers` are identities by the `id` of a value (kept alive by `values`) or by the text of an unknown expression.
    `gradients` and `updates` are by node, `owners` the identity of the tensor that a node is,
    `aliases` that of the tensor whose memory a value (`w.data`) has, by the `id` of the value. `scaled` are the losses
    that a scaler gave, `created` the loops that a module was built in. `autocast` holds the first node and the type of
    the autocast regions that are open, `half` the nodes of those in float16 that were left, with the undecided tests
    around, `halved` the parameters that are float16, with how many events came before. `statements` are the assignments
    of a module by the value that they assign, `loops` those of a function, by the `id` of its node. `passes` are the
    ticks of the backward passes, by their place among the events.
    """

    numbers: dict[Any, int] = field(default_factory=dict)
    values: dict[int, Any] = field(default_factory=dict)
    gradients: dict[int, Gradient] = field(default_factory=dict)
    updates: dict[int, Update] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)
    aliases: dict[int, int] = field(default_factory=dict)
    scaled: set[int] = field(default_factory=set)
    created: dict[int, tuple[Frame, ...]] = field(default_factory=dict)
    autocast: list[tuple[int, str]] = field(default_factory=list)
    half: list[tuple[int, int, tuple[Condition, ...]]] = field(default_factory=list)
    halved: dict[int, int] = field(default_factory=dict)
    statements: dict[int, dict[int, ast.stmt]] = field(default_factory=dict)
    loops: dict[int, list[ast.For | ast.While]] = field(default_factory=dict)
    passes: dict[int, int] = field(default_factory=dict)


def identity(run: Run, value: Value, at: ast.AST | None = None) -> int:
    """A number that stands for an object of the program: an optimizer, a model, a tensor.

    A choice has the number of its first option. An unknown object is known again by its value, or, being an attribute
    of something, by the text that reads it.
    """
    if isinstance(value, Choice):
        return identity(run, value.options[0], at)
    key: Any = (isinstance(value, Unknown) and _text_of_receiver(at)) or id(value)
    state = run.training
    if key not in state.numbers:
        state.numbers[key] = len(state.numbers) + 1
        state.values[state.numbers[key]] = value
    return state.numbers[key]


def _text_of_receiver(at: ast.AST | None) -> str:
    return ast.unparse(at) if isinstance(at, (ast.Attribute, ast.Subscript)) else ""


def tensor_identities(run: Run, tensors: list[Tensor]) -> tuple[int, ...]:
    """The identities of tensors, each once."""
    return tuple(dict.fromkeys(identity(run, tensor) for tensor in tensors))


def note(run: Run, kind: EventKind, at: ast.AST | None, **fields: Any) -> None:
    """Appends an event at an expression of the running function, with the loops and undecided tests around it."""
    frames = run.frames(at) if at is not None else ()
    place = next((frame for frame in frames if frame.user), frames[0] if frames else None)
    if kind is EventKind.BACKWARD:
        run.training.passes[len(run.events)] = tick()
    run.events.append(
        Event(
            kind,
            place,
            loop=tuple(loop.place for loop in run.loops),
            iteration=tuple(loop.iteration for loop in run.loops),
            conditions=tuple(run.doubts),
            order=len(run.events),
            **fields,
        )
    )
