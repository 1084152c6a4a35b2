"""What iteration over a value gives."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static import vocabulary
from gradlint.frontends.static.language import subscripts
from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.python import keys
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
from gradlint.graph import ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

Items = tuple[list[Value], bool]
ROWS = 64
"""Rows of a tensor that are told apart."""
LONGEST = 256
"""Items of a range or text that are told apart."""


def iterate(run: Run, value: Value, at: ast.AST) -> Items:
    """The items of a value, and whether these are all."""
    match value:
        case Sequence(items=items, exact=exact):
            return list(items), exact
        case Mapping(items=entries, exact=exact):
            return [_key(key) for key in entries], exact
        case Constant(value=str() | bytes() | range() | tuple() | frozenset() as known):
            return [Constant(item) for item in list(known)[:LONGEST]], len(known) <= LONGEST
        case Choice():
            return _of_choice(run, value, at)
        case Layer() | Instance():
            return _of_object(run, value, at)
        case Tensor():
            return _of_tensor(run, value, at)
        case Class():
            return [m for m in value.names.values() if isinstance(m, Instance) and m.cls is value], True
        case Symbol():
            return [Symbol()], False
        case Unknown():
            return [Unknown(value.why, value.node)], False
    return _of_foreign(run, value, at)


def _key(key: object) -> Value:
    if key == keys.NONE_KEY:
        return Constant(None)
    if isinstance(key, tuple) and key and key[0] == keys.UNKNOWN_KEY:
        return Unknown("a key of a dict")
    return Sequence([_key(item) for item in key], "tuple") if isinstance(key, tuple) else Constant(key)


def _of_choice(run: Run, value: Choice, at: ast.AST) -> Items:
    whole = run.settled(value)
    if not isinstance(whole, Choice):
        return iterate(run, whole, at)
    rows = [iterate(run, o, at) for o in whole.options if not (isinstance(o, Constant) and o.value is None)]
    if not rows:
        return [], False
    if len({len(items) for items, _ in rows}) == 1:
        columns = zip(*(items for items, _ in rows), strict=True)
        return [run.join(column) for column in columns], all(exact for _, exact in rows)
    return [run.join([item for items, _ in rows for item in items])], False


def _of_object(run: Run, value: Layer | Instance, at: ast.AST) -> Items:
    if isinstance(value, Instance):
        found = in_class(value.cls, "__iter__")
        if found is not None:
            return iterate(run, run.call(bind(run, found, value, at), Arguments(), at), at)
        if keys.DATA in value.attributes:
            return iterate(run, value.attributes[keys.DATA], at)
        if value.base is None:
            return _by_index(run, value, at)
    base = value.base if isinstance(value, Instance) else value
    if base is not None and base.name in subscripts.LISTS:
        return list(subscripts.parts(value).values()), base.known
    if base is not None and base.name in subscripts.DICTS:
        return [Constant(name) for name in subscripts.parts(value)], base.known
    return [run.opaque("an item of what is not known", (value,), at)], False


def _by_index(run: Run, value: Instance, at: ast.AST) -> Items:
    """An object with `__getitem__` alone; the step of an iterator; a dataset."""
    for name, given in (("__getitem__", Arguments((Symbol("int"),))), ("__next__", Arguments())):
        found = in_class(value.cls, name)
        if found is not None:
            return [run.call(bind(run, found, value, at), given, at)], False
    return [run.opaque("an item of what is not known", (value,), at)], False


def _of_tensor(run: Run, value: Tensor, at: ast.AST) -> Items:
    size = value.shape[0] if value.shape else None
    if value.carrier is ValueKind.TENSOR and (size is None or size <= ROWS):
        rows = vocabulary.call_method(run, value, "unbind", Arguments((Constant(0),)), at)
        if isinstance(rows, Sequence):
            return list(rows.items), rows.exact
    return [subscripts.get(run, value, Symbol("int"), at)], False


def _of_foreign(run: Run, value: Value, at: ast.AST) -> Items:
    if isinstance(value, Foreign):
        found = vocabulary.call_method(run, value, "__iter__", Arguments(), at)
        if found is not None and found is not value:
            return iterate(run, found, at)
    if isinstance(value, External):
        return [Unknown(f"an item of {value.name}")], False
    return [run.opaque("an item of what is not known", (value,), at)], False
