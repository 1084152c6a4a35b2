"""What a file itself shows of a model: the calls that build it and the calls that feed it."""

from __future__ import annotations

import ast
import contextlib
import inspect
import types
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.evaluate import Evaluator, Unknown
from gradlint.frontends.recorder.feeding.scopes import Scope, file_scopes
from gradlint.frontends.recorder.feeding.uses import Uses, field_uses

MAX_FOLLOWED = 8
"""Names followed from a call's receiver back to the constructor."""

_WRAPPERS = frozenset(
    {"to", "cuda", "cpu", "eval", "train", "half", "double", "float", "bfloat16", "requires_grad_", "apply"}
)
_WRAPPING = frozenset({"DataParallel", "DistributedDataParallel", "compile", "script", "trace", "DDP"})

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Shown:
    """The static reading of one file, with the imported module in which its expressions are evaluated."""

    tree: ast.Module
    module: types.ModuleType
    scopes: tuple[Scope, ...]
    evaluator: Evaluator

    @cached_property
    def field_uses(self) -> Uses:
        """What the file does with the fields of its configurations."""
        return field_uses(self.tree)

    def constructions(self, name: str) -> Iterator[Arguments]:
        """The arguments of every call of the class or factory `name` that can be evaluated, likeliest first."""
        for scope in self._by_trust():
            for call in scope.calls:
                if isinstance(call.func, (ast.Name, ast.Attribute)) and _last_name(call.func) == name:
                    with contextlib.suppress(Unknown):
                        yield self.evaluator.arguments(call, scope)

    def feeds(self, names: Collection[str]) -> Iterator[Arguments]:
        """The arguments of every call of an instance of one of the classes or factories `names`, likeliest first."""
        for scope in self._by_trust():
            for call in scope.calls:
                if self.made_by(_receiver(call), scope) in names:
                    with contextlib.suppress(Unknown):
                        yield self.evaluator.arguments(call, scope)

    def made_by(self, node: ast.expr | None, scope: Scope, followed: int = 0) -> str | None:
        """The class or factory whose call made the value of `node`, as far as the text tells."""
        if node is None or followed > MAX_FOLLOWED:
            return None
        match node:
            case ast.Name(id="self") if scope.kind == "method":
                return scope.owner
            case ast.Name(id=name):
                return self._name_made_by(name, scope, node.lineno, followed)
            case ast.Call(func=ast.Attribute(value=receiver, attr=attr)) if attr in _WRAPPERS:
                return self.made_by(receiver, scope, followed + 1)
            case ast.Call(func=function, args=[first, *_]) if _last_name(function) in _WRAPPING:
                return self.made_by(first, scope, followed + 1)
            case ast.Call(func=ast.Name(id=name)):
                return name if self._builds(name) else None
            case ast.Call(func=ast.Attribute(attr=name)):
                return name
        return None

    def _name_made_by(self, name: str, scope: Scope | None, line: int, followed: int) -> str | None:
        while scope is not None:
            binding = scope.latest(name, line)
            if binding is not None and not binding.first_of:
                return self.made_by(binding.expression, scope, followed + 1)
            if scope.function is not None and name in _arguments(scope):
                return self._parameter_made_by(name, scope, followed)
            scope, line = scope.parent, 1 << 30
        return None

    def _parameter_made_by(self, name: str, scope: Scope, followed: int) -> str | None:
        position = _arguments(scope).index(name)
        for caller in self.scopes:
            for call in caller.calls:
                if scope.function is None or _last_name(call.func) != scope.function.name or caller is scope:
                    continue
                named = next((one.value for one in call.keywords if one.arg == name), None)
                given = named or (call.args[position] if position < len(call.args) else None)
                if found := self.made_by(given, caller, followed + 1):
                    return found
        return None

    def _builds(self, name: str) -> bool:
        value = vars(self.module).get(name)
        return inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, nn.Module))

    def _by_trust(self) -> list[Scope]:
        order = {"main": 0, "function": 1, "docstring": 2, "method": 3, "module": 1}
        return sorted(self.scopes, key=lambda scope: order[scope.kind])


def shown(tree: ast.Module, module: types.ModuleType) -> Shown:
    """Reads the calls of a file; nothing is evaluated before it is asked for."""
    scopes = file_scopes(tree)
    return Shown(tree, module, scopes, Evaluator(scopes, module))


def file_models(module: types.ModuleType) -> dict[str, type[nn.Module]]:
    """The model classes that the file defines, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    }


def holds_tensor(value: Any) -> bool:
    """Whether `value` is a tensor or a container with one."""
    if isinstance(value, dict):
        return any(map(holds_tensor, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(holds_tensor, value))
    return isinstance(value, torch.Tensor)


def _receiver(call: ast.Call) -> ast.expr | None:
    match call.func:
        case ast.Attribute(value=receiver, attr="forward"):
            return receiver
        case ast.Name() | ast.Call():
            return call.func
    return None


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _arguments(scope: Scope) -> list[str]:
    if scope.function is None:
        return []
    spec = scope.function.args
    names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
    return names[1:] if scope.kind == "method" else names
