"""What an assignment assigns to: names, attributes, items, and unpacked sequences of these."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from gradlint.frontends.static.heap import ABSENT
from gradlint.frontends.static.language import attributes, subscripts
from gradlint.frontends.static.values import Choice, Constant, Scope, Sequence, Tensor, Unknown, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

GLOBAL, NONLOCAL = "<global>", "<nonlocal>"
"""Keys under which a scope keeps the names that it declares as another scope's."""


def assign(run: Run, target: ast.expr, value: Value) -> None:
    """Assigns a value to a target."""
    match target:
        case ast.Name(id=name):
            run.write(holder(run, name), name, value)
        case ast.Attribute(value=owner, attr=name):
            run.set(run.evaluate(owner), name, value, target)
        case ast.Subscript(value=container, slice=key):
            subscripts.assign(run, run.evaluate(container), run.evaluate(key), value, target)
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            _unpack(run, targets, value, target)
        case ast.Starred(value=inner):
            assign(run, inner, value)


def holder(run: Run, name: str) -> dict[str, Value]:
    """The names that an assignment in the running function writes to."""
    scope = run.activation.scope
    declared = run.declared.get(id(scope.names)) if run.declared else None
    if declared is None or name not in declared:
        return scope.names
    return _declared(scope, name, declared[name])


def _declared(scope: Scope, name: str, kind: str) -> dict[str, Value]:
    outer = scope.outer
    while outer is not None and (outer.outer is not None if kind == GLOBAL else name not in outer.names):
        outer = outer.outer
    return (outer or scope).names


def _unpack(run: Run, targets: list[ast.expr], value: Value, at: ast.expr) -> None:
    star = next((i for i, target in enumerate(targets) if isinstance(target, ast.Starred)), None)
    values = items_for(run, value, len(targets), star, at)
    for target, item in zip(targets, values, strict=False):
        assign(run, target, item)


def items_for(run: Run, value: Value, count: int, star: int | None, at: ast.AST) -> list[Value]:
    """The `count` parts that unpacking a value gives; the starred one is a list."""
    value = run.settled(value)
    if isinstance(value, Choice):
        options = [o for o in value.options if not isinstance(o, Constant)] or list(value.options)
        rows = [items_for(run, option, count, star, at) for option in options]
        return [run.join(column) for column in zip(*rows, strict=True)]
    items, exact = run.iterate(value, at)
    if isinstance(value, Tensor) and star is None and len(items) != count and isinstance(items[0], Tensor):
        return [items[0], *(replace(items[0], state=dict(items[0].state)) for _ in range(count - 1))]
    if star is not None:
        return _with_star(run, items, exact, count, star)
    if len(items) >= count:
        return items[:count] if exact or len(items) > 1 else items
    if not exact and items:
        return [*items, *([run.join(items)] * (count - len(items)))]
    node = run.read(value) if isinstance(value, Unknown) else -1
    return [Unknown("it is unpacked from what is not known", node) for _ in range(count)]


def _with_star(run: Run, items: list[Value], exact: bool, count: int, star: int) -> list[Value]:
    behind = count - star - 1
    if not exact or len(items) < count - 1:
        one = run.join(items) if items else Unknown("it is unpacked from what is not known")
        return [Sequence([one], "list", False) if i == star else one for i in range(count)]
    middle = Sequence(items[star : len(items) - behind], "list")
    return [*items[:star], middle, *items[len(items) - behind :]]


def delete(run: Run, target: ast.expr) -> None:
    """`del target`."""
    match target:
        case ast.Name(id=name):
            run.write(holder(run, name), name, ABSENT)
        case ast.Attribute(value=owner, attr=name):
            attributes.delete(run, run.evaluate(owner), name)
        case ast.Subscript(value=container, slice=key):
            subscripts.delete(run, run.evaluate(container), run.evaluate(key))
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            for inner in targets:
                delete(run, inner)
