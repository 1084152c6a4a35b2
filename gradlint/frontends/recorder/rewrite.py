"""Calls that Python itself decides (`float(t)`, `torch.FloatTensor(x)`) are routed past the recorder.

Positions stay those of the source, so frames show the user's own expressions.
"""

from __future__ import annotations

import ast
import builtins
import sys
from typing import Any

import torch

from gradlint.frontends.recorder.taint import origins, tracked
from gradlint.frontends.recorder.tensors import tensors_in

HOOK = "__gradlint_call__"
CONVERSIONS = frozenset({"float", "int"})
CONSTRUCTORS = frozenset(
    "Tensor FloatTensor DoubleTensor HalfTensor LongTensor IntTensor ByteTensor BoolTensor Variable".split()
)


class _Router(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = (
            node.func.id
            if isinstance(node.func, ast.Name)
            else node.func.attr
            if isinstance(node.func, ast.Attribute)
            else ""
        )
        conversion = isinstance(node.func, ast.Name) and name in CONVERSIONS and len(node.args) == 1
        if not (conversion or name in CONSTRUCTORS):
            return node
        hook = ast.copy_location(ast.Name(HOOK, ast.Load()), node.func)
        return ast.copy_location(ast.Call(hook, [node.func, *node.args], node.keywords), node)


def rewritten(tree: ast.Module) -> ast.Module:
    """The same program with its conversions and legacy constructors routed."""
    routed: ast.Module = ast.fix_missing_locations(_Router().visit(tree))
    return routed


def route(recorder: Any) -> None:
    """Makes the hook known to all rewritten programs of this process."""

    def call(function: Any, *args: Any, **options: Any) -> Any:
        frame = sys._getframe(1)
        if function in (float, int):
            return _number(recorder, function, args, frame)
        made = function(*args, **options)
        if isinstance(made, torch.Tensor) and recorder.listening():
            _constructed(recorder, function, made, (*args, *options.values()), options, frame)
        return made

    setattr(builtins, HOOK, call)


def _number(recorder: Any, kind: Any, args: tuple[Any, ...], frame: Any) -> Any:
    value = args[0]
    if isinstance(value, torch.Tensor) and recorder.listening():
        return recorder.number(value, kind, frame)
    return tracked(kind(value), origins((value,)))


def _constructed(recorder: Any, function: Any, made: torch.Tensor, values: Any, options: Any, frame: Any) -> None:
    tensors = tensors_in(values)
    if any(made is tensor for tensor in tensors):
        return
    name = getattr(function, "__name__", "Tensor")
    with torch._C.DisableTorchFunction():
        recorder.foreign(name, frame, made, origins(values), tensors, masked=bool(options.get("requires_grad")))
