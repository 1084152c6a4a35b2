"""Multiplications by a zero that the source spells out.

A zero that comes from a setting or a schedule proves nothing about the next step, so only a constant counts.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

MULTIPLICATIONS = frozenset({"mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__"})


def is_by_zero(native: str, literals: Mapping[Any, object]) -> bool:
    """Whether a call of an op multiplies by a number that is zero now."""
    return native in MULTIPLICATIONS and any(type(value) in (int, float) and value == 0 for value in literals.values())


def is_spelt(node: ast.AST) -> bool:
    """Whether an expression is a product (or a call) with a constant 0 as a factor (or as an argument)."""
    match node:
        case ast.BinOp(op=ast.Mult()):
            operands = [node.left, node.right]
        case ast.AugAssign(op=ast.Mult()):
            operands = [node.value]
        case ast.Call():
            operands = node.args
        case _:
            return False
    return any(isinstance(operand, ast.Constant) and operand.value == 0 for operand in operands)
