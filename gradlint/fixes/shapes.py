"""Whether an expression holds together in the place of another one, or needs parentheses there."""

from __future__ import annotations

import ast

_WHOLE = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Call,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)
"""Expressions that bind as tightly as a name does."""

_OPEN = (ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.Starred)
"""Expressions that need parentheses also where a comma or a bracket ends them."""

_ENDED = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr)
"""Statements whose value ends where the statement does."""


def binds(node: ast.expr, text: str) -> bool:
    """Whether a suffix such as `.item()` behind an expression, written as `text`, belongs to all of it."""
    match node:
        case ast.Tuple():
            return _is_one_bracket(text)
        case ast.Constant(value=value):
            return not isinstance(value, int | float | complex | str | bytes) or isinstance(value, bool)
    return isinstance(node, _WHOLE)


def stands(text: str, parent: ast.AST | None) -> bool:
    """Whether an expression needs no parentheses below a parent; raises `SyntaxError` when it is none."""
    node = ast.parse(f"({text}\n)", mode="eval").body
    if isinstance(node, _OPEN) or (isinstance(node, ast.Tuple) and not binds(node, text)):
        return False
    if isinstance(parent, ast.Call | ast.keyword | ast.List | ast.Set | ast.Dict):
        return True
    if _parsed(text) is None:
        return False
    return isinstance(parent, _ENDED) or binds(node, text)


def _parsed(text: str) -> ast.expr | None:
    """The expression that a text is by itself; None when only brackets around it hold its lines together."""
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def _is_one_bracket(text: str) -> bool:
    """Whether the first parenthesis of a tuple is closed by its last character: not so in `(a), (b)`."""
    return text[:1] == "(" and _parsed(f"[{text[1:-1]}\n]") is not None
