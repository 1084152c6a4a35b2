"""Copies of values as `copy.copy` and `copy.deepcopy` make them: parameters become new leaves, modules new modules."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Choice,
    Foreign,
    Instance,
    Layer,
    Mapping,
    Sequence,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def shallow(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return copied(run, arguments.positional[0], {}, deep=False) if arguments.positional else None


def deep(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return copied(run, arguments.positional[0], {}, deep=True) if arguments.positional else None


def copied(run: Run, value: Value, known: dict[int, Value], deep: bool) -> Value:
    """A copy of a value; a deep one shares nothing that can change, and its parameters are others."""
    if id(value) in known:
        return known[id(value)]
    copier = _COPIERS.get(type(value))
    if copier is None:
        return value
    return copier(run, value, known, deep)


def _inner(run: Run, value: Value, known: dict[int, Value], deep: bool) -> Value:
    return copied(run, value, known, deep) if deep else value


def _copy_sequence(run: Run, value: Sequence, known: dict[int, Value], deep: bool) -> Value:
    made = known[id(value)] = Sequence([], value.kind, value.exact, value.made)
    made.items.extend(_inner(run, item, known, deep) for item in value.items)
    return made


def _copy_mapping(run: Run, value: Mapping, known: dict[int, Value], deep: bool) -> Value:
    made = known[id(value)] = Mapping({}, value.exact, value.made, value.factory)
    made.items.update((key, _inner(run, item, known, deep)) for key, item in value.items.items())
    return made


def _copy_instance(run: Run, value: Instance, known: dict[int, Value], deep: bool) -> Value:
    made = known[id(value)] = Instance(value.cls, {}, value.made)
    made.attributes.update((key, _inner(run, item, known, deep)) for key, item in value.attributes.items())
    if value.base is not None:
        made.base = Layer(value.base.name, value.base.arguments, made.attributes, value.base.made, value.base.known)
    if run.is_module(made):
        _registered(run, made)
    return made


def _copy_choice(run: Run, value: Choice, known: dict[int, Value], deep: bool) -> Value:
    made = known[id(value)] = Choice(())
    made.options = tuple(_inner(run, option, known, deep) for option in value.options)
    return made


def _copy_unknown(run: Run, value: Unknown, known: dict[int, Value], deep: bool) -> Value:
    """An object of its own: what is done to the copy (`.eval()`) leaves the original as it is."""
    made = known[id(value)] = Unknown(value.why, value.node)
    return made


def _copy_foreign(run: Run, value: Foreign, known: dict[int, Value], deep: bool) -> Value:
    made = known[id(value)] = Foreign(value.name, dict(value.arguments), {}, value.made)
    made.state.update((key, _inner(run, item, known, deep)) for key, item in value.state.items())
    return made


def _copy_layer(run: Run, value: Layer, known: dict[int, Value], deep: bool) -> Value:
    made = known[id(value)] = Layer(value.name, {}, {}, value.made, value.known)
    made.arguments.update((key, _inner(run, item, known, deep)) for key, item in value.arguments.items())
    made.attributes.update((key, _inner(run, item, known, deep)) for key, item in value.attributes.items())
    _registered(run, made)
    return made


def _registered(run: Run, made: Instance | Layer) -> None:
    run.built[id(made)] = made
    run.makers[id(made)] = None


def _copy_tensor(run: Run, value: Tensor, known: dict[int, Value], deep: bool) -> Value:
    if not deep:
        return value
    state = {key: kept for key, kept in value.state.items() if isinstance(kept, bool) or not key.startswith(" ")}
    leaf = value.parameter or value.node == NO_NODE
    node = NO_NODE if leaf else value.node
    made = Tensor(node, value.shape, value.dtype, value.carrier, value.parameter, value.leaf, value.made, state)
    known[id(value)] = made
    if id(value) in run.frozen:
        run.frozen[id(made)] = run.frozen[id(value)]
        run.keep.append(made)
    return made


_COPIERS: dict[type, Callable[..., Value]] = {
    Sequence: _copy_sequence,
    Mapping: _copy_mapping,
    Instance: _copy_instance,
    Layer: _copy_layer,
    Choice: _copy_choice,
    Unknown: _copy_unknown,
    Foreign: _copy_foreign,
    Tensor: _copy_tensor,
}
