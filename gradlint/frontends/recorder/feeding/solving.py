"""Values with which a check of the user's own, that failed, would have passed: found by trying its condition again."""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import math
import types
from collections.abc import Iterator, Mapping
from typing import Any

from gradlint.frontends.recorder.feeding.asserted import is_torch, parsed

MAX_SOLUTIONS = 6
MAX_NUMBER = 130
"""Whole numbers up to this one are tried."""
MAX_LENGTH = 8
MAX_OF_PAIR = 24
"""Values of each of two names that are tried together."""
MAX_INLINED = 4
"""Local variables followed to what they were computed from."""
_FUNCTIONS = frozenset(
    "len all any isinstance min max sum int float str set list tuple range abs hasattr type sorted".split()
)
_METHODS = frozenset("lower upper size dim keys startswith endswith is_integer strip get".split())
_MATHS = frozenset("log2 log sqrt floor ceil prod".split())
_VARIED = (int, float, str, list, tuple, type(None))
Assignment = dict[str, Any]


def solutions(error: BaseException) -> list[Assignment]:
    """Values, by the names of parameters, fields or attributes, that turn the failed check of the innermost frame."""
    found = _innermost(error)
    if found is None:
        return []
    frame, line = found
    tree = parsed(tuple(linecache.getlines(frame.f_code.co_filename)))
    if tree is None:
        return []
    every = (one for condition, truth in _conditions(tree, line) for one in _solved(condition, truth, frame, tree))
    return list(itertools.islice(every, MAX_SOLUTIONS))


def _innermost(error: BaseException) -> tuple[types.FrameType, int] | None:
    trace, found = error.__traceback__, None
    while trace is not None:
        found, trace = (trace.tb_frame, trace.tb_lineno), trace.tb_next
    return None if found is None or is_torch(found[0].f_code.co_filename) else found


def _conditions(tree: ast.Module, line: int) -> Iterator[tuple[ast.expr, bool]]:
    """The conditions around the statement that raised, with the truth that would have avoided it."""
    for node in ast.walk(tree):
        match node:
            case ast.Assert(test=test) if node.lineno <= line <= (node.end_lineno or 0):
                yield test, True
            case ast.If(test=test) if any(_is_at(one, line) for one in node.body):
                yield test, False
            case ast.If(test=test) if any(_is_at(one, line) for one in _last_else(node)):
                yield test, True


def _is_at(node: ast.stmt, line: int) -> bool:
    return isinstance(node, ast.Raise) and node.lineno <= line <= (node.end_lineno or 0)


def _last_else(node: ast.If) -> list[ast.stmt]:
    """What runs when neither the test nor those of the `elif`s after it hold."""
    while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        node = node.orelse[0]
    return node.orelse


def _solved(condition: ast.expr, truth: bool, frame: types.FrameType, tree: ast.Module) -> Iterator[Assignment]:
    expanded = _inlined(condition, frame, tree)
    if not _is_harmless(expanded):
        return
    variables = _variables(expanded, frame)
    constants = [one.value for one in ast.walk(expanded) if isinstance(one, ast.Constant)]
    constants += [item for one in ast.walk(expanded) for item in _items(one, frame)]
    options = {text: list(_candidates(value, constants)) for text, value in variables.items()}
    found = False
    for text, values in options.items():
        for value in values:
            if _holds(expanded, {text: value}, frame) is truth:
                found = True
                yield {_name(text): value}
                break
    for one, other in itertools.combinations(options, 2) if not found else ():
        for pair in itertools.product(options[one][:MAX_OF_PAIR], options[other][:MAX_OF_PAIR]):
            if _holds(expanded, {one: pair[0], other: pair[1]}, frame) is truth:
                yield {_name(one): pair[0], _name(other): pair[1]}
                break


def _inlined(condition: ast.expr, frame: types.FrameType, tree: ast.Module) -> ast.expr:
    """The condition with the local variables exchanged for what they were computed from."""
    code = frame.f_code
    arguments = set(inspect.getargs(code).args)
    function = next(
        (
            one
            for one in ast.walk(tree)
            if isinstance(one, ast.FunctionDef) and one.name == code.co_name and one.lineno >= code.co_firstlineno
        ),
        None,
    )
    made = {
        node.targets[0].id: node.value
        for node in (ast.walk(function) if function else ())
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for _ in range(MAX_INLINED):
        names = {one.id for one in ast.walk(condition) if isinstance(one, ast.Name)} - arguments
        used = {name: made[name] for name in names & set(made) if _is_harmless(made[name])}
        if not used:
            return condition
        condition = _Replaced(used).visit(ast.parse(ast.unparse(condition), mode="eval").body)
        arguments |= set(used)
    return condition


class _Replaced(ast.NodeTransformer):
    """Puts expressions in the place of names, or of longer texts."""

    def __init__(self, by: Mapping[str, ast.expr]) -> None:
        self.by = by

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and (found := self.by.get(ast.unparse(node))):
            return found
        return self.generic_visit(node)


def _is_harmless(node: ast.expr) -> bool:
    """Whether evaluating the expression changes nothing."""
    calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    return all(
        one.id in _FUNCTIONS
        if isinstance(one, ast.Name)
        else isinstance(one, ast.Attribute) and one.attr in _METHODS | _MATHS
        for one in calls
    ) and not any(isinstance(one, (ast.Await, ast.Yield, ast.NamedExpr, ast.Lambda)) for one in ast.walk(node))


def _variables(node: ast.expr, frame: types.FrameType) -> dict[str, Any]:
    """The names, attributes and keyed items in an expression that hold plain values, by their text."""
    found: dict[str, Any] = {}
    stack: list[ast.AST] = [node]
    while stack:
        one = stack.pop()
        if isinstance(one, (ast.Name, ast.Attribute, ast.Subscript)):
            value = _value(one, frame)
            if value is not _Nothing and isinstance(value, _VARIED) and _name(ast.unparse(one)):
                found[ast.unparse(one)] = value
                continue
        stack += [*ast.iter_child_nodes(one)]
    return found


class _Nothing:
    """No value."""


def _value(node: ast.expr, frame: types.FrameType) -> Any:
    if not _is_harmless(node):
        return _Nothing
    try:
        return eval(compile(ast.Expression(node), "<check>", "eval"), frame.f_globals, frame.f_locals)
    except Exception:
        return _Nothing


def _items(node: ast.AST, frame: types.FrameType) -> list[Any]:
    """What a table or a list in the condition holds."""
    value = _value(node, frame) if isinstance(node, (ast.Name, ast.Attribute)) else None
    return list(itertools.islice(value, MAX_NUMBER)) if isinstance(value, (dict, list, tuple, set)) else []


def _candidates(value: Any, constants: list[Any]) -> Iterator[Any]:
    kinds: tuple[type, ...] = (int, str) if value is None else (type(value),)
    if isinstance(value, (list, tuple)):
        kind = type(value)
        yield from (kind((*value, *value[-1:] * size)[:size]) for size in range(1, MAX_LENGTH))
        yield from (kind(range(1, size)) for size in range(2, MAX_LENGTH))
        return
    if isinstance(value, bool):
        yield not value
        return
    yield from (one for one in constants if type(one) in kinds)
    if isinstance(value, (int, float)) or value is None:
        size = int(value) if value is not None and abs(value) < MAX_NUMBER else 0
        yield from sorted((one for one in range(1, MAX_NUMBER) if one != size), key=lambda one: abs(one - size))
    yield None


def _holds(node: ast.expr, values: Assignment, frame: types.FrameType) -> bool | None:
    """The truth of a condition with other values for some of its parts."""
    names = {text: f"_{index}_" for index, text in enumerate(values)}
    changed = _Replaced({text: ast.Name(name, ast.Load()) for text, name in names.items()}).visit(
        ast.parse(ast.unparse(node), mode="eval").body
    )
    local = {**frame.f_locals, **{names[text]: value for text, value in values.items()}}
    try:
        tree = ast.fix_missing_locations(ast.Expression(changed))
        return bool(eval(compile(tree, "<check>", "eval"), {**frame.f_globals, "math": math, **local}))
    except Exception:
        return None


def _name(text: str) -> str:
    """The parameter, field or attribute that an expression reads."""
    match ast.parse(text, mode="eval").body:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str() as name)):
            return name
    return ""
