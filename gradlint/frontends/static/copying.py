"""Copies of values as `copy.deepcopy` makes them: everything inside is copied once, parameters become new leaves."""

from __future__ import annotations

from typing import Any

from gradlint.frontends.static.values import (
    NO_NODE,
    Choice,
    Foreign,
    Instance,
    Layer,
    Mapping,
    Sequence,
    Tensor,
    Value,
)


def copied(value: Value, memo: dict[int, Value] | None = None) -> Value:
    """A deep copy; plain values, functions and what is not known stay themselves."""
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)]
    maker = _MAKERS.get(type(value))
    if maker is None:
        return value
    twin: Value = maker(value)
    memo[id(value)] = twin
    _fill(value, twin, memo)
    return twin


def _fill(value: Any, twin: Any, memo: dict[int, Value]) -> None:
    if isinstance(value, Sequence):
        twin.items.extend(copied(item, memo) for item in value.items)
    elif isinstance(value, Mapping):
        twin.items.update({key: copied(item, memo) for key, item in value.items.items()})
    elif isinstance(value, Choice):
        twin.options = tuple(copied(option, memo) for option in value.options)
    elif isinstance(value, Foreign):
        twin.state.update({key: copied(item, memo) for key, item in value.state.items()})
    elif isinstance(value, (Instance, Layer)):
        twin.attributes.update({key: copied(item, memo) for key, item in value.attributes.items()})
        _fill_layer(value, twin, memo)


def _fill_layer(value: Instance | Layer, twin: Any, memo: dict[int, Value]) -> None:
    if isinstance(value, Layer):
        twin.arguments.update({key: copied(item, memo) for key, item in value.arguments.items()})
    elif value.base is not None:
        twin.base = Layer(
            value.base.name, dict(value.base.arguments), twin.attributes, value.base.made, value.base.known
        )


def _tensor(value: Tensor) -> Tensor:
    """A leaf becomes a new leaf; what was computed keeps its value (torch refuses to copy it)."""
    node = NO_NODE if value.leaf or value.parameter else value.node
    state = {name: kept for name, kept in value.state.items() if not name.startswith(" ")}
    return Tensor(node, value.shape, value.dtype, value.carrier, value.parameter, value.leaf, value.made, state)


_MAKERS: dict[type, Any] = {
    Tensor: _tensor,
    Sequence: lambda value: Sequence([], value.kind, value.exact, value.made),
    Mapping: lambda value: Mapping({}, value.exact, value.made),
    Choice: lambda value: Choice(()),
    Foreign: lambda value: Foreign(value.name, dict(value.arguments), {}, value.made),
    Layer: lambda value: Layer(value.name, {}, {}, value.made, value.known),
    Instance: lambda value: Instance(value.cls, {}, value.made),
}
