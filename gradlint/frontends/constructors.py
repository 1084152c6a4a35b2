"""What the source of a constructor shows."""

from __future__ import annotations

import ast


def filled_attributes(method: ast.FunctionDef) -> list[tuple[str, ast.Assign]]:
    """The attributes of `self` that a method fills with the result of a call."""
    return [
        (target.attr, node)
        for node in ast.walk(method)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"
    ]
