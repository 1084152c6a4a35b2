"""Operators on tensors: arithmetic, comparisons, indexing, in-place variants."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.record.emission import begin, overwrite
from gradlint.frontends.static.shapes.of_indexing import index_shape
from gradlint.frontends.static.torch import results as torch_results
from gradlint.frontends.static.values import Arguments, Constant, Sequence, Tensor, Unknown, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

NONE = Constant(None)

BINARY = {
    "add": ("add", "add"),
    "sub": ("sub", "__rsub__"),
    "mul": ("mul", "mul"),
    "truediv": ("div", "__rdiv__"),
    "floordiv": ("__floordiv__", "__rfloordiv__"),
    "mod": ("remainder", "__rmod__"),
    "pow": ("pow", "__rpow__"),
    "matmul": ("matmul", "__rmatmul__"),
    "and": ("__and__", "bitwise_and"),
    "or": ("__or__", "bitwise_or"),
    "xor": ("__xor__", "bitwise_xor"),
    "lshift": ("__lshift__", "__rlshift__"),
    "rshift": ("__rshift__", "__rrshift__"),
    "eq": ("__eq__", "__eq__"),
    "ne": ("ne", "ne"),
    "lt": ("lt", "gt"),
    "le": ("le", "ge"),
    "gt": ("gt", "lt"),
    "ge": ("ge", "le"),
}
"""torch's name of each operator with the tensor on the left, and with it on the right of something that is none."""

IN_PLACE = {
    "iadd": "add_",
    "isub": "sub_",
    "imul": "mul_",
    "itruediv": "div_",
    "ifloordiv": "floor_divide_",
    "imod": "remainder_",
    "ipow": "pow_",
    "iand": "__iand__",
    "ior": "__ior__",
    "ixor": "__ixor__",
    "ilshift": "__ilshift__",
    "irshift": "__irshift__",
}
UNARY = {"neg": "neg", "pos": "positive", "invert": "__invert__", "abs": "abs"}


def operator(run: Run, name: str, left: Value, right: Value | None, at: ast.AST) -> Value | None:
    """The result of an operator with a tensor on at least one side; None for one that is not known."""
    if name == "getitem" and isinstance(left, Tensor):
        return _item(run, left, right or NONE, at)
    if name == "setitem" and isinstance(left, Tensor) and isinstance(right, Sequence):
        return _assign_item(run, left, right, at)
    if name in UNARY:
        return torch_results.op(run, UNARY[name], Arguments((left,)), at)
    if right is None:
        return None
    if name in IN_PLACE:
        return _in_place(run, name, left, right, at)
    return _binary(run, name.removeprefix("i") if name == "imatmul" else name, left, right, at)


def _binary(run: Run, name: str, left: Value, right: Value, at: ast.AST) -> Value | None:
    natives = BINARY.get(name)
    if natives is None:
        return None
    if name in ("eq", "ne") and (_is_none(left) or _is_none(right)):
        return Constant(name == "ne")
    forward = isinstance(left, (Tensor, Unknown))
    native, args = (natives[0], (left, right)) if forward else (natives[1], (right, left))
    return torch_results.op(run, native, Arguments(args), at)


def _is_none(value: Value) -> bool:
    return isinstance(value, Constant) and value.value is None


def _in_place(run: Run, name: str, left: Value, right: Value, at: ast.AST) -> Value | None:
    """`x += y`: into the memory of `x`, where that is a tensor."""
    if isinstance(left, Tensor):
        return torch_results.op(run, IN_PLACE[name], Arguments((left, right)), at)
    return _binary(run, name.removeprefix("i"), left, right, at)


def _item(run: Run, tensor: Tensor, key: Value, at: ast.AST) -> Value:
    args = Arguments((tensor, key))
    made = torch_results.op(run, "__getitem__", args, at)
    if isinstance(made, Tensor):
        made.shape = index_shape(tensor.shape, key)
        run.tape.nodes[made.node].shape = made.shape
    return made or NONE


def _assign_item(run: Run, tensor: Tensor, entry: Sequence, at: ast.AST) -> Value:
    key, content = entry.items
    return overwrite(run, begin(run, "__setitem__", Arguments((tensor, key, content)), at), tensor)
