"""Models and factories of a project that make a class as a part: they tell its arguments, and what it is fed."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.examples import Shown, shown
from gradlint.frontends.recorder.feeding.feed import Feed, fed_with, feed, unlinked
from gradlint.frontends.recorder.feeding.functions import effects
from gradlint.frontends.recorder.feeding.guessing import LOADING, parameters_of, required_of
from gradlint.frontends.recorder.feeding.limits import Unknown
from gradlint.frontends.recorder.feeding.probe import Probe, flat
from gradlint.frontends.recorder.feeding.roots import Target, factories_of, is_model_class
from gradlint.frontends.recorder.feeding.scopes import Function
from gradlint.frontends.recorder.feeding.trial import Success, run

_READS_WEIGHTS = frozenset({"load_state_dict"})
"""What a factory may do besides building, where an argument turns it off."""


@dataclass(frozen=True)
class Whole:
    """A class or factory that makes the part, the file that defines it, and the arguments that keep it from loading."""

    target: Target
    shown: Shown
    kwargs: Mapping[str, Any]
    forced: Mapping[str, Any]
    """The values of arguments or settings with which it makes the part."""


def wholes(part: Target, seen: Shown) -> Iterator[Whole]:
    """The makers of a class in its own file, then in the other files of the project that only define, nearest first."""
    if not is_model_class(part.object):
        return
    yield from _in_file(part, seen)
    if seen.elsewhere is None:
        return
    for reading in seen.elsewhere.mentioning(f"{part.name}("):
        with contextlib.suppress(Unknown):
            module = seen.elsewhere.loaded(reading)
            if vars(module).get(part.name) is part.object or any(part.object is one for one in vars(module).values()):
                yield from _in_file(part, shown(reading.tree, module))


def _in_file(part: Target, seen: Shown) -> Iterator[Whole]:
    own = vars(seen.module)
    makers = factories_of(seen.tree, seen.module, part.name)
    for node in seen.tree.body:
        made = own.get(getattr(node, "name", ""))
        if made is None or made is part.object or not _calls(node, part.name):
            continue
        if isinstance(node, ast.ClassDef) and is_model_class(made) and not issubclass(made, part.object):
            yield Whole(Target(node.name, made, node.lineno, "class"), seen, {}, forced(node, part.name))
        elif isinstance(node, ast.FunctionDef) and node.name in makers and (off := _unloading(node, made)) is not None:
            yield Whole(Target(node.name, made, node.lineno, "factory"), seen, off, forced(node, part.name))


def _calls(node: ast.stmt, name: str) -> bool:
    calls = (one.func for one in ast.walk(node) if isinstance(one, ast.Call))
    return any(getattr(one, "id", getattr(one, "attr", "")) == name for one in calls)


def forced(node: ast.stmt, name: str) -> dict[str, Any]:
    """What the conditions around the first call of `name` compare to constants: `if config.kind == "deep":`."""
    return next((found for one in ast.iter_child_nodes(node) if (found := _above(one, name)) is not None), {})


def _above(node: ast.AST, name: str) -> dict[str, Any] | None:
    """The comparisons that hold where a call of `name` below `node` is reached, None where there is no such call."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name:
        return {}
    own = _compared(node.test) if isinstance(node, ast.If) else {}
    for child in ast.iter_child_nodes(node):
        found = _above(child, name)
        if found is not None:
            return found | (own if isinstance(node, ast.If) and child in node.body else {})
    return None


def _compared(test: ast.expr) -> dict[str, Any]:
    match test:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=value)]) if field := _field(left):
            return {field: value}
        case ast.UnaryOp(op=ast.Not(), operand=operand) if field := _field(operand):
            return {field: False}
    return {field: True} if (field := _field(test)) else {}


def _field(node: ast.expr) -> str:
    """The argument, setting or item that an expression reads."""
    match node:
        case ast.Name(id=field) | ast.Attribute(attr=field) | ast.Subscript(slice=ast.Constant(value=str() as field)):
            return field
    return ""


def _unloading(node: Function, maker: Any) -> dict[str, Any] | None:
    """The arguments with which a factory loads nothing; None for a factory that has other effects than loading."""
    found = effects(node)
    if not found:
        return {}
    switches = {
        one.name: False if isinstance(one.default, bool) else None
        for one in parameters_of(maker)
        if LOADING.search(one.name) and one.default is not one.empty
    }
    return switches if found <= _READS_WEIGHTS and switches and not required_of(maker) else None


def part_of(model: nn.Module, kind: type[nn.Module]) -> nn.Module | None:
    """The first module of exactly the class `kind` in a model."""
    return next((one for one in model.modules() if type(one) is kind), None)


def fed_within(whole: nn.Module, part: nn.Module, seen: Shown, budget: float) -> Feed | None:
    """What the whole passes to its part when it runs on inputs that were found for it, None when it passes nothing.

    A whole that fails after its part has run is good enough.
    """
    if whole is part:
        with contextlib.suppress(TargetError):
            return feed(whole, seen, budget=budget)
        return None
    passed: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _output: Any) -> None:
        if not any(isinstance(one, Probe) for one in flat((args, kwargs))):
            passed[:] = [(unlinked(args), unlinked(kwargs))]

    handle = part.register_forward_hook(keep, with_kwargs=True)
    try:
        with contextlib.suppress(TargetError):
            feed(whole, seen, budget=budget)
    finally:
        handle.remove()
    return next((fed_with(*one, "inferred") for one in passed if isinstance(run(part, *one), Success)), None)
