"""What is known of a value for sure: its truth, and the Python constant behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.values import (
    Bound,
    Choice,
    Class,
    Constant,
    External,
    Foreign,
    Function,
    Instance,
    Layer,
    Mapping,
    Method,
    ModuleValue,
    OnOff,
    Partial,
    Sequence,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

ALWAYS_TRUE = (Class, Function, Bound, Method, External, ModuleValue, Partial, Foreign)
SIZED = frozenset({"torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict"})
SIZED |= {"torch.nn.ParameterList", "torch.nn.ParameterDict"}
"""Modules whose truth is whether they hold anything."""


def truth(run: Run, value: Value) -> bool | None:
    """Whether a value counts as true; None where that is not known.

    An on-off option decides what is built, and leaves open what a forward pass does with it.
    """
    match value:
        case OnOff(value=known):
            return None if run.modules else _of_constant(known)
        case Constant(value=known):
            return _of_constant(known)
        case Sequence(items=items, exact=exact):
            return bool(items) if exact or items else None
        case Mapping(items=entries, exact=exact):
            return bool(entries) if exact or entries else None
        case Choice(options=options):
            answers = {truth(run, option) for option in options}
            return answers.pop() if len(answers) == 1 else None
        case Layer(name=name, attributes=parts, known=known):
            return bool(parts) if name in SIZED else True if known else None
        case Instance(cls=cls, base=base):
            special = any("__bool__" in c.names or "__len__" in c.names for c in cls.order if isinstance(c, Class))
            return None if special or (base is not None and base.name in SIZED) else True
    return True if isinstance(value, ALWAYS_TRUE) else None


def _of_constant(known: Any) -> bool | None:
    try:
        return bool(known)
    except Exception:
        return None


def constant(value: Value | None, default: Any = None) -> Any:
    """The Python value of a constant, or of a sequence or dict of constants; the default where it is not known."""
    missing = object()
    found = _constant(value, missing)
    return default if found is missing else found


def _constant(value: Value | None, missing: Any) -> Any:
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Sequence) and value.exact:
        items = [_constant(item, missing) for item in value.items]
        if any(item is missing for item in items):
            return missing
        return tuple(items) if value.kind == "tuple" else _as_set(items, missing) if value.kind == "set" else items
    if isinstance(value, Mapping) and value.exact:
        entries = {key: _constant(item, missing) for key, item in value.items.items()}
        return missing if any(entry is missing for entry in entries.values()) else entries
    return missing


def _as_set(items: list[Any], missing: Any) -> Any:
    try:
        return set(items)
    except TypeError:
        return missing
