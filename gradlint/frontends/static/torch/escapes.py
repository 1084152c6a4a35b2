"""Calls that cannot be read, and the optimizers and models that they get hold of."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gradlint.frontends.static.steps.training_state import note
from gradlint.frontends.static.torch.optimizers import (
    held,
    note_about,
    note_module,
    role,
)
from gradlint.frontends.static.values import (
    Bound,
    Choice,
    Instance,
    Mapping,
    Sequence,
    Value,
)
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


TELLING = ("backward", "backprop", "step", "optimi", "zero_grad", "clear_grad", "clip_grad")
"""What names of functions that do a part of a training step hold."""


def escaped(run: Run, arguments: Iterable[Value], at: ast.AST | None) -> None:
    """Something unknown is called with these arguments: it may step, clear, clip or backpropagate."""
    if _says_so(at):
        note(run, EventKind.ESCAPED, at, facts={"role": "unknown"})
    for value in _objects_in(run, arguments, set()):
        part = role(value)
        if part:
            note_about(run, EventKind.ESCAPED, at, value, held(value), {"role": part})
        elif run.is_module(value):
            note_module(run, EventKind.ESCAPED, at, value, {"role": "model"})
        elif id(value) in run.training.numbers:
            note(run, EventKind.ESCAPED, at, subject=run.training.numbers[id(value)], facts={"role": "unknown"})


def _says_so(at: ast.AST | None) -> bool:
    """Whether the name of what is called says that it does a part of a training step."""
    match at:
        case ast.Call(func=ast.Name(id=name)):
            return any(word in name.lower() for word in TELLING)
        case ast.Call(func=ast.Attribute(attr=name, value=value)):
            return any(word in name.lower() for word in TELLING) and "sched" not in ast.unparse(value).lower()
    return False


def _objects_in(run: Run, values: Iterable[Value], seen: set[int]) -> Iterator[Value]:
    """The optimizers, modules and unknown objects inside of some values."""
    for value in values:
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        match value:
            case Sequence(items=items):
                yield from _objects_in(run, items, seen)
            case Mapping(items=entries):
                yield from _objects_in(run, entries.values(), seen)
            case Choice(options=options):
                yield from _objects_in(run, options, seen)
            case Bound(receiver=receiver):
                yield from _objects_in(run, (receiver,), seen)
            case Instance(attributes=attributes) if not run.is_module(value):
                yield from _objects_in(run, list(attributes.values()), seen)
