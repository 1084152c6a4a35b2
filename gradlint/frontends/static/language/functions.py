"""Functions of the project: their making, and what their decorators turn them into."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.torch import hub_functions
from gradlint.frontends.static.torch import modes as torch_modes
from gradlint.frontends.static.values import (
    Arguments,
    Bound,
    Class,
    External,
    Foreign,
    Function,
    Instance,
    Method,
    Partial,
    Property,
    Scope,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

PROPERTIES = frozenset(
    {"builtins.property", "functools.cached_property", "abc.abstractproperty", "torch.jit.unused_property"}
)
BINDINGS = {"builtins.staticmethod": "static", "builtins.classmethod": "class"}
IDLE_PACKAGES = frozenset(
    """torch functools typing typing_extensions abc contextlib atexit gradlint timm torchvision diffusers
    jaxtyping beartype typeguard overrides line_profiler pytest unittest hydra click typer tenacity numba numpy
    builtins dataclasses enum warnings""".split()
)
"""Libraries whose decorators leave alone what a function computes: they cache, check, mark or describe."""
SETTING = frozenset({"merge_with_config_defaults"})
"""Decorators of transformers that change the arguments of a call by the model's settings."""

CONTEXT_MANAGER = "contextlib.contextmanager"
CONTEXT_BINDING = "context"
"""Marks a function that `with` runs around its block."""
GRAD_MODES = frozenset({"torch.no_grad", "torch.inference_mode", "torch.enable_grad", "torch.autograd.no_grad"})


def lambda_of(run: Run, at: ast.Lambda) -> Value:
    """A lambda."""
    return Function("<lambda>", at, _scope(run), None, defaults=_defaults(run, at.args))


def define(run: Run, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Value:
    """Runs a function statement."""
    owner = run.activation.owner if isinstance(run.activation.node, ast.ClassDef) else None
    value: Value = Function(node.name, node, _scope(run), owner, defaults=_defaults(run, node.args))
    for decorator in reversed(node.decorator_list):
        value = _decorated(run, value, run.evaluate(decorator), decorator)
    return value


def _scope(run: Run) -> Scope:
    """The scope around a new function; a class body is none."""
    scope = run.activation.scope
    return scope.outer if isinstance(run.activation.node, ast.ClassDef) and scope.outer else scope


def _defaults(run: Run, signature: ast.arguments) -> dict[str, Value]:
    places = [*signature.posonlyargs, *signature.args]
    found = {}
    if signature.defaults:
        for parameter, default in zip(places[-len(signature.defaults) :], signature.defaults, strict=True):
            found[parameter.arg] = run.evaluate(default)
    for parameter, maybe in zip(signature.kwonlyargs, signature.kw_defaults, strict=True):
        if maybe is not None:
            found[parameter.arg] = run.evaluate(maybe)
    return found


def _decorated(run: Run, value: Value, decorator: Value, at: ast.expr) -> Value:
    match decorator:
        case External(name=name) if name in PROPERTIES:
            return Property(value)
        case External(name=name) if name in BINDINGS and isinstance(value, Function):
            value.binding = BINDINGS[name]
            return value
        case External(name=name) if isinstance(value, Function) and (name in GRAD_MODES or name == CONTEXT_MANAGER):
            return _inside(run, value, decorator, at)
        case Foreign() if isinstance(value, Function):
            torch_modes.restore(run, decorator)
            value.decorators = (decorator, *value.decorators)
            return value
        case Method(receiver=Property(getter=getter), name="setter"):
            return Property(getter, value)
        case Function() | Bound() | Class() | Instance() | Partial() if is_own(decorator):
            return _applied(run, value, decorator, at)
        case Function(name=name) if isinstance(value, Function) and name in SETTING:
            return _applied(run, value, decorator, at)
    if not _leaves_alone(decorator):
        note_odd(run, value)
    return value


def _leaves_alone(decorator: Value) -> bool:
    """Whether a decorator is known to change nothing that a function computes."""
    match decorator:
        case External(name=name):
            root, last = name.partition(".")[0], name.rpartition(".")[2]
            return root in IDLE_PACKAGES or last in hub_functions.DECORATORS
        case Function(scope=scope) | Class(scope=scope):
            return not scope.module.user
        case Partial(function=inner) | Bound(function=inner):
            return _leaves_alone(inner)
    return False


def note_odd(run: Run, value: Value) -> None:
    """Notes a function that something unread may have changed: what calls it may compute more than its text says."""
    if isinstance(value, Function):
        run.odd.add(id(value.node))


def is_own(decorator: Value) -> bool:
    """Whether a decorator is the user's own; a library's leaves what it decorates as it is."""
    match decorator:
        case Function(scope=scope) | Class(scope=scope):
            return scope.module.user
        case Bound(function=function):
            return is_own(function)
        case Partial(function=inner):
            return is_own(inner)
        case Instance(cls=cls):
            return is_own(cls)
    return False


def _inside(run: Run, value: Function, decorator: External, at: ast.expr) -> Value:
    """`@torch.no_grad` without a call; a context manager is marked as one."""
    if decorator.name == CONTEXT_MANAGER:
        value.binding = value.binding or CONTEXT_BINDING
        return value
    context = run.call(decorator, Arguments(), at)
    if isinstance(context, Foreign):
        value.decorators = (context, *value.decorators)
    return value


def _applied(run: Run, value: Value, decorator: Value, at: ast.expr) -> Value:
    """What a decorator of the project's own returns; the function itself where that is not known."""
    result = run.call(decorator, Arguments((value,)), at)
    if isinstance(result, (Function, Class, Bound, Partial, Instance, Property)):
        return result
    note_odd(run, value)
    return value
