"""Runs functions of the project: their arguments bound, their contexts entered, their ways out joined."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, cast

from gradlint.frontends.static import vocabulary
from gradlint.frontends.static.language.branches import settle
from gradlint.frontends.static.language.node_facts import kept
from gradlint.frontends.static.values import (
    Arguments,
    Choice,
    Constant,
    Function,
    Mapping,
    Scope,
    Sequence,
    Symbol,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.project import ModuleSource
    from gradlint.frontends.static.run import Activation, Run

DEPTH = 40
"""Calls inside of each other that are followed; what lies deeper is unknown."""

RECURSIONS = 16
UNSURE_RECURSIONS = 2
"""How often one function may be inside of itself, and how often under a condition that is not known."""


def _of_library(run: Run, function: Function, at: ast.AST) -> Value:
    """A library's function without arguments gives the same every time: whether something is installed, a default."""
    key = id(function.node)
    if key not in run.answers:
        run.answers[key] = Symbol()
        first = len(run.tape.nodes)
        run.answers[key] = found = call_function(run, function, Arguments((), {}, True), at, on_yield=_ignored)
        if len(run.tape.nodes) > first:
            del run.answers[key]
        return found
    return run.answers[key]


def _ignored(value: Value) -> None:
    """A generator of a library is run to its end."""


def call_function(
    run: Run, function: Function, arguments: Arguments, at: ast.AST, receiver: Value | None = None, on_yield: Any = None
) -> Value:
    """Runs a function of the project; `on_yield` is told of every value that it yields while it runs."""
    from gradlint.frontends.static.run import Activation, RaisedError

    outer = run.activation
    if not (function.scope.module.user or arguments.positional or arguments.named or receiver or on_yield):
        return _of_library(run, function, at)
    if _too_deep(run, function):
        return run.opaque(
            f"{function.name} calls itself too deeply", (receiver, *arguments) if receiver else arguments, at
        )
    if receiver is not None:
        arguments = Arguments((receiver, *arguments.positional), arguments.named, arguments.exact)
    if run.trying and not fits(function, arguments):
        raise RaisedError
    names = bind_arguments(function, arguments)
    owner = function.owner
    name = f"{owner.name}.{function.name}" if owner else function.name
    first = receiver or (arguments.positional[0] if arguments.positional else None)
    scope = Scope(names, function.scope.module, function.scope)
    run.activation = Activation(scope, name, outer, at, first, owner, function.node, outer.depth + 1 if outer else 1)
    run.activation.on_yield = on_yield
    run.ran.add(id(function.node))
    if id(function.node) in run.odd:
        run.doubt()
    try:
        return _in_contexts(run, function)
    finally:
        run.activation = outer


def _too_deep(run: Run, function: Function) -> bool:
    if run.activation.depth < 2:
        return False
    if run.activation.depth >= DEPTH:
        return True
    inside, activation = 0, cast("Activation | None", run.activation)
    while activation is not None:
        inside += activation.node is function.node
        activation = activation.outer
    return inside > (UNSURE_RECURSIONS if run.conditions else RECURSIONS)


def _in_contexts(run: Run, function: Function) -> Value:
    """Runs the body inside of the contexts that decorate the function."""
    if not function.decorators:
        return _body(run, function)
    place = _head(function)
    entered = len(run.grad)
    for context in function.decorators:
        vocabulary.enter(run, context, place)
    try:
        return _body(run, function)
    finally:
        for context in reversed(function.decorators):
            vocabulary.leave(run, context, place)
        del run.grad[entered:]


@kept
def _head_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
    first = min((d for d in node.decorator_list), key=lambda d: d.lineno, default=node)
    end = first.end_col_offset or first.col_offset
    return ast.Pass(lineno=first.lineno, col_offset=first.col_offset - 1, end_lineno=first.lineno, end_col_offset=end)


def _head(function: Function) -> ast.AST:
    """The line of the first decorator, where the recorder sees the grad mode change."""
    return function.node if isinstance(function.node, ast.Lambda) else _head_of(function.node)


def _body(run: Run, function: Function) -> Value:
    node, activation = function.node, run.activation
    if isinstance(node, ast.Lambda):
        return run.evaluate(node.body)
    if yields(node, activation.module):
        activation.yielded = []
    first = len(run.pending)
    fell = _execute(run, node, first)
    if activation.yielded is not None:
        return Sequence(activation.yielded, "generator", activation.exact)
    if fell:
        activation.returned.append(Constant(None))
    return run.join(activation.returned)


def _execute(run: Run, node: ast.FunctionDef | ast.AsyncFunctionDef, first: int) -> bool:
    """Runs the statements; whether the end of the body was reached. Raises `RaisedError` when no way returns."""
    from gradlint.frontends.static.run import RaisedError

    dead = None if _is_enclosing(node, run.activation.module) else run.activation.scope.names
    try:
        signal = run.execute(node.body)
    except RaisedError:
        if not settle(run, first, ("return",), alive=False, dead=dead):
            raise
        return False
    settle(run, first, ("return",), dead=dead)
    return signal is None


@kept
def _is_enclosing(node: ast.FunctionDef | ast.AsyncFunctionDef, module: ModuleSource) -> bool:
    """Whether functions inside of a function may still read its names when it has ended."""
    text = module.text_of(node)
    return "lambda" in text or text.count("def ") > 1


@kept
def yields(node: ast.FunctionDef | ast.AsyncFunctionDef, module: ModuleSource) -> bool:
    """Whether a function is a generator."""
    if "yield" not in module.text_of(node):
        return False
    queue: list[ast.AST] = list(node.body)
    while queue:
        inner = queue.pop()
        if isinstance(inner, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            queue.extend(ast.iter_child_nodes(inner))
    return False


def bind_arguments(function: Function, arguments: Arguments) -> dict[str, Value]:
    """The names of a function's parameters, bound as Python binds them; what is missing is unknown."""
    signature = function.node.args
    places = [*signature.posonlyargs, *signature.args]
    given, named, defaults = arguments.positional, dict(arguments.named), function.defaults
    names: dict[str, Value] = {}
    for index, parameter in enumerate(places):
        name = parameter.arg
        names[name] = given[index] if index < len(given) else _named(name, named, defaults, arguments.exact)
    for parameter in signature.kwonlyargs:
        names[parameter.arg] = _named(parameter.arg, named, defaults, arguments.exact)
    if signature.vararg:
        names[signature.vararg.arg] = Sequence(list(given[len(places) :]), "tuple", arguments.exact)
    if signature.kwarg:
        names[signature.kwarg.arg] = Mapping(dict(named), arguments.exact)
    return names


def fits(function: Function, arguments: Arguments) -> bool:
    """Whether a function takes these arguments, as far as that is known: Python raises `TypeError` otherwise."""
    signature = function.node.args
    plain = [*signature.posonlyargs, *signature.args]
    names = {parameter.arg for parameter in (*plain, *signature.kwonlyargs)}
    foreign = signature.kwarg is None and not arguments.named.keys() <= names
    return not foreign and (signature.vararg is not None or len(arguments.positional) <= len(plain))


def _named(name: str, named: dict[str, Value], defaults: dict[str, Value], exact: bool) -> Value:
    if name in named:
        return named.pop(name)
    if name in defaults:
        return defaults[name] if exact else Choice((defaults[name], Unknown(f"argument {name!r} is not known")))
    return Unknown(f"argument {name!r} is not known")
