"""Facts of a syntax node that are found once and kept with the node, for as long as its tree is."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

Node = TypeVar("Node", bound=ast.AST)
Further = ParamSpec("Further")
Fact = TypeVar("Fact")


def kept(find: Callable[Concatenate[Node, Further], Fact]) -> Callable[Concatenate[Node, Further], Fact]:
    """A function of a node that is asked once; what it is given besides must follow from the node."""
    key = f"_{find.__module__}.{find.__qualname__}"

    @functools.wraps(find)
    def known(node: Node, /, *rest: Further.args, **named: Further.kwargs) -> Fact:
        facts = node.__dict__
        if key not in facts:
            facts[key] = find(node, *rest, **named)
        fact: Fact = facts[key]
        return fact

    return known


@kept
def text_of(node: ast.AST) -> str:
    """An expression as Python would write it."""
    return ast.unparse(node)


@kept
def names_in(node: ast.AST) -> frozenset[str]:
    """The names that an expression mentions."""
    return frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
