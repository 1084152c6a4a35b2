"""Calls of modules: their forward, the hooks on it, and what is noted of them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static import vocabulary
from gradlint.frontends.static.language.attributes import bind, in_class
from gradlint.frontends.static.torch import training as torch_training
from gradlint.frontends.static.torch import transforms as torch_transforms
from gradlint.frontends.static.values import (
    Arguments,
    Constant,
    Foreign,
    Function,
    Instance,
    Layer,
    Sequence,
    Tensor,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

SEQUENTIAL = "torch.nn.Sequential"
HOOKS = {"register_forward_hook": True, "register_forward_pre_hook": False}
"""Methods that hang a function on a module, and whether it gets the result too."""


def call_instance(run: Run, module: Instance, arguments: Arguments, at: ast.AST) -> Value:
    """Calls a module of the project."""
    return _noted(run, module, arguments, at, _forward_of_instance)


def call_layer(run: Run, layer: Layer, arguments: Arguments, at: ast.AST) -> Value:
    """Calls a module of a library, or what an object of the project that is running has taken over from one."""
    running = run.modules[-1] if run.modules else None
    if isinstance(running, Instance) and running.base is layer:
        return _forward_of_layer(run, layer, arguments, at)
    return _noted(run, layer, arguments, at, _forward_of_layer)


def _noted(run: Run, module: Instance | Layer, arguments: Arguments, at: ast.AST, forward: object) -> Value:
    run.called[id(module)] = run.places[id(module)] = (at, run.activation)
    outermost = not run.modules
    if outermost:
        run.inputs.setdefault(id(module), tuple(map(_signature, arguments)))
    run.modules.append(module)
    try:
        torch_transforms.recompute(run, module, at)
        result: Value = forward(run, module, arguments, at)  # type: ignore[operator]
    finally:
        run.modules.pop()
    result = _hooked(run, module, arguments, result, at)
    if outermost:
        run.outputs.setdefault(id(module), []).append(result)
        run.keep.append(module)
        torch_training.forwarded(run, module, result, at)
    return result


def _signature(value: Value) -> str:
    """`float32[2, 3]` for a tensor, the type's name for anything else."""
    if isinstance(value, Tensor):
        sizes = (
            ", ".join("?" if size is None else str(size) for size in value.shape) if value.shape is not None else "..."
        )
        return f"{value.dtype or 'tensor'}[{sizes}]"
    return type(value.value).__name__ if isinstance(value, Constant) else type(value).__name__.lower()


def _forward_of_instance(run: Run, module: Instance, arguments: Arguments, at: ast.AST) -> Value:
    own = module.attributes.get("forward")
    found = in_class(module.cls, "__call__") or in_class(module.cls, "forward")
    if own is not None:
        return run.call(own, arguments, at)
    if found is not None:
        return run.call(bind(run, found, module, at), arguments, at)
    if module.base is not None:
        return _forward_of_layer(run, module.base, arguments, at)
    return run.opaque(f"{module.cls.name} has no forward that can be read", (module, *arguments), at)


def _forward_of_layer(run: Run, layer: Layer, arguments: Arguments, at: ast.AST) -> Value:
    if layer.name == SEQUENTIAL:
        return _in_sequence(run, layer, arguments, at)
    if any(isinstance(part, Function) for part in (layer.attributes.get("forward"),)):
        return run.call(layer.attributes["forward"], arguments, at)
    settled = Arguments(
        tuple(run.settled(v) for v in arguments.positional),
        {name: run.settled(v) for name, v in arguments.named.items()},
        arguments.exact,
    )
    result = vocabulary.call_module(run, layer, settled, at)
    if result is not None:
        return result
    return run.opaque(f"{layer.name} is not known", (layer, *arguments), at, layer.name)


def _in_sequence(run: Run, layer: Layer, arguments: Arguments, at: ast.AST) -> Value:
    """The parts one after the other; one that is not known may be any."""
    value: Value | None = None
    for part in list(layer.attributes.values()):
        if isinstance(part, (Instance, Layer)) or not isinstance(part, (Tensor, Constant)):
            value = run.call(part, arguments if value is None else Arguments((value,)), at)
    if value is None:
        value = arguments.positional[0] if arguments.positional else Constant(None)
    return value if layer.known else run.opaque("parts of a sequence are not known", (value, layer), at)


def hook(run: Run, module: Value, name: str, arguments: Arguments) -> Value | None:
    """Hangs a function on a module; None for any other method."""
    if name not in HOOKS or not isinstance(module, (Instance, Layer)) or not arguments.positional:
        return None
    run.hooks.setdefault(id(module), []).append((HOOKS[name], arguments.positional[0]))
    run.keep.append(module)
    return Foreign("torch.utils.hooks.RemovableHandle")


def _hooked(run: Run, module: Instance | Layer, arguments: Arguments, result: Value, at: ast.AST) -> Value:
    for after, function in run.hooks.get(id(module), ()):
        inputs = Sequence(list(arguments.positional), "tuple")
        given = run.call(function, Arguments((module, inputs, result) if after else (module, inputs)), at)
        if after and not (isinstance(given, Constant) and given.value is None):
            result = run.join((result, given))
    return result
