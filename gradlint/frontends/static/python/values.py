"""Attributes and methods of Python's own values: text, lists, tuples, sets, dicts, plain objects."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.heap import ABSENT
from gradlint.frontends.static.python import keys
from gradlint.frontends.static.torch import training as torch_training
from gradlint.frontends.static.torch.results import FIELDS
from gradlint.frontends.static.values import (
    Arguments,
    Bound,
    Class,
    Constant,
    External,
    Foreign,
    Function,
    Instance,
    Mapping,
    Method,
    Partial,
    Property,
    Sequence,
    Symbol,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

NONE = Constant(None)
NAMESPACE = "argparse.Namespace"
OBJECT_METHODS = frozenset({"__setattr__", "__getattribute__", "__init_subclass__", "__repr__", "__str__", "__hash__"})
OBJECT_METHODS |= {"extra_repr", "__delattr__", "__enter__", "__exit__", "__dir__", "__eq__"}
PREDICATES = ("is", "startswith", "endswith")


def attribute(run: Run, value: Value, name: str, at: ast.AST) -> Value:
    """An attribute of one of Python's own values."""
    if isinstance(value, Constant):
        return _of_constant(value.value, name)
    if isinstance(value, Bound):
        return _of_bound(value, name)
    if isinstance(value, (Function, Partial, Property)):
        return _of_function(value, name)
    if isinstance(value, Mapping) and isinstance(value.items.get(name), Value):
        return value.items[name]
    if isinstance(value, Sequence) and value.kind == "tuple" and FIELDS.get(name, len(value.items)) < len(value.items):
        return value.items[FIELDS[name]]
    return Method(value, name)


def _of_constant(known: Any, name: str) -> Value:
    if known is not None and hasattr(type(known), name):
        found = getattr(known, name, None)
        return Constant(found) if isinstance(found, (int, float, str, complex)) else Method(Constant(known), name)
    return Unknown(f"a {type(known).__name__} has no {name}")


def _of_bound(value: Bound, name: str) -> Value:
    if name == "__self__":
        return value.receiver
    return value.function if name == "__func__" else _of_function(value.function, name)


def _of_function(value: Value, name: str) -> Value:
    if name in ("__name__", "__qualname__") and isinstance(value, Function):
        return Constant(value.name)
    if name == "__wrapped__":
        return value
    if name == "__code__" and isinstance(value, Function):
        return _code(value)
    if isinstance(value, Property):
        return Method(value, name)
    if isinstance(value, Partial) and name in ("func", "args", "keywords"):
        parts = {"args": Sequence(list(value.positional), "tuple"), "keywords": Mapping(dict(value.named))}
        return parts.get(name, value.function)
    return Unknown(f"attribute {name!r} of a function")


def _code(value: Function) -> Foreign:
    """The code object of a function: the names of its parameters, then of what its body assigns."""
    given = value.node.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    stored = (n.id for n in ast.walk(value.node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    names = dict.fromkeys([*(parameter.arg for parameter in parameters), *stored])
    return Foreign("types.CodeType", {}, {"co_varnames": Sequence([Constant(n) for n in names], "tuple")})


def namespace(value: Instance | Class) -> Mapping:
    """`object.__dict__`: it shares the object's own attributes."""
    return Mapping(value.attributes if isinstance(value, Instance) else value.names)


def foreign_attribute(run: Run, value: Foreign, name: str, at: ast.AST) -> Value | None:
    """An attribute of an object of the standard library."""
    return Symbol() if value.name == NAMESPACE else None


def object_method(run: Run, receiver: Value, name: str, arguments: Arguments, at: ast.AST) -> Value:
    """What every object can do."""
    if name == "__setattr__" and len(arguments.positional) == 2 and isinstance(receiver, Instance):
        attribute_name = run.constant(arguments.positional[0])
        if isinstance(attribute_name, str):
            run.write(receiver.attributes, attribute_name, arguments.positional[1])
        return NONE
    if name == "__getattribute__" and arguments.positional:
        attribute_name = run.constant(arguments.positional[0])
        if isinstance(attribute_name, str):
            return run.get(receiver, attribute_name, at)
    return Constant("") if name in ("__repr__", "__str__", "extra_repr") else NONE


def method(run: Run, receiver: Value, name: str, arguments: Arguments, at: ast.AST) -> Value:
    """Calls a method of one of Python's own values."""
    found: Value | None = None
    if isinstance(receiver, Constant):
        return _constant_method(run, receiver.value, name, arguments, at)
    if isinstance(receiver, Sequence):
        found = sequence_method(run, receiver, name, arguments, at)
    elif isinstance(receiver, Mapping):
        found = mapping_method(run, receiver, name, arguments, at)
    elif isinstance(receiver, External):
        return run.call(External(f"{receiver.name}.{name}"), arguments, at)
    return found if found is not None else run.opaque(f"method {name!r} is not known", (receiver, *arguments), at, name)


def _constant_method(run: Run, known: Any, name: str, arguments: Arguments, at: ast.AST) -> Value:
    missing = object()
    given = [run.constant(value, missing) for value in arguments.positional]
    named = {key: run.constant(value, missing) for key, value in arguments.named.items()}
    if known is not None and missing not in given and not any(v is missing for v in named.values()):
        try:
            return lifted(getattr(known, name)(*given, **named))
        except Exception:
            return Unknown(f"method {name!r} of a constant")
    if run.nodes_in(tuple(arguments)):
        return run.opaque(f"method {name!r} of a constant", tuple(arguments), at, name)
    if isinstance(known, str):
        if name == "join":
            return Symbol("str")
        return Symbol("bool" if name.startswith(PREDICATES) else "str")
    return Unknown(f"method {name!r} of a constant")


def lifted(known: Any) -> Value:
    """The value of a Python object."""
    if isinstance(known, (list, tuple, set)):
        kind = "list" if isinstance(known, list) else "tuple" if isinstance(known, tuple) else "set"
        return Sequence([lifted(item) for item in known], kind)
    if isinstance(known, dict):
        return Mapping({key: lifted(value) for key, value in known.items()})
    return Constant(known)


def sequence_method(run: Run, receiver: Sequence, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """A method of a list, tuple, set or generator; None for one that is not known."""
    handler = _SEQUENCE.get(name)
    return handler(run, receiver, arguments, at) if handler else None


def _append(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    torch_training.collected(run, receiver, arguments, at)
    run.extend(receiver, arguments.positional[:1])
    return NONE


def _extend(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    for value in arguments.positional:
        items, exact = run.iterate(value, at)
        run.extend(receiver, items)
        if not exact:
            run.write(receiver, "exact", False)
    return NONE


def _insert(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    if len(arguments.positional) == 2:
        items = list(receiver.items)
        items.insert(run.size(arguments.positional[0]) or 0, arguments.positional[1])
        run.write(receiver, "items", items)
    return NONE


def _pop(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    position = run.size(arguments.positional[0]) if arguments.positional else -1
    items = list(receiver.items)
    if not items:
        return Unknown("an item of an empty list")
    if position is None or not receiver.exact or not -len(items) <= position < len(items):
        return run.join(items)
    found = items.pop(position)
    run.write(receiver, "items", items)
    return found


def _popleft(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    return _pop(run, receiver, Arguments((Constant(0),)), at)


def _clear(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    run.write(receiver, "items", [])
    run.write(receiver, "exact", True)
    return NONE


def _reverse(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    run.write(receiver, "items", receiver.items[::-1])
    return NONE


def _copy(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    return Sequence(list(receiver.items), receiver.kind, receiver.exact, receiver.made)


def _unchanged(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    return NONE


def _number(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    return Symbol("int")


def _index(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    """The position of the first item that is equal to a known one, where all before it are known too."""
    missing = object()
    wanted = run.constant(arguments.positional[0], missing) if len(arguments.positional) == 1 else missing
    for position, item in enumerate(receiver.items if wanted is not missing else ()):
        known = run.constant(item, missing)
        if known is missing:
            break
        if known == wanted:
            return Constant(position)
    return Symbol("int")


def _united(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    items = list(receiver.items)
    for value in arguments.positional:
        items += run.iterate(value, at)[0]
    return Sequence(items, receiver.kind, exact=False)


def _next(run: Run, receiver: Sequence, arguments: Arguments, at: ast.AST) -> Value:
    return receiver.items[0] if receiver.items else Unknown("an item of an empty generator")


_Method = Callable[["Run", Any, Arguments, ast.AST], Value]
_SEQUENCE: dict[str, _Method] = {
    "append": _append,
    "appendleft": _append,
    "add": _append,
    "extend": _extend,
    "update": _extend,
    "insert": _insert,
    "pop": _pop,
    "popleft": _popleft,
    "clear": _clear,
    "reverse": _reverse,
    "copy": _copy,
    "sort": _unchanged,
    "remove": _unchanged,
    "discard": _unchanged,
    "close": _unchanged,
    "count": _number,
    "index": _index,
    "union": _united,
    "intersection": _united,
    "difference": _united,
    "__next__": _next,
    "send": _next,
}


def mapping_method(run: Run, receiver: Mapping, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """A method of a dict; None for one that is not known."""
    handler = _MAPPING.get(name)
    return handler(run, receiver, arguments, at) if handler else None


def _keys(run: Run, receiver: Mapping, arguments: Arguments, at: ast.AST) -> Value:
    items, exact = run.iterate(receiver, at)
    return Sequence(items, "list", exact)


def _values(run: Run, receiver: Mapping, arguments: Arguments, at: ast.AST) -> Value:
    return Sequence(list(receiver.items.values()), "list", receiver.exact)


def _items(run: Run, receiver: Mapping, arguments: Arguments, at: ast.AST) -> Value:
    keys, exact = run.iterate(receiver, at)
    pairs = zip(keys, receiver.items.values(), strict=True)
    return Sequence([Sequence([key, value], "tuple") for key, value in pairs], "list", exact)


def _get(run: Run, receiver: Mapping, arguments: Arguments, at: ast.AST) -> Value:
    default = arguments.positional[1] if len(arguments.positional) > 1 else arguments.named.get("default", NONE)
    if not arguments.positional:
        return default
    key = keys.key_of(arguments.positional[0])
    if key is not None and key in receiver.items:
        return run.join(keys.entries_at(receiver, key))
    if key is None:
        return run.join([*receiver.items.values(), default])
    found = keys.entries_at(receiver, key) or [Unknown("a key that was not seen to be set")]
    return default if receiver.exact else run.join([*found, default])


def _pop_key(run: Run, receiver: Mapping, arguments: Arguments, at: ast.AST) -> Value:
    found = _get(run, receiver, arguments, at)
    key = keys.key_of(arguments.positional[0]) if arguments.positional else None
    if key in receiver.items:
        run.write(receiver.items, key, ABSENT)
    return found


def _setdefault(run: Run, receiver: Mapping, arguments: Arguments, at: ast.AST) -> Value:
    found = _get(run, receiver, arguments, at)
    key = keys.key_of(arguments.positional[0]) if arguments.positional else None
    if key is not None and key not in receiver.items:
        run.write(receiver.items, key, found)
    return found


def _update(run: Run, receiver: Mapping, arguments: Arguments, at: ast.AST) -> Value:
    for value in arguments.positional:
        if isinstance(value, Mapping):
            for key, content in value.items.items():
                run.write(receiver.items, key, content)
        if not (isinstance(value, Mapping) and value.exact):
            run.write(receiver, "exact", False)
    for name, content in arguments.named.items():
        run.write(receiver.items, name, content)
    return NONE


def _copy_mapping(run: Run, receiver: Mapping, arguments: Arguments, at: ast.AST) -> Value:
    return Mapping(dict(receiver.items), receiver.exact, receiver.made, receiver.factory)


_MAPPING: dict[str, _Method] = {
    "keys": _keys,
    "values": _values,
    "items": _items,
    "get": _get,
    "pop": _pop_key,
    "setdefault": _setdefault,
    "update": _update,
    "copy": _copy_mapping,
}
