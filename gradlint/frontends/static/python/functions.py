"""Python's own functions and the parts of its standard library that programs build models with."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gradlint.frontends.static.language.attributes import callee, in_class
from gradlint.frontends.static.python import numbers as python_numbers
from gradlint.frontends.static.python import objects, patterns, surroundings
from gradlint.frontends.static.python import sequences as python_sequences
from gradlint.frontends.static.python.instances import CALLABLES, is_instance
from gradlint.frontends.static.record.tensors_inside import is_module, is_module_class
from gradlint.frontends.static.torch import hub_classes
from gradlint.frontends.static.torch.module_names import OF_EVERY_MODULE, may_have
from gradlint.frontends.static.values import (
    Arguments,
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
    Partial,
    Property,
    Sequence,
    Super,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

NONE = Constant(None)
Handler = Callable[["Run", Arguments, ast.AST], Value | None]


def _getattr(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if len(arguments.positional) < 2:
        return None
    value, name = arguments.positional[0], run.constant(arguments.positional[1])
    if not isinstance(name, str):
        return _any_attribute(run, value, arguments.positional[1], at)
    if len(arguments.positional) > 2:
        answer = has_attribute(value, name)
        if answer is False:
            return arguments.positional[2]
        found = run.get(value, name, at)
        return found if answer else run.join((found, arguments.positional[2]))
    found = run.get(value, name, at)
    return callee(run, value, name, at) if isinstance(found, Unknown) and not isinstance(value, Unknown) else found


def _any_attribute(run: Run, value: Value, name: Value, at: ast.AST) -> Value:
    """An attribute whose name is not known: of few, any of them; else whatever the object holds."""
    if isinstance(name, Choice):
        names = [run.constant(option) for option in name.options]
        return run.join([run.get(value, n, at) for n in names if isinstance(n, str)])
    return run.opaque("an attribute whose name is not known", (value,), at)


def has_attribute(value: Value, name: str) -> bool | None:
    """Whether a value has an attribute; None where that is not known."""
    if isinstance(value, Instance):
        if name in value.attributes or in_class(value.cls, name) is not None:
            return True
        if (usual := hub_classes.has(value, name)) is not None:
            return usual
        own = all(isinstance(base, Class) or base_is_plain(base) for base in value.cls.order)
        return (name in OF_EVERY_MODULE if is_module_class(value.cls) else False) if own else None
    if isinstance(value, Class):
        return in_class(value, name) is not None or None
    if isinstance(value, Constant):
        return hasattr(value.value, name)
    if isinstance(value, Layer):
        return _of_layer(value, name)
    if isinstance(value, External):
        return surroundings.has_name(value.name, name)
    if isinstance(value, Foreign) and name in value.state:
        return True
    if isinstance(value, Foreign) and value.name == objects.NAMESPACE:
        return None
    if isinstance(value, (Sequence, Mapping)):
        return hasattr(dict if isinstance(value, Mapping) else list, name)
    return None


def _of_layer(value: Layer, name: str) -> bool | None:
    if name in value.attributes or name in value.arguments or name in OF_EVERY_MODULE:
        return True
    listed = value.known and value.name.startswith("torch.nn.")
    return False if listed and not may_have(name) else None


def base_is_plain(base: Value) -> bool:
    """Whether a library's base class brings only what every module has."""
    return isinstance(base, External) and base.name in (
        "torch.nn.Module",
        "builtins.object",
        "abc.ABC",
        "torch.nn.modules.Module",
    )


def _hasattr(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if len(arguments.positional) != 2:
        return None
    name = run.constant(arguments.positional[1])
    value = arguments.positional[0]
    options = value.options if isinstance(value, Choice) else (value,)
    answers = {has_attribute(option, name) if isinstance(name, str) else None for option in options}
    answer = answers.pop() if len(answers) == 1 else None
    return Symbol("bool") if answer is None else Constant(answer)


def _setattr(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if len(arguments.positional) != 3:
        return None
    value, name, content = arguments.positional
    known = run.constant(name)
    run.set(value, known if isinstance(known, str) else f"<{len(run.gaps)}>", content, at)
    if not isinstance(known, str):
        run.gap(at, "an attribute whose name is not known is set")
    return NONE


def _isinstance(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if len(arguments.positional) != 2:
        return None
    answer = is_instance(run, arguments.positional[0], arguments.positional[1])
    return Symbol("bool") if answer is None else Constant(answer)


def _issubclass(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    match arguments.positional:
        case (Class(order=order), Class() as wanted):
            return Constant(wanted in order)
        case (Class() as cls, External(name="torch.nn.Module")):
            return Constant(is_module_class(cls))
        case (External() as one, External() as other):
            return Constant(True) if one.name == other.name or other.name == "torch.nn.Module" else Symbol("bool")
    return Symbol("bool")


def _callable(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    value = arguments.positional[0] if arguments.positional else NONE
    if isinstance(value, CALLABLES):
        return Constant(True)
    if isinstance(value, Instance):
        return Constant(is_module(value) or in_class(value.cls, "__call__") is not None)
    return Constant(False) if isinstance(value, (Constant, Tensor, Sequence, Mapping)) else Symbol("bool")


def _type(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    match arguments.positional:
        case (Instance(cls=cls),):
            return cls
        case (Layer(name=name),):
            return External(name)
        case (Tensor(),):
            return External("torch.Tensor")
        case (Constant(value=known),):
            return External(f"builtins.{type(known).__name__}")
        case (Sequence(kind=kind),):
            return External(f"builtins.{kind}")
        case (Mapping(),):
            return External("builtins.dict")
    return Unknown("a type")


def _vars(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    value = arguments.positional[0] if arguments.positional else None
    if isinstance(value, Foreign):
        return Mapping(dict(value.state), exact=False)
    return Mapping(value.attributes) if isinstance(value, Instance) else None


def _globals(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    module = run.activation.module
    found = {name: operators_name(run, name) for name in module.bindings}
    return Mapping({name: value for name, value in found.items() if value is not None}, exact=False)


def operators_name(run: Run, name: str) -> Value | None:
    """A name of the running module."""
    from gradlint.frontends.static import modules_of_project

    return modules_of_project.name(run, run.activation.module, name)


def _partial(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if not arguments.positional:
        return None
    return Partial(arguments.positional[0], arguments.positional[1:], dict(arguments.named))


def _pass_first(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return arguments.positional[0] if arguments.positional else None


def _decorator(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    """A decorator, or the call that makes one, that leaves a function as it is."""
    first = arguments.positional[0] if arguments.positional else None
    return first if isinstance(first, (Function, Bound)) else External("gradlint.same")


def _nothing(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return NONE


def _ends(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    from gradlint.frontends.static.run import RaisedError

    raise RaisedError


def _super(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    match arguments.positional:
        case (Class() as cls, receiver):
            return Super(receiver, cls)
    return Unknown("super() outside of a method")


def _property(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    given = arguments.positional
    return Property(given[0], given[1] if len(given) > 1 else None) if given else None


def _binding(kind: str, arguments: Arguments) -> Value | None:
    """`staticmethod(f)`, `classmethod(f)`: what a library made binds to nothing anyway."""
    given = arguments.positional[0] if arguments.positional else None
    return replace(given, binding=kind) if isinstance(given, Function) else given


def foreign_method(run: Run, receiver: Foreign, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """A method of an object of the standard library."""
    found = patterns.method(run, receiver, name, arguments, at)
    return found if found is not None else objects.method(run, receiver, name, arguments, at)


def _format(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return Symbol("str")


FUNCTIONS: dict[str, Handler] = {
    "builtins.getattr": _getattr,
    "builtins.hasattr": _hasattr,
    "builtins.setattr": _setattr,
    "builtins.isinstance": _isinstance,
    "builtins.issubclass": _issubclass,
    "builtins.callable": _callable,
    "builtins.type": _type,
    "builtins.vars": _vars,
    "builtins.globals": _globals,
    "builtins.super": _super,
    "builtins.property": _property,
    "builtins.staticmethod": lambda run, arguments, at: _binding("static", arguments),
    "builtins.classmethod": lambda run, arguments, at: _binding("class", arguments),
    "builtins.print": _nothing,
    "builtins.exit": _ends,
    "builtins.quit": _ends,
    "sys.exit": _ends,
    "os._exit": _ends,
    "builtins.repr": _format,
    "builtins.format": _format,
    "builtins.input": _format,
    "functools.partial": _partial,
    "functools.partialmethod": _partial,
    "functools.wraps": _decorator,
    "functools.lru_cache": _decorator,
    "functools.cache": _decorator,
    "gradlint.same": _pass_first,
    "gradlint.intended": _pass_first,
    "typing.cast": lambda run, arguments, at: arguments.positional[-1] if arguments.positional else None,
    "builtins.iter": _pass_first,
    "builtins.object": lambda run, arguments, at: Foreign("builtins.object"),
    **python_numbers.FUNCTIONS,
    **python_sequences.FUNCTIONS,
    **objects.FUNCTIONS,
    **surroundings.FUNCTIONS,
    **patterns.FUNCTIONS,
}
"""What a call of a function of Python's own gives, by its full name; None where it is not known."""
