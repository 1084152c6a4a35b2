"""Operators: Python's own on constants, the vocabulary's on tensors, the project's special methods on its objects."""

from __future__ import annotations

import ast
import itertools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static import graph_breaks, vocabulary
from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.language.conditions import note_test
from gradlint.frontends.static.python import surroundings
from gradlint.frontends.static.values import (
    Arguments,
    Choice,
    Class,
    Constant,
    External,
    Foreign,
    Function,
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

BINARY: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("add", operator.add),
    ast.Sub: ("sub", operator.sub),
    ast.Mult: ("mul", operator.mul),
    ast.Div: ("truediv", operator.truediv),
    ast.FloorDiv: ("floordiv", operator.floordiv),
    ast.Mod: ("mod", operator.mod),
    ast.Pow: ("pow", operator.pow),
    ast.MatMult: ("matmul", operator.matmul),
    ast.BitAnd: ("and", operator.and_),
    ast.BitOr: ("or", operator.or_),
    ast.BitXor: ("xor", operator.xor),
    ast.LShift: ("lshift", operator.lshift),
    ast.RShift: ("rshift", operator.rshift),
}
UNARY: dict[type, tuple[str, Callable[[Any], Any]]] = {
    ast.USub: ("neg", operator.neg),
    ast.UAdd: ("pos", operator.pos),
    ast.Invert: ("invert", operator.invert),
    ast.Not: ("not", operator.not_),
}
COMPARISONS: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("eq", operator.eq),
    ast.NotEq: ("ne", operator.ne),
    ast.Lt: ("lt", operator.lt),
    ast.LtE: ("le", operator.le),
    ast.Gt: ("gt", operator.gt),
    ast.GtE: ("ge", operator.ge),
}
LARGEST = 10_000
"""Magnitude of a power's or shift's operand, and length of a repeated sequence, beyond which nothing is computed."""
REPEATED = 256
"""Items of a repeated list that are told apart."""
COMBINATIONS = 8


def binary(run: Run, at: ast.BinOp) -> Value:
    """`left op right`."""
    name, plain = BINARY[type(at.op)]
    left, right = run.evaluate(at.left), run.evaluate(at.right)
    text = graph_breaks.formatted(run, left, right, at) if isinstance(at.op, ast.Mod) else None
    if text is not None and not isinstance(right, Constant):
        return text
    graph_breaks.read(run, at, left, right)
    return apply(run, name, plain, left, right, at)


def apply(run: Run, name: str, plain: Callable[[Any, Any], Any], left: Value, right: Value, at: ast.AST) -> Value:
    """The result of a binary operator."""
    if isinstance(left, Constant) and isinstance(right, Constant):
        return _computed(plain, left.value, right.value)
    left, right = run.settled(left), run.settled(right)
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        given = vocabulary.operator(run, name, left, right, at)
        return given if given is not None else run.opaque(f"operator {name} is not known", (left, right), at, name)
    if isinstance(left, Choice) or isinstance(right, Choice):
        return _of_choices(run, name, plain, left, right, at)
    if isinstance(left, Instance) or isinstance(right, Instance):
        found = _special(run, name, left, right, at)
        if found is not None:
            return found
    return _of_plain(run, name, left, right, at)


def _computed(plain: Callable[[Any, Any], Any], left: Any, right: Any) -> Value:
    try:
        if plain in (operator.pow, operator.lshift) and (abs(left) > LARGEST or abs(right) > LARGEST):
            return Symbol()
        if plain is operator.mul and isinstance(left, (str, bytes)) and abs(right) * len(left) > LARGEST:
            return Symbol("str")
        return Constant(plain(left, right))
    except Exception:
        return Symbol()


def _of_choices(run: Run, name: str, plain: Callable[[Any, Any], Any], left: Value, right: Value, at: ast.AST) -> Value:
    lefts = left.options if isinstance(left, Choice) else (left,)
    rights = right.options if isinstance(right, Choice) else (right,)
    if len(lefts) * len(rights) > COMBINATIONS:
        return Symbol() if not run.nodes_in((left, right)) else run.opaque("many alternatives", (left, right), at)
    return run.join([apply(run, name, plain, one, two, at) for one, two in itertools.product(lefts, rights)])


def _special(run: Run, name: str, left: Value, right: Value, at: ast.AST) -> Value | None:
    word = {"or": "or", "and": "and"}.get(name, name)
    for receiver, other, method in ((left, right, f"__{word}__"), (right, left, f"__r{word}__")):
        found = in_class(receiver.cls, method) if isinstance(receiver, Instance) else None
        if found is not None:
            return run.call(bind(run, found, receiver, at), Arguments((other,)), at)
    return None


def _of_plain(run: Run, name: str, left: Value, right: Value, at: ast.AST) -> Value:
    match name, left, right:
        case "add", Sequence(), Sequence():
            return Sequence([*left.items, *right.items], left.kind, left.exact and right.exact, left.made)
        case "mul", Sequence(), _:
            return _repeated(left, right)
        case "mul", _, Sequence():
            return _repeated(right, left)
        case "or", Mapping(), Mapping():
            return Mapping({**left.items, **right.items}, left.exact and right.exact)
        case "mod", Constant(value=str()), _:
            return Symbol("str")
        case (("sub" | "and" | "or" | "xor"), Sequence(kind="set"), Sequence()):
            return Sequence([*left.items, *right.items], "set", exact=False)
    if isinstance(left, (Constant, Symbol)) and isinstance(right, (Constant, Symbol)):
        return Symbol(_type(name, left, right))
    given = vocabulary.operator(run, name, left, right, at) if _from_library(left) or _from_library(right) else None
    if given is not None:
        return given
    return run.opaque(f"operator {name} on values that are not known", (left, right), at, name)


def _from_library(value: Value) -> bool:
    return isinstance(value, (Foreign, Unknown)) and not isinstance(value, (Function, Class, External, Layer))


def _repeated(sequence: Sequence, times: Value) -> Value:
    count = times.value if isinstance(times, Constant) else None
    if type(count) is not int:
        return Sequence(list(sequence.items), sequence.kind, exact=False, made=sequence.made)
    whole = count * len(sequence.items) <= REPEATED
    items = sequence.items * (count if whole else 1)
    return Sequence(items, sequence.kind, sequence.exact and whole, sequence.made)


def _type(name: str, left: Value, right: Value) -> str:
    kinds = {_kind(left), _kind(right)}
    if name == "truediv" or "float" in kinds:
        return "float"
    return kinds.pop() if len(kinds) == 1 else ""


def _kind(value: Value) -> str:
    return (
        type(value.value).__name__ if isinstance(value, Constant) else value.type if isinstance(value, Symbol) else ""
    )


def unary(run: Run, at: ast.UnaryOp) -> Value:
    """`op operand`."""
    name, plain = UNARY[type(at.op)]
    value = run.settled(run.evaluate(at.operand))
    if name == "not":
        answer = run.truth(value)
        if answer is None:
            note_test(run, value, at.operand)
        return Symbol("bool") if answer is None else Constant(not answer)
    return _signed(run, name, plain, value, at)


def _signed(run: Run, name: str, plain: Callable[[Any], Any], value: Value, at: ast.AST) -> Value:
    match value:
        case Constant(value=known):
            return _computed(lambda one, _: plain(one), known, None)
        case Symbol():
            return value
        case Choice(options=options):
            return run.join([_signed(run, name, plain, option, at) for option in options])
        case Instance() if (found := in_class(value.cls, f"__{name}__")) is not None:
            return run.call(bind(run, found, value, at), Arguments(), at)
    given = vocabulary.operator(run, name, value, None, at) if isinstance(value, Tensor) else None
    return given if given is not None else run.opaque(f"operator {name} is not known", (value,), at, name)


def comparison(run: Run, at: ast.Compare) -> Value:
    """`a < b < c`: the first comparison that is false, else the last."""
    left = run.evaluate(at.left)
    result: Value = Constant(True)
    for op, item in zip(at.ops, at.comparators, strict=True):
        right = run.evaluate(item)
        result = compare(run, op, left, right, at)
        if run.truth(result) is False:
            return result
        left = right
    return result


def compare(run: Run, op: ast.cmpop, left: Value, right: Value, at: ast.AST) -> Value:
    """One comparison."""
    if isinstance(op, (ast.Is, ast.IsNot)):
        answer = _identical(run, left, right)
        return Symbol("bool") if answer is None else Constant(answer == isinstance(op, ast.Is))
    if isinstance(op, (ast.In, ast.NotIn)):
        answer = _contained(run, left, right)
        if answer is None and isinstance(right, Sequence):
            note_test(run, left, at)
        return Symbol("bool") if answer is None else Constant(answer == isinstance(op, ast.In))
    name, plain = COMPARISONS[type(op)]
    graph_breaks.read(run, at, left, right)
    left, right = run.settled(left), run.settled(right)
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        given = vocabulary.operator(run, name, left, right, at)
        return given if given is not None else Symbol("bool")
    return _compared(run, name, plain, left, right)


def _compared(run: Run, name: str, plain: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    if isinstance(left, Choice):
        return run.join([_compared(run, name, plain, option, right) for option in left.options])
    if isinstance(right, Choice):
        return run.join([_compared(run, name, plain, left, option) for option in right.options])
    missing = object()
    one, two = run.constant(left, missing), run.constant(right, missing)
    if one is not missing and two is not missing:
        return _computed(plain, one, two)
    if name in ("eq", "ne") and (answer := _equal(left, right)) is not None:
        return Constant(answer == (name == "eq"))
    return Symbol("bool")


def _equal(left: Value, right: Value) -> bool | None:
    if left is right and not isinstance(left, (Symbol, Unknown)):
        return True
    if isinstance(left, External) and isinstance(right, External):
        return left.name == right.name
    if isinstance(left, BY_IDENTITY) and isinstance(right, BY_IDENTITY):
        return left is right
    if _definite(left) and _definite(right) and type(left) is not type(right):
        return False
    if isinstance(left, Instance) and isinstance(right, Instance) and left.cls is right.cls:
        return None if "value" not in left.attributes else left is right
    return None


BY_IDENTITY = (Class, Function, External)
"""What is equal to itself alone; of two names of a library the same one is."""


def _definite(value: Value) -> bool:
    return isinstance(value, (Constant, Class, Function, Layer, Sequence, Mapping, Instance))


def _identical(run: Run, left: Value, right: Value) -> bool | None:
    """Whether two values are one object; None where that is not known."""
    if isinstance(left, Choice) or isinstance(right, Choice):
        lefts = left.options if isinstance(left, Choice) else (left,)
        rights = right.options if isinstance(right, Choice) else (right,)
        answers = {_identical(run, one, two) for one in lefts for two in rights}
        return answers.pop() if len(answers) == 1 else None
    if isinstance(left, Constant) and isinstance(right, Constant):
        return type(left.value) is type(right.value) and bool(left.value == right.value)
    if left is right:
        return None if isinstance(left, (Symbol, Unknown)) else True
    if isinstance(left, External) and isinstance(right, External):
        return left.name == right.name
    return None if any(isinstance(value, Unknown) for value in (left, right)) else _differ(left, right)


def _differ(left: Value, right: Value) -> bool | None:
    """Objects of different makings are different; a symbol is never None."""
    for one, two in ((left, right), (right, left)):
        if isinstance(one, Symbol):
            return False if isinstance(two, Constant) and two.value is None and one.type else None
    return False


def _contained(run: Run, item: Value, container: Value) -> bool | None:
    if isinstance(container, Choice):
        answers = {_contained(run, item, option) for option in container.options}
        return answers.pop() if len(answers) == 1 else None
    if isinstance(item, Choice):
        answers = {_contained(run, option, container) for option in item.options}
        return answers.pop() if len(answers) == 1 else None
    if isinstance(container, (Mapping, Layer, Instance)):
        return _is_key(item, container)
    if isinstance(container, Sequence):
        return _is_item(run, item, container)
    if isinstance(container, External):
        return surroundings.contained(run, item, container)
    if isinstance(item, Constant) and isinstance(container, Constant):
        found = _computed(lambda one, two: one in two, item.value, container.value)
        return found.value if isinstance(found, Constant) else None
    return None


def _is_key(item: Value, container: Mapping | Layer | Instance) -> bool | None:
    if not isinstance(item, Constant):
        return None
    if isinstance(container, Mapping):
        known: dict[Any, Value] = container.items
        exact = container.exact
    else:
        base = container.base if isinstance(container, Instance) else container
        if base is None:
            return None
        known, exact = container.attributes, base.known
    try:
        return True if item.value in known else False if exact else None
    except TypeError:
        return None


def _is_item(run: Run, item: Value, container: Sequence) -> bool | None:
    answers = [run.truth(_compared(run, "eq", operator.eq, item, other)) for other in container.items]
    if True in answers:
        return True
    return False if container.exact and None not in answers else None
