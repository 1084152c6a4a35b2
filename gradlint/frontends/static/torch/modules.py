"""Modules of torch: the methods and attributes that every one of them has."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.record import emission
from gradlint.frontends.static.torch import factories as torch_factories
from gradlint.frontends.static.torch import switches as torch_switches
from gradlint.frontends.static.torch.containers import CONTAINER_METHODS, CONTAINERS
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Choice,
    Constant,
    External,
    Foreign,
    Instance,
    Layer,
    Mapping,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

NONE = Constant(None)
Module = Instance | Layer
Handler = Callable[["Run", Module, Arguments, ast.AST], Value | None]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NAMESPACE = "argparse.Namespace"
TRAINING = "training"
HANDLE = "torch.utils.hooks.RemovableHandle"


# --- methods


def method(run: Run, receiver: Module, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """The result of a method that `nn.Module` or a container defines; None for one that is not known."""
    base = receiver.base if isinstance(receiver, Instance) else receiver
    if base is not None and base.name in CONTAINERS and name in CONTAINER_METHODS:
        return CONTAINER_METHODS[name](run, receiver, args, at)
    if name in RETURNING_SELF:
        return receiver
    if name in WITHOUT_RESULT:
        return NONE
    handler = _METHODS.get(name)
    if handler is not None:
        return handler(run, receiver, args, at)
    return Foreign(HANDLE) if name.startswith("register_") and name.endswith("_hook") else None


RETURNING_SELF = frozenset(
    "to cuda cpu xpu ipu float double bfloat16 half to_empty share_memory type compile to_channels_last".split()
)
WITHOUT_RESULT = frozenset(
    """zero_grad reset_parameters flatten_parameters extra_repr gradient_checkpointing_enable
    gradient_checkpointing_disable add_loss _reset_parameters initialize_parameters log log_dict print
    toggle_optimizer untoggle_optimizer""".split()
)
"""Methods that change nothing that the graph shows (those of Lightning's module included)."""


def _set_mode(value: bool) -> Handler:
    def switch(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
        wanted = run.truth(args.positional[0] if args.positional else args.named.get("mode", Constant(True)))
        mode: Value = Constant(bool(value and wanted)) if wanted is not None else Symbol("bool")
        for _, part in run.submodules(receiver):
            run.write(part.attributes if isinstance(part, Instance) else part.arguments, TRAINING, mode)
        return receiver

    return switch


def _save_hyperparameters(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    """Lightning keeps what the running constructor got, and the settings that it is given, as `self.hparams`."""
    node, scope = run.activation.node, run.activation.scope
    declared = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs] if isinstance(node, FUNCTIONS) else []
    kept = {one.arg: scope.names[one.arg] for one in declared[1:] if one.arg in scope.names}
    for value in args.positional:
        kept |= value.state if isinstance(value, Foreign) and value.name == NAMESPACE else {}
    run.write(receiver.attributes, "hparams", Foreign(NAMESPACE, {}, kept))
    return NONE


def _parameters(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    found = _named(run, receiver, args)
    return Sequence(list(found.values()), "generator", _is_complete(run, receiver))


def _named_parameters(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    pairs = [Sequence([Constant(name), value], "tuple") for name, value in _named(run, receiver, args).items()]
    return Sequence(list(pairs), "generator", _is_complete(run, receiver))


def _named(run: Run, receiver: Module, args: Arguments) -> dict[str, Tensor]:
    deep = run.truth(args.named.get("recurse", Constant(True))) is not False
    found = run.module_parameters(receiver)
    return found if deep else {name: value for name, value in found.items() if "." not in name}


def _is_complete(run: Run, receiver: Module) -> bool:
    """Whether all parts of a module are known."""
    parts = [part for _, part in run.submodules(receiver)]
    return all(part.known for part in parts if isinstance(part, Layer)) and not any(
        isinstance(value, Unknown) for part in parts for value in part.attributes.values()
    )


def _buffers(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    return Sequence([value for _, value in _named_tensors(run, receiver)], "generator", _is_complete(run, receiver))


def _named_buffers(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    pairs = [Sequence([Constant(name), value], "tuple") for name, value in _named_tensors(run, receiver)]
    return Sequence(list(pairs), "generator", _is_complete(run, receiver))


def _named_tensors(run: Run, receiver: Module) -> list[tuple[str, Value]]:
    return [
        (f"{prefix}.{name}".lstrip("."), value)
        for prefix, part in run.submodules(receiver)
        for name, value in part.attributes.items()
        if isinstance(value, Tensor) and not value.parameter
    ]


def _modules(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    return Sequence([part for _, part in run.submodules(receiver)], "generator", _is_complete(run, receiver))


def _named_modules(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    pairs = [Sequence([Constant(name), part], "tuple") for name, part in run.submodules(receiver)]
    return Sequence(list(pairs), "generator", _is_complete(run, receiver))


def children(run: Run, receiver: Module) -> list[tuple[str, Value]]:
    """The direct parts of a module that are modules, or may be."""
    return [
        (name, value)
        for name, value in receiver.attributes.items()
        if run.is_module(value) or isinstance(value, Unknown) or _may_be_module(run, value)
    ]


def _may_be_module(run: Run, value: Value) -> bool:
    return isinstance(value, Choice) and any(run.is_module(option) for option in value.options)


def _children(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    return Sequence([part for _, part in children(run, receiver)], "generator", _is_complete(run, receiver))


def _named_children(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    pairs = [Sequence([Constant(name), part], "tuple") for name, part in children(run, receiver)]
    return Sequence(list(pairs), "generator", _is_complete(run, receiver))


def _apply(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    """`net.apply(function)`: on every part, the innermost first."""
    for _, part in reversed(list(run.submodules(receiver))):
        run.call(args.positional[0] if args.positional else args.named.get("fn", NONE), Arguments((part,)), at)
    return receiver


def _requires_grad(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    wanted = run.truth(args.positional[0] if args.positional else args.named.get("requires_grad", Constant(True)))
    for value in run.module_parameters(receiver).values():
        torch_switches.switch(run, value, wanted, "requires_grad_", at)
    return receiver


def _register(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    """`register_parameter`, `register_buffer`, `register_module`, `add_module`."""
    named = [args.named[key] for key in ("name", "tensor", "param", "module") if key in args.named]
    given = [*args.positional, *named]
    name = run.constant(given[0]) if given else None
    if len(given) > 1 and isinstance(name, str):
        run.set(receiver, name, given[1], at)
    elif len(given) > 1:
        run.write(receiver.attributes, f"<unknown {len(receiver.attributes)}>", given[1])
    return NONE


def _submodule(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    """`get_submodule("a.b")`, `get_parameter`, `get_buffer`."""
    path = run.constant(args.positional[0]) if args.positional else None
    if not isinstance(path, str):
        return run.opaque("a part whose name is not known", (receiver,), at)
    found: Value = receiver
    for name in filter(None, path.split(".")):
        found = run.get(found, name, at)
    return found


def _state_dict(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    """The parameters and buffers by name, without history unless these are kept."""
    whole = {**run.module_parameters(receiver), **dict(_named_tensors(run, receiver))}
    if run.truth(args.named.get("keep_vars", Constant(False))):
        return Mapping(dict(whole), _is_complete(run, receiver))
    items = {name: emission.data(v.shape, v.dtype) for name, v in whole.items() if isinstance(v, Tensor)}
    return Mapping(dict(items), exact=False)


def _load(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    return Sequence([Sequence([], "list", exact=False), Sequence([], "list", exact=False)], "tuple")


def _set_submodule(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    path = run.constant(args.positional[0]) if args.positional else None
    if isinstance(path, str) and len(args.positional) > 1:
        owner, _, name = path.rpartition(".")
        holder = _submodule(run, receiver, Arguments((Constant(owner),)), at)
        run.set(holder, name, args.positional[1], at)
    return NONE


def _freeze(run: Run, receiver: Module, args: Arguments, at: ast.AST) -> Value:
    """Lightning's `freeze()`."""
    _requires_grad(run, receiver, Arguments((Constant(False),)), at)
    return NONE


_METHODS: dict[str, Handler] = {
    "save_hyperparameters": _save_hyperparameters,
    "parameters": _parameters,
    "named_parameters": _named_parameters,
    "buffers": _buffers,
    "named_buffers": _named_buffers,
    "modules": _modules,
    "named_modules": _named_modules,
    "children": _children,
    "named_children": _named_children,
    "train": _set_mode(True),
    "eval": _set_mode(False),
    "apply": _apply,
    "requires_grad_": _requires_grad,
    "freeze": _freeze,
    "register_parameter": _register,
    "register_buffer": _register,
    "register_module": _register,
    "add_module": _register,
    "get_submodule": _submodule,
    "get_parameter": _submodule,
    "get_buffer": _submodule,
    "set_submodule": _set_submodule,
    "state_dict": _state_dict,
    "load_state_dict": _load,
    "__len__": lambda run, receiver, args, at: Symbol("int"),
    "_get_name": lambda run, receiver, args, at: Symbol("str"),
}


# --- attributes


def attribute(run: Run, receiver: Module, name: str, at: ast.AST) -> Value | None:
    """An attribute that every module has; None for any other."""
    if isinstance(receiver, Instance) and receiver.base is not None and name in receiver.base.arguments:
        return receiver.base.arguments[name]
    if name == "__class__" and isinstance(receiver, Layer):
        return External(receiver.name)
    if name == "_modules":
        return Mapping(dict(children(run, receiver)))
    if name == "_parameters":
        return Mapping({n: v for n, v in receiver.attributes.items() if isinstance(v, Tensor) and v.parameter})
    if name == "_buffers":
        return Mapping({n: v for n, v in receiver.attributes.items() if isinstance(v, Tensor) and not v.parameter})
    return _LIGHTNING.get(name)


_LIGHTNING: dict[str, Any] = {
    "device": Symbol("device"),
    "dtype": Symbol("dtype"),
    "current_epoch": Symbol("int"),
    "global_step": Symbol("int"),
    "automatic_optimization": Constant(True),
}


def set_attribute(run: Run, receiver: Module, name: str, value: Value, at: ast.AST) -> bool:
    """Assigns an attribute of a module; whether that is done. `data_parallel.module = x` is an assignment as any."""
    if name == TRAINING and isinstance(receiver, Layer):
        run.write(receiver.arguments, TRAINING, value)
        return True
    if isinstance(value, Tensor) and not value.parameter and torch_factories.in_constructor(run):
        _keep_aside(run, value)
    return False


def _keep_aside(run: Run, value: Tensor) -> None:
    """Marks what a constructor keeps that was computed from a parameter, with the place of its making."""
    if value.node == NO_NODE or value.leaf or emission.requires_grad(run, value) is not True:
        return
    node = run.tape.nodes[value.node]
    value.state[emission.ASIDE] = True
    if value.made is None and node.activation is not None and node.at is not None:
        value.made = node.activation.frame(node.at)
