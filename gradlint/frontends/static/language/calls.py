"""Calls of everything that can be called."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static import graph_breaks, untraceable, vocabulary
from gradlint.frontends.static.language import classes, function_calls, module_calls
from gradlint.frontends.static.language.attributes import in_class
from gradlint.frontends.static.language.branches import alternatives
from gradlint.frontends.static.language.unread_objects import absorb, call_back, part, part_of_symbol
from gradlint.frontends.static.python import container_objects
from gradlint.frontends.static.python import functions as python_functions
from gradlint.frontends.static.python import values as python_values
from gradlint.frontends.static.python.keys import DATA
from gradlint.frontends.static.record.tensors_inside import is_function_class, is_module_class
from gradlint.frontends.static.torch import custom_functions, hub_classes
from gradlint.frontends.static.torch import training as torch_training
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
    Method,
    ModuleValue,
    Partial,
    Sequence,
    Super,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

PURE_LIBRARIES = tuple(
    f"{name}."
    for name in (
        "os sys time json re logging pathlib datetime random warnings shutil subprocess string platform socket pickle"
        " csv uuid signal"
    ).split()
)
"""Modules of the standard library that compute nothing with tensors, unless they are given some."""


def call(run: Run, function: Value, arguments: Arguments, at: ast.AST) -> Value:
    """The result of calling a value."""
    handler = _CALLERS.get(type(function))
    if handler is None:
        return run.opaque("what is called here is not known", (function, *arguments), at)
    result: Value = handler(run, function, arguments, at)
    return result


def _choice(run: Run, function: Choice, arguments: Arguments, at: ast.AST) -> Value:
    """The alternatives of what is called; None is none of them."""
    options = [o for o in function.options if not isinstance(o, (Constant, Symbol))]
    if len(options) == 1:
        return call(run, options[0], arguments, at)
    results: list[Value] = []

    def one(option: Value) -> None:
        results.append(call(run, option, arguments, at))

    if options:
        alternatives(run, [functools.partial(one, option) for option in options])
    return run.join(results) if results else Unknown("none of the alternatives can be called")


def _partial(run: Run, function: Partial, arguments: Arguments, at: ast.AST) -> Value:
    merged = Arguments(
        (*function.positional, *arguments.positional), {**function.named, **arguments.named}, arguments.exact
    )
    return call(run, function.function, merged, at)


def _class(run: Run, function: Class, arguments: Arguments, at: ast.AST) -> Value:
    return classes.instantiate(run, function, arguments, at)


def _instance(run: Run, function: Instance, arguments: Arguments, at: ast.AST) -> Value:
    if is_module_class(function.cls):
        return module_calls.call_instance(run, function, arguments, at)
    own = in_class(function.cls, "__call__")
    if isinstance(own, Function):
        return function_calls.call_function(run, own, arguments, at, function)
    return run.opaque(f"{function.cls.name} has no __call__ that can be read", (function, *arguments), at)


def _layer(run: Run, function: Layer, arguments: Arguments, at: ast.AST) -> Value:
    return module_calls.call_layer(run, function, arguments, at)


def settled(run: Run, arguments: Arguments) -> Arguments:
    """Arguments without choices among tensors."""
    if not any(isinstance(value, Choice) for value in arguments):
        return arguments
    return Arguments(
        tuple(run.settled(value) for value in arguments.positional),
        {name: run.settled(value) for name, value in arguments.named.items()},
        arguments.exact,
    )


def _external(run: Run, function: External, arguments: Arguments, at: ast.AST) -> Value:
    if not untraceable.note(run, function.name, arguments, at):
        graph_breaks.call(run, function.name, arguments, at)
    if (noted := untraceable.made(run, function.name, at)) is not None:
        return noted
    own = python_functions.FUNCTIONS.get(function.name)
    if own is not None:
        found: Value | None = own(run, arguments, at)
        if found is not None:
            return found
    given = vocabulary.call_external(run, function.name, settled(run, arguments), at)
    if given is not None:
        if isinstance(given, Layer):
            classes.register(run, given)
        return given
    if function.name.startswith(PURE_LIBRARIES) and not run.nodes_in(tuple(arguments)):
        return Unknown(f"{function.name} is not evaluated")
    run.doubt()
    call_back(run, tuple(arguments), at)
    return run.opaque(f"{function.name} is not known", (*arguments,), at, function.name)


def _method(run: Run, function: Method, arguments: Arguments, at: ast.AST) -> Value:
    receiver, name = function.receiver, function.name
    graph_breaks.method(run, receiver, name, arguments, at)
    if (text := graph_breaks.written(receiver, name, arguments)) is not None:
        return text
    if isinstance(receiver, Super):
        return classes.call_library_base(run, receiver, name, arguments, at)
    if isinstance(receiver, Class):
        return _class_method(run, receiver, name, arguments, at)
    if isinstance(receiver, Choice):
        return _choice(run, Choice(tuple(Method(o, name) for o in _present(receiver))), arguments, at)
    if isinstance(receiver, (Constant, Sequence, Mapping, Function, ModuleValue, External)):
        return python_values.method(run, receiver, name, arguments, at)
    if isinstance(receiver, Foreign) and (noted := untraceable.method(run, receiver, name, arguments, at)) is not None:
        return noted
    hooked = module_calls.hook(run, receiver, name, arguments)
    given = hooked or vocabulary.call_method(run, receiver, name, settled(run, arguments), at)
    if given is None and isinstance(receiver, Foreign):
        given = python_functions.foreign_method(run, receiver, name, arguments, at)
    if given is not None:
        return given
    return _unknown_method(run, receiver, name, arguments, at)


def _present(choice: Choice) -> tuple[Value, ...]:
    """The options that have attributes."""
    return tuple(o for o in choice.options if not (isinstance(o, Constant) and o.value is None)) or choice.options


def _unknown_method(run: Run, receiver: Value, name: str, arguments: Arguments, at: ast.AST) -> Value:
    if isinstance(receiver, Symbol):
        absorb(run, receiver, tuple(arguments), at)
        return part_of_symbol(run, receiver)
    if isinstance(receiver, Instance) and (special := _delegated(run, receiver, name, arguments, at)) is not None:
        return special
    if isinstance(receiver, Unknown):
        run.doubt()
        absorb(run, receiver, tuple(arguments), at)
        return part(run, receiver, receiver.why, receiver.node, at)
    result = run.opaque(f"method {name!r} is not known", (receiver, *arguments), at, name)
    if isinstance(receiver, Tensor):
        absorb(run, receiver, tuple(arguments), at)
        return part(run, receiver, result.why, result.node, at)
    return result


def _delegated(run: Run, receiver: Instance, name: str, arguments: Arguments, at: ast.AST) -> Value | None:
    """A method that an instance has from the library class that it extends, or from Python."""
    if receiver.base is not None:
        return vocabulary.call_method(run, receiver.base, name, settled(run, arguments), at)
    if (idle := hub_classes.method(run, receiver, name, arguments, at)) is not None:
        return idle
    if DATA in receiver.attributes:
        return container_objects.item_method(run, receiver, name, arguments, at)
    if name in ("__setattr__", "__getattribute__"):
        return python_values.object_method(run, receiver, name, arguments, at)
    return None


def _class_method(run: Run, cls: Class, name: str, arguments: Arguments, at: ast.AST) -> Value:
    if name == "apply" and is_function_class(cls):
        return custom_functions.apply(run, cls, settled(run, arguments), at)
    return classes.class_method(run, cls, name, arguments, at)


def _unknown(run: Run, function: Unknown, arguments: Arguments, at: ast.AST) -> Value:
    torch_training.escaped(run, arguments, at)
    run.doubt()
    call_back(run, tuple(arguments), at)
    result = run.opaque(function.why, (function, *arguments), at)
    if not run.modules:
        torch_training.forwarded(run, function, result, at)
    return result


def _symbol(run: Run, function: Symbol, arguments: Arguments, at: ast.AST) -> Value:
    return Symbol() if not run.nodes_in(tuple(arguments)) else run.opaque("a call of an unknown value", arguments, at)


def _foreign(run: Run, function: Foreign, arguments: Arguments, at: ast.AST) -> Value:
    found = vocabulary.call_method(run, function, "__call__", settled(run, arguments), at)
    if found is None:
        found = python_functions.foreign_method(run, function, "__call__", arguments, at)
    return found if found is not None else run.opaque(f"{function.name} is not known", (function, *arguments), at)


def _function(run: Run, function: Function, arguments: Arguments, at: ast.AST) -> Value:
    return function_calls.call_function(run, function, arguments, at)


def _bound(run: Run, function: Bound, arguments: Arguments, at: ast.AST) -> Value:
    result = function_calls.call_function(run, function.function, arguments, at, function.receiver)
    torch_training.called(run, function.receiver, function.function.name, at)
    return result


def _of_library(handler: Callable[[Run, Any, Arguments, ast.AST], Value]) -> Callable[..., Value]:
    """A handler of a library's functions, which ask for the arguments that those cannot do without."""

    def checked(run: Run, function: Any, arguments: Arguments, at: ast.AST) -> Value:
        try:
            return handler(run, function, arguments, at)
        except IndexError:
            return run.opaque("an argument is missing", (function, *arguments), at)

    return checked


_CALLERS: dict[type, Callable[[Run, Any, Arguments, ast.AST], Value]] = {
    Function: _function,
    Bound: _bound,
    Class: _class,
    Instance: _instance,
    Layer: _layer,
    External: _of_library(_external),
    Method: _of_library(_method),
    Partial: _partial,
    Choice: _choice,
    Unknown: _unknown,
    Symbol: _symbol,
    Foreign: _foreign,
}
