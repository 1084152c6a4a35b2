"""Objects of the standard library that programs keep their settings in, and copies of objects."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Class,
    Constant,
    External,
    Foreign,
    Instance,
    Layer,
    Mapping,
    OnOff,
    Scope,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

Handler = Callable[["Run", Arguments, ast.AST], Value | None]
NONE = Constant(None)
PARSER = "argparse.ArgumentParser"
NAMESPACE = "argparse.Namespace"
FIELD = "dataclasses.field"
OPTIONS = "<options>"
FLAGS = {"store_true": False, "store_false": True}
TYPES = {"builtins.int": int, "builtins.float": float, "builtins.str": str}


def _parser(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return Foreign(PARSER, {}, {OPTIONS: Mapping()})


def _namespace(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return Foreign(NAMESPACE, {}, dict(arguments.named))


def method(run: Run, receiver: Foreign, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """A method of an object of the standard library; None for any other."""
    if receiver.name != PARSER:
        return None
    if name in ("add_argument_group", "add_mutually_exclusive_group"):
        return receiver
    options = receiver.state[OPTIONS]
    if name == "add_argument" and isinstance(options, Mapping):
        _add_option(run, options, arguments)
        return NONE
    if name == "set_defaults" and isinstance(options, Mapping):
        for key, value in arguments.named.items():
            run.write(options.items, key, value)
        return NONE
    if name in ("parse_args", "parse_known_args") and isinstance(options, Mapping):
        made = Foreign(NAMESPACE, {}, {str(key): value for key, value in options.items.items()})
        return made if name == "parse_args" else Sequence([made, Sequence([], "list")], "tuple")
    return Symbol() if not run.nodes_in(tuple(arguments)) else None


def _add_option(run: Run, options: Mapping, arguments: Arguments) -> None:
    names = [text for value in arguments.positional if isinstance(text := run.constant(value), str)]
    if not names:
        return
    long = next((name for name in names if name.startswith("--")), names[0])
    wanted = run.constant(arguments.named.get("dest"), long.lstrip("-").replace("-", "_"))
    run.write(options.items, wanted, _default(run, arguments, required=not names[0].startswith("-")))


def _default(run: Run, arguments: Arguments, required: bool) -> Value:
    kind = arguments.named.get("type")
    plain = kind.name if isinstance(kind, External) else "builtins.str"
    if "default" in arguments.named:
        default = arguments.named["default"]
        convert = TYPES.get(plain)
        if convert and isinstance(default, Constant) and isinstance(default.value, str):
            try:
                return Constant(convert(default.value))
            except ValueError:
                return default
        return default
    action = run.constant(arguments.named.get("action"))
    if action in FLAGS:
        return OnOff(FLAGS[action])
    must = required or run.truth(arguments.named.get("required", Constant(False)))
    return Symbol(plain.rpartition(".")[2]) if must else NONE


def _field(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if "default" in arguments.named:
        return arguments.named["default"]
    if arguments.positional and not isinstance(arguments.positional[0], Constant):
        return None
    if arguments.positional:
        return arguments.positional[0]
    factory = arguments.named.get("default_factory", arguments.named.get("factory"))
    if factory is None:
        return Unknown("a field without a default")
    cls = Class(FIELD, ast.ClassDef(FIELD, [], [], [], []), Scope({}, run.activation.module))
    cls.order = (cls,)
    return Instance(cls, {"default_factory": factory})


def _replace(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    first = arguments.positional[0] if arguments.positional else None
    if not isinstance(first, Instance):
        return None
    return Instance(first.cls, {**first.attributes, **arguments.named}, first.made)


def _asdict(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    first = arguments.positional[0] if arguments.positional else None
    return Mapping(dict(first.attributes)) if isinstance(first, Instance) else None


def _namedtuple(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    """A class whose fields are the names that it is given."""
    if len(arguments.positional) < 2:
        return None
    name, fields = run.constant(arguments.positional[0]), run.constant(arguments.positional[1])
    names = fields.replace(",", " ").split() if isinstance(fields, str) else fields
    if not isinstance(name, str) or not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        return None
    body: list[ast.stmt] = [
        ast.AnnAssign(target=ast.Name(n, ast.Store()), annotation=ast.Constant(None), simple=1) for n in names
    ]
    cls = Class(name, ast.ClassDef(name, [], [], body, []), Scope({}, run.activation.module))
    cls.order = (cls, External("typing.NamedTuple"))
    return cls


def _copy(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return copied(run, arguments.positional[0], {}, deep=False) if arguments.positional else None


def _deepcopy(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
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


def _copy_layer(run: Run, value: Layer, known: dict[int, Value], deep: bool) -> Value:
    made = known[id(value)] = Layer(value.name, value.arguments, {}, value.made, value.known)
    made.attributes.update((key, _inner(run, item, known, deep)) for key, item in value.attributes.items())
    _registered(run, made)
    return made


def _registered(run: Run, made: Instance | Layer) -> None:
    run.built[id(made)] = made
    run.makers[id(made)] = None


def _copy_tensor(run: Run, value: Tensor, known: dict[int, Value], deep: bool) -> Value:
    if not deep:
        return value
    state = {key: kept for key, kept in value.state.items() if isinstance(kept, bool)}
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
    Tensor: _copy_tensor,
}

FUNCTIONS: dict[str, Handler] = {
    PARSER: _parser,
    NAMESPACE: _namespace,
    "types.SimpleNamespace": _namespace,
    "easydict.EasyDict": _namespace,
    FIELD: _field,
    "attr.ib": _field,
    "attrs.field": _field,
    "dataclasses.replace": _replace,
    "dataclasses.asdict": _asdict,
    "collections.namedtuple": _namedtuple,
    "copy.copy": _copy,
    "copy.deepcopy": _deepcopy,
}
"""What a call gives, by the function's full name."""
