"""Containers of modules and parameters: their making and their methods."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gradlint.frontends.static.heap import ABSENT
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Constant,
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

NONE = Constant(None)
Module = Instance | Layer
Handler = Callable[["Run", Module, Arguments, ast.AST], Value | None]

LISTS = frozenset({"torch.nn.ModuleList", "torch.nn.Sequential", "torch.nn.ParameterList"})
DICTS = frozenset({"torch.nn.ModuleDict", "torch.nn.ParameterDict"})
CONTAINERS = LISTS | DICTS


def build(run: Run, name: str, args: Arguments, at: ast.AST) -> Layer:
    """A container by its full name."""
    made = Layer(name, {}, {}, run.frame(at), known=args.exact)
    if name == "torch.nn.Sequential" and not (len(args.positional) == 1 and isinstance(args.positional[0], Mapping)):
        _append(run, made, args.positional)
        return made
    for given in (*args.positional[:1], *args.named.values()):
        _take(run, made, given, at)
    return made


def _take(run: Run, made: Layer, given: Value, at: ast.AST) -> None:
    """Fills a new container from a dict or an iterable."""
    if isinstance(given, Constant) and given.value is None:
        return
    if isinstance(given, (Mapping, Layer, Instance)) and (pairs := _pairs(given)) is not None:
        _update(run, made, pairs)
        made.known = made.known and not (isinstance(given, Mapping) and not given.exact)
        return
    items, exact = run.iterate(given, at)
    if made.name in DICTS:
        _update(run, made, _named(run, made, items))
    else:
        _append(run, made, items)
    made.known = made.known and exact


def _pairs(given: Value) -> list[tuple[str, Value]] | None:
    if isinstance(given, Mapping):
        return [(str(key), value) for key, value in given.items.items()]
    base = given.base if isinstance(given, Instance) else given
    if isinstance(base, Layer) and base.name in DICTS:
        return list(base.attributes.items())
    return None


def _named(run: Run, made: Module, items: Iterable[Value]) -> list[tuple[str, Value]]:
    """The entries that an iterable of pairs adds to a container, by their names."""
    return [(_key(run, pair, place), _second(pair)) for place, pair in enumerate(items, len(made.attributes))]


def _key(run: Run, pair: Value, place: int) -> str:
    """The name of an entry; one that is not known stands for itself by its place."""
    first = pair.items[0] if isinstance(pair, Sequence) and pair.items else None
    return str(run.constant(first, f"<unknown {place}>"))


def _second(pair: Value) -> Value:
    return pair.items[1] if isinstance(pair, Sequence) and len(pair.items) > 1 else Unknown("an entry of a container")


def _append(run: Run, made: Module, items: Iterable[Value]) -> None:
    for item in items:
        run.write(made.attributes, str(_count(made)), parameter_of(run, made, item))


def _count(made: Module) -> int:
    """The number of parts of a list of modules."""
    return sum(name.isdigit() for name in made.attributes) if isinstance(made, Instance) else len(made.attributes)


def _update(run: Run, made: Module, pairs: Iterable[tuple[str, Value]]) -> None:
    for name, value in pairs:
        run.write(made.attributes, name, parameter_of(run, made, value))


def parameter_of(run: Run, made: Module, item: Value) -> Value:
    """What a container of parameters makes of a tensor: a parameter."""
    base = made.base if isinstance(made, Instance) else made
    if base is None or "Parameter" not in base.name or not isinstance(item, Tensor) or item.parameter:
        return item
    return Tensor(NO_NODE, item.shape, item.dtype, parameter=True, leaf=True, made=item.made or base.made)


def _container(receiver: Module) -> Layer:
    base = receiver.base if isinstance(receiver, Instance) else receiver
    assert base is not None
    return base


def _c_append(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    _append(run, receiver, args.positional[:1])
    return receiver


def _c_extend(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    items, exact = run.iterate(args.positional[0], at) if args.positional else ([], False)
    _append(run, receiver, items)
    if not exact:
        run.write(_container(receiver), "known", False)
    return receiver


def _c_insert(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    position = run.constant(args.positional[0]) if args.positional else None
    parts = [value for name, value in receiver.attributes.items() if name.isdigit()]
    if type(position) is not int or len(args.positional) < 2:
        run.write(_container(receiver), "known", False)
        position = len(parts)
    parts.insert(position, args.positional[-1])
    for number, part in enumerate(parts):
        run.write(receiver.attributes, str(number), part)
    return NONE


def _c_pop(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    names = list(receiver.attributes)
    key = run.constant(args.positional[0]) if args.positional else -1
    if type(key) is int and names and -len(names) <= key < len(names):
        key = names[key]
    if key not in receiver.attributes:
        return run.opaque("a part whose name is not known", (receiver,), at)
    part = receiver.attributes[key]
    run.write(receiver.attributes, key, ABSENT)
    return part


def _c_update(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    pairs = _pairs(args.positional[0]) if args.positional else []
    if pairs is None:
        items, _ = run.iterate(args.positional[0], at)
        pairs = _named(run, receiver, items)
    _update(run, receiver, pairs)
    return NONE


def _c_keys(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    return Sequence([Constant(name) for name in receiver.attributes], "list", _container(receiver).known)


def _c_values(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    return Sequence(list(receiver.attributes.values()), "list", _container(receiver).known)


def _c_items(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    pairs = [Sequence([Constant(name), part], "tuple") for name, part in receiver.attributes.items()]
    return Sequence(list(pairs), "list", _container(receiver).known)


def _c_len(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    return Constant(len(receiver.attributes)) if _container(receiver).known else Symbol("int")


def _c_get(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    key = run.constant(args.positional[0]) if args.positional else None
    if isinstance(key, str) and (key in receiver.attributes or _container(receiver).known):
        return receiver.attributes.get(key, args.positional[1] if len(args.positional) > 1 else NONE)
    return run.opaque("a part whose name is not known", (receiver,), at)


def _c_clear(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    for name in list(receiver.attributes):
        run.write(receiver.attributes, name, ABSENT)
    return NONE


CONTAINER_METHODS: dict[str, Handler] = {
    "append": _c_append,
    "extend": _c_extend,
    "insert": _c_insert,
    "pop": _c_pop,
    "update": _c_update,
    "keys": _c_keys,
    "values": _c_values,
    "items": _c_items,
    "get": _c_get,
    "clear": _c_clear,
    "__len__": _c_len,
}
