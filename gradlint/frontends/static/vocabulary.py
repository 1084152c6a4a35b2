"""What the evaluator asks about libraries: their functions, methods, attributes, operators, layers and contexts.

Each function gives a value, or None for what no vocabulary knows.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.python import arrays
from gradlint.frontends.static.torch import data as torch_data
from gradlint.frontends.static.torch import distributions as torch_distributions
from gradlint.frontends.static.torch import functions as torch_functions
from gradlint.frontends.static.torch import init as torch_init
from gradlint.frontends.static.torch import layers as torch_layers
from gradlint.frontends.static.torch import libraries as torch_libraries
from gradlint.frontends.static.torch import modes as torch_modes
from gradlint.frontends.static.torch import modules as torch_modules
from gradlint.frontends.static.torch import operators as torch_operators
from gradlint.frontends.static.torch import tensors as torch_tensors
from gradlint.frontends.static.torch import training as torch_training
from gradlint.frontends.static.torch import transforms as torch_transforms
from gradlint.frontends.static.torch.names import canonical
from gradlint.frontends.static.values import (
    Arguments,
    Foreign,
    Instance,
    Layer,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run


def call_external(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """The result of calling a function or class of a library by its full name."""
    trained = torch_training.call_external(run, name, args, at)
    if trained is not None:
        return trained
    root = name.partition(".")[0]
    if root == "torch":
        known = canonical(name)
        found = torch_data.call(run, known, args, at) or torch_distributions.call(run, known, args, at)
        return found or torch_functions.call(run, known, args, at)
    return arrays.call(run, root, name, args, at) or torch_libraries.call(run, root, name, args, at)


def call_method(run: Run, receiver: Value, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """The result of a method of a library's object, of a module or of something unknown."""
    trained = torch_training.call_method(run, receiver, name, args, at)
    if trained is not None:
        return trained
    match receiver:
        case Tensor(carrier=ValueKind.TENSOR):
            result = torch_tensors.method(run, receiver, name, args, at)
            given = next(iter(args), None)
            torch_training.calculated(run, name, receiver, given, result, at)
            torch_init.calculated(run, name, receiver, given if len(list(args)) == 1 else None, result, at)
            if name == "detach":
                torch_training.aliased(run, receiver, result)
            return result
        case Tensor():
            return arrays.method(run, receiver, name, args, at)
        case Layer() | Instance() if run.is_module(receiver):
            return torch_modules.method(run, receiver, name, args, at)
        case Foreign():
            return _of_object(run, receiver, name, args, at)
        case Unknown():
            return _of_unknown(run, receiver, name, args, at)
    return None


def _of_object(run: Run, receiver: Foreign, name: str, args: Arguments, at: ast.AST) -> Value | None:
    if name == "__call__":
        wrapped = torch_modes.wrap(run, receiver, args)
        if wrapped is not None:
            return wrapped
    data = torch_data.method(run, receiver, name, args, at)
    return data if data is not None else torch_distributions.method(run, receiver, name, args, at)


def _of_unknown(run: Run, receiver: Unknown, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A method that only tensors have, on something that could not be read."""
    return torch_tensors.method_of_unknown(run, receiver, name, args, at)


def get_attribute(run: Run, receiver: Value, name: str, at: ast.AST) -> Value | None:
    """An attribute of a library's object or of a module."""
    trained = torch_training.get_attribute(run, receiver, name, at)
    if trained is not None:
        return trained
    match receiver:
        case Tensor(carrier=ValueKind.TENSOR):
            result = torch_tensors.attribute(run, receiver, name, at)
            if name == "data":
                torch_training.aliased(run, receiver, result)
            return result
        case Tensor():
            return arrays.attribute(run, receiver, name, at)
        case Layer() | Instance():
            return torch_modules.attribute(run, receiver, name, at)
        case Foreign():
            data = torch_data.attribute(run, receiver, name, at)
            return data if data is not None else torch_distributions.attribute(run, receiver, name, at)
    return None


def set_attribute(run: Run, receiver: Value, name: str, value: Value, at: ast.AST) -> bool:
    """Assigns an attribute of a library's object or of a module; whether that is done."""
    if torch_training.set_attribute(run, receiver, name, value, at):
        return True
    if isinstance(receiver, Tensor):
        return torch_tensors.set_attribute(run, receiver, name, value, at)
    if isinstance(receiver, (Layer, Instance)):
        return torch_modules.set_attribute(run, receiver, name, value, at)
    return False


def operator(run: Run, name: str, left: Value, right: Value | None, at: ast.AST) -> Value | None:
    """The result of an operator with a tensor, or a library's object, on at least one side.

    Of "setitem" the right side is a pair of key and content.
    """
    sides = [side for side in (left, right) if isinstance(side, Tensor)]
    if any(side.carrier is ValueKind.TENSOR for side in sides):
        result = torch_operators.operator(run, name, left, right, at)
        torch_training.calculated(run, name, left, right, result, at)
        torch_init.calculated(run, name, left, right, result, at)
        return result
    return arrays.operator(run, name, left, right, at) if sides else None


def call_module(run: Run, module: Layer, args: Arguments, at: ast.AST) -> Value | None:
    """What a call of a library's layer gives."""
    wrapped = torch_transforms.module_call(run, module, args, at)
    if wrapped is not None:
        return wrapped
    found = torch_layers.call(run, module, args, at)
    return found if found is not None else torch_libraries.call_layer(run, module, args, at)


def enter(run: Run, context: Value, at: ast.AST) -> Value | None:
    """Enters a library's context."""
    torch_training.enter(run, context)
    return torch_modes.enter(run, context, at)


def leave(run: Run, context: Value, at: ast.AST) -> None:
    """Leaves a library's context."""
    torch_training.leave(run, context)
    torch_modes.leave(run, context, at)
