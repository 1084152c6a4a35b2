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

from gradlint.frontends.recorder.feeding.elsewhere import Elsewhere, elsewhere
from gradlint.frontends.recorder.feeding.evaluate import Evaluator
from gradlint.frontends.recorder.feeding.limits import Unknown
from gradlint.frontends.recorder.feeding.scopes import Scope, file_scopes
from gradlint.frontends.recorder.feeding.settings import Settings, nested, project_settings
from gradlint.frontends.recorder.feeding.trial import quiet, seeded
from gradlint.frontends.recorder.feeding.uses import Uses, field_uses, read_fields

LAST_LINE = 1 << 30
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
        own = field_uses(self.tree)
        for reading in self.elsewhere.imported_readings(self.tree) if self.elsewhere else ():
            found = field_uses(reading.tree)
            own = {name: own.get(name, frozenset()) | found.get(name, frozenset()) for name in (*own, *found)}
        return own

    @cached_property
    def elsewhere(self) -> Elsewhere | None:
        """The other files of the project."""
        return elsewhere(self.module)

    @cached_property
    def settings(self) -> list[Settings]:
        """What the project sets the fields to that the file asks for."""
        fields = read_fields(self.tree)
        return project_settings(self.elsewhere, self.tree, self.scopes, self.evaluator, fields)

    def groups(self, names: frozenset[str]) -> Iterator[Settings]:
        """The groups of the project's settings that hold all of `names`, which are more than one."""
        found = (
            project_settings(self.elsewhere, self.tree, self.scopes, self.evaluator, names) if len(names) > 1 else []
        )
        for one in found:
            yield from (group for group in (one, *nested(one)) if names <= set(group))

    def complete(self) -> None:
        """Gives the module the names that its classes and functions read and only its main block assigns."""
        main = next(scope for scope in self.scopes if scope.kind == "main")
        own = vars(self.module)
        inside = [node for node in self.tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
        read = {one.id for node in inside for one in ast.walk(node) if isinstance(one, ast.Name)}
        for name in sorted(read & set(main.bindings) - set(own)):
            with contextlib.suppress(Unknown), seeded(), quiet():
                own[name] = self.evaluator.value(ast.Name(name, ast.Load(), lineno=LAST_LINE, col_offset=0), main)

    def told(self, name: str) -> Iterator[tuple[list[Any], dict[str, Any]]]:
        """The arguments of every call of `name` in the project as far as they can be told, `MISSING` for others."""
        for scope in self._by_trust():
            for call in scope.calls:
                if _last_name(call.func) == name:
                    yield self.evaluator.known(call, scope)
        for call, scope, evaluator in self.elsewhere.calls(name) if self.elsewhere else ():
            yield evaluator.known(call, scope)

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
