"""Starts a plan: its block in the module's namespace, or its routine with arguments."""

from __future__ import annotations

import types
from typing import Any

from torch import nn

from gradlint.frontends.recorder.replaying.frameworks import framework_step
from gradlint.frontends.recorder.replaying.runtime import Runtime
from gradlint.frontends.recorder.replaying.slicing import Plan
from gradlint.frontends.recorder.replaying.supplies import Supplier, definition, filename
from gradlint.frontends.recorder.replaying.swapping import compiled


def enter(plan: Plan, supplier: Supplier, functions: dict[str, types.FunctionType], runtime: Runtime) -> None:
    """Runs a plan whose slices are in place; exceptions of the user's code pass through."""
    if plan.main is not None:
        exec(compiled(plan.main, filename(supplier.module)), vars(supplier.module))
        return
    function = functions.get(plan.entry) or _method(plan, supplier)
    if framework_step(plan.entry, supplier, runtime, definition(supplier.tree, function)):
        return
    runtime.substitute()
    owner = _owner(plan, supplier)
    receiver = [owner] if owner is not None else []
    names = function.__code__.co_varnames[: len(receiver)]
    arguments = supplier.arguments(function)
    function(*receiver, **{name: value for name, value in arguments.items() if name not in names})


def _method(plan: Plan, supplier: Supplier) -> types.FunctionType:
    owner, _, name = plan.entry.rpartition(".")
    method: types.FunctionType = getattr(vars(supplier.module)[owner], name)
    return method


def _owner(plan: Plan, supplier: Supplier) -> Any:
    """The instance on which a method runs; None for a function and a static method."""
    name, _, method = plan.entry.rpartition(".")
    owner = vars(supplier.module).get(name) if name else None
    if owner is None or isinstance(vars(owner).get(method), staticmethod):
        return None
    if isinstance(vars(owner).get(method), classmethod):
        return owner
    return supplier.model(name, owner) if issubclass(owner, nn.Module) else supplier.instance(owner)
