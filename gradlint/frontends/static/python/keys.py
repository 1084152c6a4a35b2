"""Keys of dicts: the Python objects that stand for them."""

from __future__ import annotations

from typing import Any

from gradlint.frontends.static.values import Class, Constant, External, Instance, Mapping, Sequence, Value

NONE_KEY = "<None>"
"""Stands for the key None."""

UNKNOWN_KEY = "<unknown>"
"""First part of a key that stands for one that is not known."""

DATA = "<items>"
"""Attribute of an object of a class that extends a container of Python's own: that container."""


def key_of(key: Value) -> Any:
    """The Python object that stands for a key; None where it is not known (a None key is its own object)."""
    if isinstance(key, Constant):
        try:
            hash(key.value)
        except TypeError:
            return None
        return NONE_KEY if key.value is None else key.value
    if isinstance(key, Sequence) and key.exact and key.kind == "tuple":
        inner = tuple(key_of(item) for item in key.items)
        return None if None in inner else inner
    if isinstance(key, External):
        return key.name
    return id(key) if isinstance(key, (Instance, Class)) else None


def entries_at(mapping: Mapping, key: Any) -> list[Value]:
    """What a dict may have under a key: the entry of that key, and those whose own key is not known."""
    known = [mapping.items[key]] if key in mapping.items else []
    return known if mapping.exact else [*known, *unplaced(mapping).values()]


def unplaced(mapping: Mapping) -> dict[Any, Value]:
    """The entries of a dict whose keys are not known."""
    return {key: value for key, value in mapping.items.items() if isinstance(key, tuple) and key[:1] == (UNKNOWN_KEY,)}


def put(mapping: Mapping, key: Value, content: Value) -> None:
    """Adds an entry to a dict that is being made."""
    hashable = key_of(key)
    if hashable is None:
        mapping.exact = False
        hashable = (UNKNOWN_KEY, len(mapping.items))
    mapping.items[hashable] = content
