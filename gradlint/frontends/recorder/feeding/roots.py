"""The models of a file: classes and factories that are not only parts of other ones."""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradlint.frontends.recorder.feeding.functions import effects
from gradlint.frontends.recorder.feeding.scopes import Function, is_main_guard

_FACTORY_NAME = re.compile(r"_?(build|make|create|get|init|load|new|setup|construct)(_|$)|.*_?(model|net|network)$")
_CRITERION_NAME = re.compile(r".*(Loss|Criterion|Metric|Objective|Penalty)(V?\d+)?$")
_TENSOR_FACTORIES = frozenset(
    {"Parameter", "randn", "rand", "zeros", "ones", "empty", "tensor", "full", "eye", "register_parameter"}
)
MAX_FACTORIES = 2
"""Factories of one class that are taken when the file uses none of them (resnet18, resnet34, ...)."""


@dataclass(frozen=True)
class Target:
    """One thing in a file that makes a model: a class, a factory function, or a module that the import made."""

    name: str
    object: Any
    line: int
    kind: str
    doc: str = ""


@dataclass(frozen=True)
class _Uses:
    """Who names a class or factory: other classes, factories, or code that trains and evaluates."""

    bases: frozenset[str]
    parts: frozenset[str]
    trained: frozenset[str]


def root_targets(tree: ast.Module, module: types.ModuleType) -> list[Target]:
    """The file's models in the order of their lines; criteria and parts of other models are left out."""
    classes = _classes(tree, module)
    factories = _factories(tree, module, set(classes))
    uses = _uses(tree, set(classes) | set(factories), classes, factories)
    found = [_target(name, node, module, "class") for name, node in classes.items() if _is_root(name, uses)]
    kept = [one for one in found if not _is_criterion(classes[one.name], classes, module)]
    made = [_target(name, node, module, "factory") for name, node in _root_factories(factories, uses, classes)]
    instances = _instances(tree, module, {one.name for one in kept})
    return sorted([*kept, *made, *instances], key=lambda one: one.line)


def named_target(name: str, tree: ast.Module, module: types.ModuleType) -> Target | None:
    """The class, factory or module that the user named (`model.py:Net`), whether or not it is a root."""
    if name not in vars(module):
        return None
    node = next((one for one in ast.walk(tree) if getattr(one, "name", None) == name and hasattr(one, "lineno")), None)
    value = vars(module)[name]
    kind = "class" if inspect.isclass(value) else "instance" if isinstance(value, nn.Module) else "factory"
    return Target(name, value, getattr(node, "lineno", 1), kind, inspect.getdoc(value) or "")


def is_model_class(value: Any) -> bool:
    """Whether `value` is a class of modules."""
    return inspect.isclass(value) and issubclass(value, nn.Module)


def _target(name: str, node: ast.ClassDef | Function, module: types.ModuleType, kind: str) -> Target:
    return Target(name, vars(module)[name], node.lineno, kind, ast.get_docstring(node) or "")


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try)) and not is_main_guard(node):
            yield from _top_level([*node.body, *node.orelse])


def _classes(tree: ast.Module, module: types.ModuleType) -> dict[str, ast.ClassDef]:
    return {
        node.name: node
        for node in _top_level(tree.body)
        if isinstance(node, ast.ClassDef) and is_model_class(vars(module).get(node.name))
    }


def _factories(tree: ast.Module, module: types.ModuleType, classes: set[str]) -> dict[str, Function]:
    functions = {
        node.name: node
        for node in _top_level(tree.body)
        if isinstance(node, ast.FunctionDef) and inspect.isfunction(vars(module).get(node.name)) and not effects(node)
    }
    found: dict[str, Function] = {}
    for _ in range(3):  # factories of factories of factories
        found |= {
            n: f for n, f in functions.items() if n not in found and _makes_model(f, module, classes | set(found))
        }
    return found


def factories_of(tree: ast.Module, module: types.ModuleType, name: str) -> frozenset[str]:
    """The functions of the file that return a model which a call of `name` makes, or one that holds it."""
    makers = {name, *_classes(tree, module)}
    functions = [node for node in _top_level(tree.body) if isinstance(node, ast.FunctionDef)]
    return frozenset(node.name for node in functions if _makes_model(node, module, makers))


def _makes_model(function: Function, module: types.ModuleType, makers: set[str]) -> bool:
    if function.returns is not None and (annotated := _annotated(function.returns, module)) is not None:
        return annotated
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]
    return any(_is_model(value, function, module, makers) for value in returned)


def _annotated(node: ast.expr, module: types.ModuleType) -> bool | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    value = _static_value(node, module)
    return is_model_class(value) if inspect.isclass(value) else None


def _is_model(node: ast.expr, function: Function, module: types.ModuleType, makers: set[str], depth: int = 0) -> bool:
    if depth > 4:  # model.to(device).eval() of a name is as deep as factories go
        return False
    match node:
        case ast.Name(id=name):
            assigned = [
                one.value
                for one in ast.walk(function)
                if isinstance(one, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in one.targets)
            ]
            return any(_is_model(value, function, module, makers, depth + 1) for value in assigned)
        case ast.Tuple(elts=[first, *_]):
            return _is_model(first, function, module, makers, depth + 1)
        case ast.Call(func=ast.Name(id=name)) if name in makers:
            return True
        case ast.Call(func=ast.Attribute(value=ast.Call() | ast.Name() as receiver)) if _is_model(
            receiver, function, module, makers, depth + 1
        ):
            return True
        case ast.Call(func=callee):
            return is_model_class(_static_value(callee, module))
    return False


def _static_value(node: ast.expr, module: types.ModuleType) -> Any:
    match node:
        case ast.Name(id=name):
            return vars(module).get(name)
        case ast.Attribute(value=base, attr=attribute):
            return getattr(_static_value(base, module), attribute, None)
    return None


def _uses(tree: ast.Module, names: set[str], classes: dict[str, ast.ClassDef], factories: dict[str, Function]) -> _Uses:
    bases: set[str] = set()
    parts: set[str] = set()
    trained: set[str] = set()
    for node in _top_level(tree.body):
        if isinstance(node, ast.ClassDef):
            bases |= (_loaded(node.bases) & names) - {node.name}
            parts |= (_loaded(list(node.body)) & names) - {node.name} if node.name in classes else set()
            trained |= set() if node.name in classes else _loaded(list(node.body)) & names
        elif isinstance(node, ast.FunctionDef) and node.name in factories:
            parts |= (_loaded([node]) & names) - {node.name}
        elif not isinstance(node, (ast.If, ast.Try)) or is_main_guard(node):
            given = _given_to_models(node, names)
            parts |= given
            trained |= (_loaded([node]) & names) - given
    return _Uses(frozenset(bases), frozenset(parts), frozenset(trained))


def _loaded(nodes: list[Any]) -> set[str]:
    return {
        one.id
        for node in nodes
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
    }


def _given_to_models(node: ast.AST, names: set[str]) -> set[str]:
    """The classes of which an instance is only an argument of another model's constructor."""
    made = {
        target.id: set(_loaded([one.value]) & names)
        for one in ast.walk(node)
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name)
    }
    builds = [one for one in ast.walk(node) if isinstance(one, ast.Call) and _name(one.func) in names]
    arguments = [arg for call in builds for arg in (*call.args, *(keyword.value for keyword in call.keywords))]
    given = _loaded(list(arguments))
    called = {_name(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}
    through = {name for variable in given - called for name in made.get(variable, ())}
    return (given & names) | through


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _is_root(name: str, uses: _Uses) -> bool:
    return name in uses.trained or name not in (uses.parts | uses.bases)


def _root_factories(
    factories: dict[str, Function], uses: _Uses, classes: dict[str, ast.ClassDef]
) -> Iterator[tuple[str, Function]]:
    taken: dict[frozenset[str], int] = {}
    for name, function in factories.items():
        if name in uses.trained:
            yield name, function
        elif name not in uses.parts and _worth_a_call(name, function):
            made = frozenset(_loaded([function]) & set(classes))
            taken[made] = taken.get(made, 0) + 1
            if not made or taken[made] <= MAX_FACTORIES:
                yield name, function


def _worth_a_call(name: str, function: Function) -> bool:
    spec = function.args
    required = len(spec.posonlyargs) + len(spec.args) - len(spec.defaults)
    return required == 0 or bool(_FACTORY_NAME.match(name))


def _is_criterion(node: ast.ClassDef, classes: dict[str, ast.ClassDef], module: types.ModuleType) -> bool:
    """Whether nothing in the class, or in its bases of the file, makes a layer or a tensor that could be trained."""
    own = {base.id for base in node.bases if isinstance(base, ast.Name)} & set(classes)
    foreign = [
        value for base in node.bases if is_model_class(value := _static_value(base, module)) and _name(base) not in own
    ]
    if any(value is not nn.Module and _has_layers(value) for value in foreign):
        return False
    makes = any(_makes_tensor(call, module) for call in ast.walk(node) if isinstance(call, ast.Call))
    named = bool(_CRITERION_NAME.match(node.name))
    inherits = any(not _is_criterion(classes[base], classes, module) for base in own if base != node.name)
    return not inherits and (not makes or (named and not _makes_layer(node, module)))


def _has_layers(value: type[nn.Module]) -> bool:
    return not value.__module__.startswith("torch.nn.modules.loss")


def _makes_tensor(call: ast.Call, module: types.ModuleType) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else _name(call.func)
    value = _static_value(call.func, module)
    return (
        name in _TENSOR_FACTORIES or is_model_class(value) or inspect.isfunction(value) or "init" in name.lower()[:-8]
    )


def _makes_layer(node: ast.ClassDef, module: types.ModuleType) -> bool:
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    made = [value for call in calls if is_model_class(value := _static_value(call.func, module))]
    named = any("Parameter" in ast.dump(call.func) for call in calls)
    return named or any(_has_layers(value) for value in made)


def _instances(tree: ast.Module, module: types.ModuleType, roots: set[str]) -> Iterator[Target]:
    """Modules that the import made under a name, other than instances of root classes."""
    for node in _top_level(tree.body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            value = vars(module).get(name)
            if (
                isinstance(value, nn.Module)
                and type(value).__name__ not in roots
                and any(True for _ in value.parameters())
            ):
                yield Target(name, value, node.lineno, "instance")
