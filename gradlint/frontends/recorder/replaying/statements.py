"""Which names a statement reads, binds and changes."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SUITES = ("body", "orelse", "handlers", "finalbody", "cases")
ITERATOR_TOOLS = frozenset(
    {"enumerate", "zip", "list", "tuple", "reversed", "sorted", "filter", "map", "chain", "iter"}
)


Node = TypeVar("Node", bound=ast.AST)


def rebuilt(old: Node, **fields: Any) -> Node:
    """A copy of a node, at its place, with other fields."""
    new = copy.copy(old)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def children(statement: ast.AST) -> Iterator[ast.stmt]:
    """The statements directly inside a compound statement (those of its handlers and cases too)."""
    for suite in SUITES:
        for inner in getattr(statement, suite, ()):
            if isinstance(inner, ast.stmt):
                yield inner
            elif isinstance(inner, (ast.ExceptHandler, ast.match_case)):
                yield from inner.body


def header(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions that belong to a statement itself, not to the statements inside it."""
    for field, value in ast.iter_fields(statement):
        if field == "cases":
            yield from (part for case in value for part in (case.pattern, case.guard) if part is not None)
        elif field == "handlers":
            yield from (handler.type for handler in value if handler.type is not None)
        elif field not in SUITES:
            yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, ast.AST))


def within(statement: ast.stmt) -> Iterator[ast.AST]:
    """Every node of a statement's own expressions."""
    for expression in header(statement):
        yield from ast.walk(expression)


def calls(statement: ast.stmt) -> Iterator[ast.Call]:
    """The calls in a statement's own expressions."""
    return (node for node in within(statement) if isinstance(node, ast.Call))


def names_read(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that are loaded among `nodes`."""
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def loads(statement: ast.stmt) -> set[str]:
    """The names that a statement reads (all of it, when it is a definition)."""
    whole = isinstance(statement, (*FUNCTIONS, ast.ClassDef))
    augmented = isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name)
    return names_read(ast.walk(statement) if whole else within(statement)) | (binds(statement) if augmented else set())


def binds(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return {node.id for node in within(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def changes(statement: ast.stmt) -> set[str]:
    """The root names of the attributes and items that a statement assigns."""
    stores = (node for node in within(statement) if isinstance(node, (ast.Attribute, ast.Subscript)))
    return {name for node in stores if isinstance(node.ctx, ast.Store) and (name := root(node))}


def root(expression: ast.AST) -> str:
    """`model` of `model.encoder.parameters()[0]`; empty when the chain does not start at a name."""
    while True:
        match expression:
            case ast.Name(id=name):
                return name
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner):
                expression = inner
            case ast.Call(func=ast.Attribute(value=inner)):
                expression = inner
            case _:
                return ""


def roots(expression: ast.AST) -> set[str]:
    """The names that an iterable goes through: `model` of `enumerate(model.modules())`."""
    match expression:
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in ITERATOR_TOOLS:
            return {name for argument in arguments for name in roots(argument)}
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
            return {name for item in items for name in roots(item)}
        case ast.BinOp(left=left, right=right):
            return roots(left) | roots(right)
    name = root(expression)
    return {name} if name else set()


def dotted(expression: ast.AST) -> str:
    """`torch.nn.init.zeros_` as written; calls and subscripts in the chain are looked through."""
    match expression:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=inner, attr=attribute):
            return f"{dotted(inner)}.{attribute}".lstrip(".")
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return dotted(inner)
    return ""


def last(expression: ast.AST) -> str:
    """The last part of a callee: `step` of `optimizer.step`."""
    match expression:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def walk_statements(
    body: list[ast.stmt], opened: Callable[[ast.stmt], bool], above: tuple[ast.stmt, ...] = ()
) -> Iterator[tuple[ast.stmt, tuple[ast.stmt, ...]]]:
    """Every statement below `body` with the compound statements around it, outermost first, through the opened ones."""
    for statement in body:
        yield statement, above
        if opened(statement):
            yield from walk_statements(list(children(statement)), opened, (*above, statement))
