"""Objects of the standard library that programs keep their settings in."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static.python import copies
from gradlint.frontends.static.values import (
    Arguments,
    Class,
    Constant,
    External,
    Foreign,
    Instance,
    Mapping,
    OnOff,
    Scope,
    Sequence,
    Symbol,
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
    "copy.copy": copies.shallow,
    "copy.deepcopy": copies.deep,
}
"""What a call gives, by the function's full name."""
