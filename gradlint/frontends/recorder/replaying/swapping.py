"""Puts the sliced code of a plan into a module's live functions for a while."""

from __future__ import annotations

import ast
import contextlib
import gc
import types
from collections.abc import Iterator

from gradlint.frontends.recorder.replaying.slicing import Plan

Key = tuple[str, int]
"""A function's qualified name and first line, which its slice shares with it."""


@contextlib.contextmanager
def swapped(plan: Plan, module: types.ModuleType) -> Iterator[dict[str, types.FunctionType]]:
    """The routines of a plan run their slices inside the block; gives them by qualified name, undecorated."""
    functions = _functions(module, plan)
    path = next((one.__code__.co_filename for one in functions.values()), str(getattr(module, "__file__", "")))
    codes = {_key(code): code for code in _codes(compiled(plan.module, path))}
    before = {name: one.__code__ for name, one in functions.items()}
    for one in functions.values():
        slice_ = codes.get(_key(one.__code__))
        if slice_ is not None and slice_.co_freevars == one.__code__.co_freevars:
            one.__code__ = slice_
    try:
        yield functions
    finally:
        for name, one in functions.items():
            one.__code__ = before[name]


def compiled(tree: ast.Module, path: str) -> types.CodeType:
    """The code of a sliced module or block, as if it stood in the file at `path`."""
    return compile(tree, path, "exec", dont_inherit=True)


def _functions(module: types.ModuleType, plan: Plan) -> dict[str, types.FunctionType]:
    """The live functions of a module that a plan slices: decorators hide them, the garbage collector does not."""
    live = (one for one in gc.get_objects() if type(one) is types.FunctionType and one.__globals__ is module.__dict__)
    return {one.__code__.co_qualname: one for one in live if one.__code__.co_qualname in plan.sliced}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _key(code: types.CodeType) -> Key:
    return code.co_qualname, code.co_firstlineno
