"""What a value holds: the tensors in containers and objects, and the tree of modules that registration makes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.values import (
    NO_NODE,
    Bound,
    Choice,
    Class,
    External,
    Foreign,
    Function,
    Instance,
    Layer,
    Mapping,
    Method,
    Partial,
    Scope,
    Sequence,
    Super,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

MODULE_BASES = frozenset({"Module", "ScriptModule", "LightningModule", "PreTrainedModel", "LightningLite"})
"""Last parts of the names of the base classes that make a class a module."""

NOT_MODULES = frozenset({"torch.nn.Parameter", "torch.nn.UninitializedParameter", "torch.nn.Buffer"})
FUNCTION_BASES = frozenset({"torch.autograd.Function", "torch.autograd.function.Function"})


def collect(run: Run, value: Any) -> list[Tensor | Unknown]:
    """All tensors, and unknown values that stand for some, inside of a value."""
    found: list[Tensor | Unknown] = []
    seen: set[int] = set()
    queue = [value]
    while queue:
        inner = queue.pop()
        kind = type(inner)
        if kind is Tensor or (kind is Unknown and inner.node != NO_NODE):
            found.append(inner)
        elif kind is Symbol and id(inner) in run.kept:
            found.append(Unknown("what was put into it", run.kept[id(inner)]))
        elif kind in _PARTS and id(inner) not in seen:
            seen.add(id(inner))
            queue.extend(_PARTS[kind](inner))
    return found[::-1]


def _free_variables(function: Function) -> Iterator[Value]:
    """The values of the enclosing functions that a function reads."""
    yield from function.defaults.values()
    names = {node.id for node in ast.walk(function.node) if isinstance(node, ast.Name)}
    scope: Scope | None = function.scope
    while scope is not None and scope.outer is not None:
        yield from (scope.names[name] for name in names & scope.names.keys())
        scope = scope.outer


_PARTS: dict[type, Callable[[Any], Any]] = {
    tuple: lambda value: value,
    list: lambda value: value,
    dict: lambda value: value.values(),
    Sequence: lambda value: value.items,
    Mapping: lambda value: value.items.values(),
    Choice: lambda value: value.options,
    Instance: lambda value: value.attributes.values(),
    Layer: lambda value: value.attributes.values(),
    Foreign: lambda value: value.state.values(),
    Bound: lambda value: (value.receiver, value.function),
    Method: lambda value: (value.receiver,),
    Super: lambda value: (value.receiver,),
    Partial: lambda value: (value.function, *value.positional, *value.named.values()),
    Function: _free_variables,
}


def is_module(value: Value) -> bool:
    """Whether a value is an `nn.Module` of any kind."""
    return isinstance(value, Layer) or (isinstance(value, Instance) and is_module_class(value.cls))


def is_module_class(cls: Class) -> bool:
    """Whether a class of the project is an `nn.Module`."""
    return any(is_module_base(base) for base in cls.order)


def is_module_base(base: Value) -> bool:
    """Whether a base class is a module of a library."""
    if not isinstance(base, External):
        return False
    last = base.name.rpartition(".")[2]
    in_nn = base.name.startswith("torch.nn.") and last[:1].isupper() and base.name not in NOT_MODULES
    return last in MODULE_BASES or in_nn


def is_function_class(cls: Class) -> bool:
    """Whether a class is a custom autograd function."""
    return any(isinstance(base, External) and base.name in FUNCTION_BASES for base in cls.order)


def parts(value: Value) -> dict[str, Value]:
    """The attributes of a module that registration looks at."""
    return value.attributes if isinstance(value, (Instance, Layer)) else {}


def named_modules(
    value: Value, prefix: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, Instance | Layer]]:
    """A module and all modules inside of it, each once, by dotted name."""
    seen = set() if seen is None else seen
    if not isinstance(value, (Instance, Layer)) or id(value) in seen or not is_module(value):
        return
    seen.add(id(value))
    yield prefix, value
    for name, part in value.attributes.items():
        for option in alternatives_of(part):
            yield from named_modules(option, f"{prefix}.{name}" if prefix else name, seen)


def inner_modules(modules: Iterable[Instance | Layer]) -> set[int]:
    """The identities of the modules that lie in others."""
    found: set[int] = set()
    waiting: list[Value] = list(modules)
    opened: set[int] = set()
    while waiting:
        module = waiting.pop()
        if id(module) not in opened and isinstance(module, (Instance, Layer)) and is_module(module):
            opened.add(id(module))
            held = [option for part in module.attributes.values() for option in alternatives_of(part)]
            found.update(id(part) for part in held if part is not module)
            waiting += held
    return found


def alternatives_of(value: Value) -> tuple[Value, ...]:
    """The options of a choice; of anything else itself."""
    return value.options if isinstance(value, Choice) else (value,)


def named_parameters(value: Value) -> Iterator[tuple[str, Tensor]]:
    """The registered parameters of a module, each tensor once: a module's own come before its parts'."""
    seen: set[int] = set()
    for prefix, module in named_modules(value):
        for name, part in module.attributes.items():
            for option in alternatives_of(part):
                if isinstance(option, Tensor) and option.parameter and id(option) not in seen:
                    seen.add(id(option))
                    yield f"{prefix}.{name}" if prefix else name, option
