"""Keeps torch's compiler from being imported by eager code that never compiles: it costs two seconds a process."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from types import FunctionType, ModuleType
from typing import Any

import torch._compile

COMPILER = "torch._dynamo"
MARK = "__dynamo_disable"
"""Attribute in which torch caches the function that runs instead of a wrapped one."""


def spare_compiler() -> int:
    """Lets functions wrapped by `torch._disable_dynamo` (checkpoint, optimizers) run directly; returns how many.

    torch's wrapper imports the whole compiler on its first call, only to call the function that it wraps.
    """
    if COMPILER in sys.modules:
        return 0
    inner = torch._compile._disable_dynamo(lambda: None)
    code = getattr(inner, "__code__", None)
    wrappers = [thing for thing in gc.get_objects() if type(thing) is FunctionType and thing.__code__ is code]
    stand_in()
    for wrapper in wrappers:
        wrapped = getattr(wrapper, "__wrapped__", None)
        if wrapped is not None:
            setattr(wrapped, MARK, wrapped)
    return len(wrappers)


class _StandIn(ModuleType):
    """Stands for `torch._dynamo` until something is asked of it that only the compiler can answer."""

    def graph_break(self, *_: Any, **__: Any) -> None:
        """Does nothing, as in eager code."""

    def __getattr__(self, name: str) -> Any:
        if name in ("__spec__", "__file__"):
            raise AttributeError(name)
        return getattr(compiler(), name)


def compiler() -> ModuleType:
    """The compiler itself, imported when it is needed."""
    if isinstance(sys.modules.get(COMPILER), _StandIn):
        del sys.modules[COMPILER]
        vars(torch).pop("_dynamo", None)
    return importlib.import_module(COMPILER)


def eager() -> contextlib.AbstractContextManager[Any]:
    """Inside it, models that were compiled before run eagerly."""
    if isinstance(sys.modules.get(COMPILER), (_StandIn, type(None))):
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def stand_in() -> None:
    """Puts the stand-in where optimizers look for the compiler."""
    if COMPILER not in sys.modules:
        sys.modules[COMPILER] = vars(torch)["_dynamo"] = _StandIn(COMPILER)
