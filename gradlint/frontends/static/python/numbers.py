"""Functions on numbers and text: computed on constants, the vocabulary's where a tensor is among the arguments."""

from __future__ import annotations

import ast
import builtins
import cmath
import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static import vocabulary
from gradlint.frontends.static.language import operators
from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.language.conditions import note_test
from gradlint.frontends.static.values import (
    Arguments,
    Choice,
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

Handler = Callable[["Run", Arguments, ast.AST], Value | None]
CONVERSIONS = {"int": "int", "float": "float", "str": "str", "bool": "bool", "complex": "complex", "ord": "int"}
CONVERSIONS |= {"chr": "str", "hash": "int", "id": "int", "hex": "str", "bin": "str", "ascii": "str", "bytes": ""}
ARITHMETIC = ("abs", "round", "pow", "divmod")
LARGEST = 10_000


def _calculated(full: str, function: Callable[..., Any], kind: str) -> Handler:
    """A function that is computed on constants and otherwise gives a number of a kind."""

    def handler(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
        given = [run.settled(value) for value in arguments.positional]
        if function is bool and given and run.truth(given[0]) is None:
            note_test(run, given[0], at)
        if any(isinstance(value, (Tensor, Unknown)) and run.nodes_in((value,)) for value in given):
            return vocabulary.call_external(run, full, Arguments(tuple(given), arguments.named), at)
        if len(given) == 1 and isinstance(given[0], Choice):
            options = given[0].options
            return run.join([handler(run, Arguments((option,)), at) or Symbol(kind) for option in options])
        return _of_constants(run, function, given, arguments.named, kind, at)

    return handler


def _of_constants(
    run: Run, function: Callable[..., Any], given: list[Value], named: dict[str, Value], kind: str, at: ast.AST
) -> Value:
    if function is bool and given:
        answer = run.truth(given[0])
        return Symbol("bool") if answer is None else Constant(answer)
    missing = object()
    known = [run.constant(value, missing) for value in given]
    options = {name: run.constant(value, missing) for name, value in named.items()}
    plain = not any(v is missing for v in (*known, *options.values())) and not (function is str and _is_object(given))
    if plain and all(not isinstance(v, (int, float)) or abs(v) <= LARGEST or function is not pow for v in known):
        try:
            found = function(*known, **options)
        except Exception:
            return Symbol(kind)
        return Sequence([Constant(item) for item in found], "tuple") if isinstance(found, tuple) else Constant(found)
    return Symbol(kind)


def _is_object(given: list[Value]) -> bool:
    return any(isinstance(value, (Instance, Layer, Mapping)) for value in given)


def _sum(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if not arguments.positional:
        return None
    items, exact = run.iterate(arguments.positional[0], at)
    start = arguments.positional[1] if len(arguments.positional) > 1 else arguments.named.get("start", Constant(0))
    total: Value = start
    for item in items:
        total = operators.apply(run, "add", operator.add, total, item, at)
    if exact or isinstance(total, (Tensor, Unknown)):
        return total
    return Symbol()


def _extreme(name: str, function: Callable[..., Any]) -> Handler:
    def handler(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
        items, exact = list(arguments.positional), arguments.exact
        if len(items) == 1:
            items, exact = run.iterate(items[0], at)
        items = [run.settled(item) for item in items]
        if any(isinstance(item, Tensor) for item in items):
            return _least_tensor(run, items)
        known = [run.constant(item) for item in items]
        if exact and None not in known and "key" not in arguments.named and known:
            try:
                return Constant(function(known))
            except TypeError:
                return Symbol()
        return run.join(items) if "key" in arguments.named and items else Symbol()

    return handler


def _least_tensor(run: Run, items: list[Value]) -> Value:
    """One of several tensors: which of them is Python's to decide, by their values."""
    return run.join([item for item in items if isinstance(item, (Tensor, Unknown))])


def _len(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    value = arguments.positional[0] if arguments.positional else Constant(None)
    match value:
        case Sequence(exact=True, items=items):
            return Constant(len(items))
        case Mapping(exact=True, items=entries):
            return Constant(len(entries))
        case Constant(value=str() | bytes() | range() as known):
            return Constant(len(known))
        case Tensor(shape=shape):
            return Constant(shape[0]) if shape and shape[0] is not None else Symbol("int")
        case Instance() if (found := in_class(value.cls, "__len__")) is not None:
            return run.call(bind(run, found, value, at), Arguments(), at)
        case Layer() | Instance():
            items, exact = run.iterate(value, at)
            return Constant(len(items)) if exact else Symbol("int")
        case Choice(options=options):
            return run.join([_len(run, Arguments((option,)), at) or Symbol("int") for option in options])
    return Symbol("int")


def _arithmetic(name: str) -> Handler:
    plain = _calculated(f"builtins.{name}", getattr(builtins, name), "")

    def handler(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
        first = run.settled(arguments.positional[0]) if arguments.positional else Constant(None)
        if isinstance(first, Tensor):
            rest = Arguments(arguments.positional[1:], arguments.named)
            return vocabulary.call_method(run, first, name, rest, at)
        return plain(run, arguments, at)

    return handler


def _math(name: str) -> Handler:
    kind = "int" if name in ("ceil", "floor", "gcd", "comb", "factorial", "prod") else "float"
    return _calculated(f"math.{name}", getattr(math, name), kind)


FUNCTIONS: dict[str, Handler] = {
    **{f"builtins.{n}": _calculated(f"builtins.{n}", getattr(builtins, n), kind) for n, kind in CONVERSIONS.items()},
    **{f"builtins.{name}": _arithmetic(name) for name in ARITHMETIC},
    **{f"math.{name}": _math(name) for name in dir(math) if callable(getattr(math, name)) and name[0] != "_"},
    **{f"cmath.{name}": _calculated(f"cmath.{name}", getattr(cmath, name), "complex") for name in ("sqrt", "exp")},
    "builtins.sum": _sum,
    "builtins.min": _extreme("min", min),
    "builtins.max": _extreme("max", max),
    "builtins.len": _len,
}
"""What a call gives, by the function's full name."""
