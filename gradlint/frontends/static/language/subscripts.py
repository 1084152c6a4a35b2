"""Indexing: of Python's containers and text here, of tensors by the vocabulary."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static import graph_breaks, vocabulary
from gradlint.frontends.static.heap import ABSENT
from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.language.branches import alternatives
from gradlint.frontends.static.language.unread_objects import absorb, part, part_of_symbol
from gradlint.frontends.static.python.keys import DATA, UNKNOWN_KEY, entries_at, key_of, unplaced
from gradlint.frontends.static.torch import hub_functions, hub_outputs
from gradlint.frontends.static.values import (
    Arguments,
    Choice,
    Class,
    Constant,
    External,
    Foreign,
    Instance,
    Layer,
    Mapping,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

LISTS = frozenset({"torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ParameterList"})
DICTS = frozenset({"torch.nn.ModuleDict", "torch.nn.ParameterDict"})


def evaluate(run: Run, at: ast.Subscript) -> Value:
    """`value[key]`."""
    return get(run, run.evaluate(at.value), run.evaluate(at.slice), at)


def slice_of(lower: Value, upper: Value, step: Value) -> Value:
    """A slice: a constant where its ends are, else a sequence of them that is called "slice"."""
    parts = (lower, upper, step)
    if all(isinstance(part, Constant) for part in parts):
        return Constant(slice(*(part.value for part in parts if isinstance(part, Constant))))
    return Sequence(list(parts), "slice")


def get(run: Run, value: Value, key: Value, at: ast.AST) -> Value:
    """An item of any value."""
    graph_breaks.index(run, value, key, at)
    match value:
        case Choice():
            return _of_choice(run, value, key, at)
        case Tensor():
            found = vocabulary.operator(run, "getitem", value, key, at)
            return found if found is not None else run.opaque("an index is not known", (value, key), at, "getitem")
        case Sequence():
            return _of_sequence(run, value, key, at)
        case Mapping():
            return _of_mapping(run, value, key)
        case Constant(value=known):
            return _of_constant(known, key)
        case Layer() | Instance():
            return _of_object(run, value, key, at)
        case Symbol(type=kind):
            return Symbol(kind) if kind == "str" else part_of_symbol(run, value)
        case External():
            return hub_functions.item(run, value, key) or value
        case Class():
            return value
    return _of_unknown(run, value, key, at)


def _of_unknown(run: Run, value: Value, key: Value, at: ast.AST) -> Value:
    if isinstance(value, Foreign):
        found = vocabulary.call_method(run, value, "__getitem__", Arguments((key,)), at)
        if found is not None:
            return found
        if isinstance(key, Constant) and isinstance(key.value, str) and key.value in value.state:
            return value.state[key.value]
    if isinstance(value, Unknown):
        return part(run, value, value.why, value.node, at)
    return run.opaque("an item of what is not known", (value, key), at, "getitem")


def _of_choice(run: Run, value: Choice, key: Value, at: ast.AST) -> Value:
    whole = run.settled(value)
    if not isinstance(whole, Choice):
        return get(run, whole, key, at)
    options = [o for o in whole.options if not (isinstance(o, Constant) and o.value is None)]
    return run.join([get(run, option, key, at) for option in options or whole.options])


def _of_sequence(run: Run, value: Sequence, key: Value, at: ast.AST) -> Value:
    if isinstance(key, Choice):
        return run.join([_of_sequence(run, value, option, at) for option in key.options])
    if isinstance(key, Constant) and isinstance(key.value, (int, slice)):
        return _at_constant(run, value, key.value)
    if isinstance(key, Sequence) and key.kind == "slice":
        return Sequence(list(value.items), value.kind, exact=False, made=value.made)
    if isinstance(key, Constant) and not isinstance(key.value, int):
        return Unknown("a list has no such key")
    return run.join(value.items) if value.items else Unknown("an item of a list that is not known")


def _at_constant(run: Run, value: Sequence, key: int | slice) -> Value:
    try:
        if isinstance(key, slice):
            return Sequence(value.items[key], value.kind, value.exact, value.made)
        if value.exact or 0 <= key < len(value.items):
            return value.items[key]
    except (IndexError, TypeError, ValueError):
        if value.exact:
            return Unknown("an index is out of range")
    return run.join(value.items) if value.items else Unknown("an item of a list that is not known")


def _of_mapping(run: Run, value: Mapping, key: Value) -> Value:
    if isinstance(key, Choice):
        return run.join([_of_mapping(run, value, option) for option in key.options])
    hashable = key_of(key)
    if hashable is not None and (found := entries_at(value, hashable)):
        return run.join(found)
    if value.factory is not None and hashable is not None:
        made = run.call(value.factory, Arguments(), ast.Pass(lineno=1, col_offset=0))
        run.write(value.items, hashable, made)
        return made
    if hashable is None and value.items:
        return run.join(value.items.values())
    return Unknown("a key that was not seen to be set")


def _of_constant(known: Any, key: Value) -> Value:
    if isinstance(key, Constant) and isinstance(known, (str, bytes, range)):
        try:
            found = known[key.value]
        except (IndexError, TypeError, ValueError):
            return Unknown("an index is out of range")
        return Constant(found)
    return Symbol("str") if isinstance(known, str) else Symbol()


def _of_object(run: Run, value: Layer | Instance, key: Value, at: ast.AST) -> Value:
    if isinstance(value, Instance):
        found = in_class(value.cls, "__getitem__")
        if found is not None:
            return run.call(bind(run, found, value, at), Arguments((key,)), at)
        if DATA in value.attributes:
            return get(run, value.attributes[DATA], key, at)
        if value.base is None:
            return hub_outputs.item(run, value, key, at)
    base = value.base if isinstance(value, Instance) else value
    if base is None:
        return Unknown("an item of what is not known")
    return _of_container(run, value, base, key, at)


def parts(value: Layer | Instance) -> dict[str, Value]:
    """The parts of a container of modules or parameters."""
    return {
        name: part
        for name, part in value.attributes.items()
        if isinstance(part, (Layer, Instance, Choice, Unknown)) or (isinstance(part, Tensor) and part.parameter)
    }


def _of_container(run: Run, value: Layer | Instance, base: Layer, key: Value, at: ast.AST) -> Value:
    inner = parts(value)
    if base.name in DICTS:
        return _of_mapping(run, Mapping(dict(inner), base.known), key)
    if base.name in LISTS:
        items = Sequence(list(inner.values()), "list", base.known, base.made)
        found = _of_sequence(run, items, key, at)
        return _sliced(base, found, inner) if isinstance(found, Sequence) else found
    found_by_method = vocabulary.call_method(run, value, "__getitem__", Arguments((key,)), at)
    return found_by_method or run.opaque("an item of what is not known", (value, key), at)


def _sliced(base: Layer, found: Sequence, inner: dict[str, Value]) -> Layer:
    """A part of a container is a container of its own; its parts stay registered where they were.

    A part of an `nn.Sequential` keeps the names of its modules, a part of a list counts anew.
    """
    attributes = {str(position): item for position, item in enumerate(found.items)}
    if base.name == "torch.nn.Sequential":
        chosen = {id(item) for item in found.items}
        attributes = {name: item for name, item in inner.items() if id(item) in chosen}
    return Layer(base.name, {}, attributes, base.made, found.exact)


def assign(run: Run, value: Value, key: Value, content: Value, at: ast.AST) -> None:
    """`value[key] = content`."""
    match value:
        case Choice(options=options):
            whole = run.settled(value)
            if not isinstance(whole, Choice):
                assign(run, whole, key, content, at)
                return
            alternatives(run, [lambda o=o: assign(run, o, key, content, at) for o in options])  # type: ignore[misc]
        case Sequence():
            _assign_item(run, value, key, content)
        case Mapping():
            _assign_entry(run, value, key, content)
        case Tensor():
            entry = Sequence([key, run.settled(content)], "tuple")
            if vocabulary.operator(run, "setitem", value, entry, at) is None:
                run.write(value, "node", run.opaque("an assignment", (value, content), at, "setitem").node)
        case Layer() | Instance():
            _assign_part(run, value, key, content, at)
        case Unknown() | Symbol():
            absorb(run, value, (content,), at)
        case Foreign():
            name = key.value if isinstance(key, Constant) and isinstance(key.value, str) else UNKNOWN_KEY
            run.write(value.state, name, content)


def _assign_item(run: Run, value: Sequence, key: Value, content: Value) -> None:
    items = list(value.items)
    position = key.value if isinstance(key, Constant) else None
    if isinstance(position, slice) and isinstance(content, Sequence):
        items[position] = content.items
    elif type(position) is int and -len(items) <= position < len(items):
        items[position] = content
    else:
        items = [run.join((item, content)) for item in items] or [content]
    run.write(value, "items", items)


def _assign_entry(run: Run, value: Mapping, key: Value, content: Value) -> None:
    hashable = key_of(key)
    if hashable is not None:
        run.write(value.items, hashable, content)
        return
    run.write(value, "exact", False)
    before = unplaced(value)
    for known, kept in before.items():
        run.write(value.items, known, run.join((kept, content)))
    if not before:
        run.write(value.items, (UNKNOWN_KEY, len(value.items)), content)


def _assign_part(run: Run, value: Layer | Instance, key: Value, content: Value, at: ast.AST) -> None:
    if isinstance(value, Instance):
        found = in_class(value.cls, "__setitem__")
        if found is not None:
            run.call(bind(run, found, value, at), Arguments((key, content)), at)
            return
        if DATA in value.attributes:
            assign(run, value.attributes[DATA], key, content, at)
            return
    base = value.base if isinstance(value, Instance) else value
    position = run.constant(key)
    if base is None or not isinstance(position, (int, str)):
        return
    names = list(parts(value))
    if base.name in LISTS and type(position) is int and -len(names) <= position < len(names):
        run.write(value.attributes, names[position], content)
    elif base.name in DICTS:
        run.write(value.attributes, str(position), content)


def delete(run: Run, value: Value, key: Value) -> None:
    """`del value[key]`."""
    if isinstance(value, Mapping) and (hashable := key_of(key)) in value.items:
        run.write(value.items, hashable, ABSENT)
    elif isinstance(value, Sequence) and isinstance(key, Constant) and isinstance(key.value, (int, slice)):
        items = list(value.items)
        try:
            del items[key.value]
        except IndexError:
            return
        run.write(value, "items", items)
    elif isinstance(value, (Layer, Instance)) and str(run.constant(key)) in value.attributes:
        run.write(value.attributes, str(run.constant(key)), ABSENT)
