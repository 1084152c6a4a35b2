"""The values of expressions, by the type of their syntax node."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static import graph_breaks, modules_of_project
from gradlint.frontends.static.language import comprehensions, conditions, functions, operators, subscripts
from gradlint.frontends.static.language.attributes import callee
from gradlint.frontends.static.python import keys
from gradlint.frontends.static.values import (
    Arguments,
    Class,
    Constant,
    External,
    Mapping,
    Sequence,
    Super,
    Symbol,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.project import ModuleSource
    from gradlint.frontends.static.run import Run


def _constant(run: Run, at: ast.Constant) -> Value:
    return Constant(at.value)


def _name(run: Run, at: ast.Name) -> Value:
    return lookup(run, at.id)


def lookup(run: Run, name: str) -> Value:
    """The value of a name in the running activation."""
    scope = run.activation.scope
    while scope is not None:
        if name in scope.names:
            return scope.names[name]
        if scope.outer is None:
            break
        scope = scope.outer
    return of_module(run, scope.module, name)


def of_module(run: Run, module: ModuleSource, name: str) -> Value:
    """A module's name, else a builtin."""
    found = modules_of_project.name(run, module, name)
    if found is not None:
        return found
    if name in modules_of_project.BUILTINS:
        return External(f"builtins.{name}")
    return Unknown(f"the name {name!r} is not defined")


def _attribute(run: Run, at: ast.Attribute) -> Value:
    return run.get(run.evaluate(at.value), at.attr, at)


def _call(run: Run, at: ast.Call) -> Value:
    func = at.func
    if isinstance(func, ast.Attribute):
        function = callee(run, run.evaluate(func.value), func.attr, func)
    elif isinstance(func, ast.Name) and func.id == "super":
        return _super(run, at)
    else:
        function = run.evaluate(func)
    return run.call(function, arguments(run, at), at)


def arguments(run: Run, at: ast.Call) -> Arguments:
    """The evaluated arguments of a call, stars unpacked where they are known."""
    positional: list[Value] = []
    named: dict[str, Value] = {}
    exact = True
    for item in at.args:
        if isinstance(item, ast.Starred):
            items, whole = run.iterate(run.evaluate(item.value), item)
            positional.extend(items)
            exact = exact and whole
        else:
            positional.append(run.evaluate(item))
    for keyword in at.keywords:
        value = run.evaluate(keyword.value)
        if keyword.arg is not None:
            named[keyword.arg] = value
        else:
            exact = _unpack(value, named) and exact
    return Arguments(tuple(positional), named, exact)


def _unpack(value: Value, named: dict[str, Value]) -> bool:
    """Adds the entries of `**value`; whether these are all."""
    if not isinstance(value, Mapping):
        return False
    named.update((key, entry) for key, entry in value.items.items() if isinstance(key, str))
    return value.exact


def _super(run: Run, at: ast.Call) -> Value:
    given = [run.evaluate(item) for item in at.args]
    activation = run.activation
    while activation.owner is None and activation.scope.outer is not None and activation.outer is not None:
        activation = activation.outer
    if len(given) == 2:
        cls, receiver = given
    else:
        cls, receiver = activation.owner, activation.receiver  # type: ignore[assignment]

    if isinstance(cls, Class) and receiver is not None:
        return Super(receiver, cls)
    return Unknown("super() outside of a method")


def _sequence(kind: str) -> Callable[[Run, Any], Value]:
    def evaluate(run: Run, at: ast.List | ast.Tuple | ast.Set) -> Value:
        items: list[Value] = []
        exact = True
        for item in at.elts:
            if isinstance(item, ast.Starred):
                inner, whole = run.iterate(run.evaluate(item.value), item)
                items.extend(inner)
                exact = exact and whole
            else:
                items.append(run.evaluate(item))
        return Sequence(items, kind, exact, run.frame(at) if kind != "tuple" else None)

    return evaluate


def _dict(run: Run, at: ast.Dict) -> Value:
    found = Mapping(made=run.frame(at))
    for key, value in zip(at.keys, at.values, strict=True):
        content = run.evaluate(value)
        if key is None:
            found.exact = isinstance(content, Mapping) and content.exact and found.exact
            found.items.update(content.items if isinstance(content, Mapping) else {})
        else:
            keys.put(found, run.evaluate(key), content)
    return found


def _starred(run: Run, at: ast.Starred) -> Value:
    return run.evaluate(at.value)


def _text(run: Run, at: ast.JoinedStr) -> Value:
    parts = [run.evaluate(part) for part in at.values]
    if all(isinstance(part, Constant) for part in parts):
        return Constant("".join(str(part.value) for part in parts if isinstance(part, Constant)))
    return graph_breaks.text(parts)


def _formatted(run: Run, at: ast.FormattedValue) -> Value:
    value = run.evaluate(at.value)
    if not isinstance(value, Constant) or isinstance(value.value, bytes):
        return graph_breaks.text((value,))
    spec = run.evaluate(at.format_spec) if at.format_spec else Constant("")
    text = repr(value.value) if at.conversion == ord("r") else value.value
    try:
        return Constant(format(text, spec.value)) if isinstance(spec, Constant) else Symbol("str")
    except (ValueError, TypeError):
        return Symbol("str")


def _named(run: Run, at: ast.NamedExpr) -> Value:
    value = run.evaluate(at.value)
    run.write(_named_scope(run), at.target.id, value)
    return value


def _named_scope(run: Run) -> dict[str, Value]:
    return run.activation.scope.names


def _awaited(run: Run, at: ast.Await) -> Value:
    return run.evaluate(at.value)


def _yield(run: Run, at: ast.Yield) -> Value:
    value = run.evaluate(at.value) if at.value else Constant(None)
    activation = run.activation
    if activation.yielded is not None:
        activation.yielded.append(value)
        activation.exact = activation.exact and not run.conditions and all(loop.exact for loop in run.loops)
    if activation.on_yield is not None:
        activation.on_yield(value)
    return Unknown("what is sent into a generator")


def _yield_from(run: Run, at: ast.YieldFrom) -> Value:
    items, exact = run.iterate(run.evaluate(at.value), at)
    activation = run.activation
    if activation.yielded is not None:
        activation.yielded.extend(items)
        activation.exact = activation.exact and exact and not run.conditions
    return Constant(None)


def _slice(run: Run, at: ast.Slice) -> Value:
    return subscripts.slice_of(
        *(run.evaluate(part) if part else Constant(None) for part in (at.lower, at.upper, at.step))
    )


HANDLERS: dict[type, Callable[[Run, Any], Value]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Tuple: _sequence("tuple"),
    ast.List: _sequence("list"),
    ast.Set: _sequence("set"),
    ast.Dict: _dict,
    ast.Starred: _starred,
    ast.JoinedStr: _text,
    ast.FormattedValue: _formatted,
    ast.NamedExpr: _named,
    ast.Await: _awaited,
    ast.Yield: _yield,
    ast.YieldFrom: _yield_from,
    ast.Slice: _slice,
    ast.Lambda: functions.lambda_of,
    ast.Subscript: subscripts.evaluate,
    ast.BinOp: operators.binary,
    ast.UnaryOp: operators.unary,
    ast.BoolOp: conditions.boolean,
    ast.Compare: operators.comparison,
    ast.IfExp: conditions.choice,
    ast.ListComp: comprehensions.listing("list"),
    ast.SetComp: comprehensions.listing("set"),
    ast.GeneratorExp: comprehensions.listing("generator"),
    ast.DictComp: comprehensions.mapping,
}
"""Evaluates each kind of expression."""
