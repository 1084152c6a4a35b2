"""Functions and classes of torch that are called by their full name."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint import ops
from gradlint.frontends.static.record import emission
from gradlint.frontends.static.record.emission import Output
from gradlint.frontends.static.torch import containers as torch_containers
from gradlint.frontends.static.torch import factories as torch_factories
from gradlint.frontends.static.torch import init as torch_init
from gradlint.frontends.static.torch import layers as torch_layers
from gradlint.frontends.static.torch import modes as torch_modes
from gradlint.frontends.static.torch import results as torch_results
from gradlint.frontends.static.torch import signatures as torch_signatures
from gradlint.frontends.static.torch import switches as torch_switches
from gradlint.frontends.static.torch import tensors as torch_tensors
from gradlint.frontends.static.torch import transforms as torch_transforms
from gradlint.frontends.static.torch.names import canonical, native
from gradlint.frontends.static.values import (
    Arguments,
    Constant,
    Foreign,
    Layer,
    Mapping,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import ValueKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

NONE = Constant(None)
Handler = Callable[["Run", Arguments, ast.AST], Value | None]

QUIET = frozenset(
    """manual_seed seed set_num_threads set_num_interop_threads set_default_dtype set_default_device
    set_default_tensor_type set_printoptions set_float32_matmul_precision use_deterministic_algorithms save
    _assert autocast_increment_nesting _check set_warn_always set_deterministic_debug_mode""".split()
)
"""Functions without a result."""

ASKING = {
    "torch.cuda.is_available": "bool",
    "torch.backends.mps.is_available": "bool",
    "torch.distributed.is_initialized": "bool",
    "torch.distributed.is_available": "bool",
    "torch.is_grad_enabled": "bool",
    "torch.is_autocast_enabled": "bool",
    "torch.is_inference_mode_enabled": "bool",
    "torch.cuda.device_count": "int",
    "torch.distributed.get_rank": "int",
    "torch.distributed.get_world_size": "int",
    "torch.get_num_threads": "int",
    "torch.initial_seed": "int",
    "torch.get_default_dtype": "dtype",
    "torch.get_autocast_dtype": "dtype",
    "torch.get_autocast_gpu_dtype": "dtype",
    "torch.finfo": "info",
    "torch.iinfo": "info",
    "torch.device": "device",
    "torch.cuda.current_device": "int",
    "torch.cuda.get_device_name": "str",
    "torch.get_rng_state": "state",
    "torch.promote_types": "dtype",
    "torch.result_type": "dtype",
    "torch.is_storage": "bool",
    "torch.numel": "int",
}
"""Functions that ask for something that carries no gradient, and the type of their answer."""

QUIET_MODULES = (
    "torch.cuda.",
    "torch.distributed.",
    "torch.multiprocessing.",
    "torch.backends.",
    "torch.profiler.",
    "torch.onnx.",
    "torch.mps.",
    "torch.random.",
    "torch.utils.tensorboard.",
    "torch.hub.",
    "torch.serialization.",
)
"""Modules whose functions make no value that a model computes with."""

CONTAINERS = torch_containers.CONTAINERS


def call(run: Run, full: str, args: Arguments, at: ast.AST) -> Value | None:
    """The result of calling something of torch; None for what is not known."""
    name = canonical(full)
    for handler in (_listed, torch_init.call, torch_transforms.call, _layer, _quiet):
        found = handler(run, name, args, at)
        if found is not None:
            return found
    return _function(run, name, args, at)


def _listed(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    if name in torch_modes.NAMES:
        return torch_modes.make(run, name, args, at)
    if name in torch_factories.HANDLERS:
        return torch_factories.HANDLERS[name](run, name, args, at)
    if name in CONTAINERS:
        return torch_containers.build(run, name, args, at)
    handler = _HANDLERS.get(name)
    return handler(run, args, at) if handler else None


def _layer(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A class of torch.nn; one that is not listed may hold any parameter."""
    if not name.startswith("torch.nn."):
        return None
    last = name.rpartition(".")[2]
    if last == "from_pretrained":
        return _pretrained(run, name, args, at)
    made = torch_layers.build(run, last, args, at)
    if made is None and last[:1].isupper() and not name.startswith("torch.nn.utils."):
        return Layer(name, dict(args.named), _held(run, args), run.frame(at), known=False)
    return made


def _held(run: Run, args: Arguments) -> dict[str, Value]:
    """The modules that were handed to a layer that is not known: parts of it, most likely."""
    given = [*enumerate(args.positional), *args.named.items()]
    return {str(name): value for name, value in given if run.is_module(value)}


def _pretrained(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """`nn.Embedding.from_pretrained(weights, freeze=True)`."""
    weights = args.positional[0] if args.positional else args.named.get("embeddings", args.named.get("_weight"))
    shape = weights.shape if isinstance(weights, Tensor) and weights.shape else (None, None)
    sizes = [Symbol("int") if size is None else Constant(size) for size in shape]
    freeze = args.positional[1] if len(args.positional) > 1 else args.named.get("freeze", Constant(True))
    kind = name.split(".")[-2]
    made = torch_layers.build(run, kind, Arguments((*sizes[:2],)), at)
    if isinstance(made, Layer) and isinstance(weight := made.attributes.get("weight"), Tensor):
        torch_switches.switch(
            run, weight, not run.truth(freeze) if run.truth(freeze) is not None else None, "Embedding", at
        )
    return made


def _quiet(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """Functions that set the library up or ask about it."""
    if name in ASKING:
        return Symbol(ASKING[name])
    if name.startswith("torch.") and name.removeprefix("torch.") in QUIET:
        return NONE
    if name.startswith(QUIET_MODULES) and not run.nodes_in(tuple(args)):
        made = name.rpartition(".")[2][:1].isupper()
        return Foreign(name, dict(args.named), {}, run.frame(at)) if made else Unknown(f"{name} is not evaluated")
    return None


def _function(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    bare = native(name)
    if bare is None:
        return None
    if bare in torch_factories.WRAPPERS:
        return torch_factories.wrapper(run, bare, args, at)
    if bare in torch_factories.FACTORIES or bare in torch_factories.LIKE:
        made = torch_factories.factory(run, bare, args, at)
        if made is not None:
            return made
    return _op(run, name, bare, args, at)


def _op(run: Run, name: str, bare: str, args: Arguments, at: ast.AST) -> Value | None:
    """An op by its bare name, its first argument by name moved to its place."""
    first = args.positional[0] if args.positional else args.named.get("input")
    if isinstance(first, Tensor) and (name.startswith("torch.Tensor.") or bare in METHODS_AS_FUNCTIONS):
        rest = Arguments(args.positional[1:], args.named, args.exact)
        return torch_tensors.method(run, first, bare, rest, at)
    known = ops.lookup("torch", bare)
    if known is None:
        return _unlisted(run, bare, args, at)
    if known.kind in (ops.Kind.METADATA,):
        return Symbol()
    if not run.nodes_in(tuple(args)) and not any(isinstance(value, Tensor) for value in args):
        return _of_unknowns(run, bare, args, at)
    return torch_results.op(run, *torch_signatures.recorded(name, bare, args), at)


def _of_unknowns(run: Run, bare: str, args: Arguments, at: ast.AST) -> Value:
    """An op on nothing that is known to be a tensor: still a tensor, of data."""
    if any(isinstance(value, Unknown) for value in args) or not args.exact:
        run.doubt()
        return Unknown(f"{bare} of values that are not known")
    return emission.emit(run, bare, args, at, Output())


def _unlisted(run: Run, bare: str, args: Arguments, at: ast.AST) -> Value | None:
    """A function of torch that the facts do not list: its result may carry the gradient of every tensor it reads."""
    if bare[:1].isupper() or "." in bare or not run.nodes_in(tuple(args)):
        return None
    run.doubt()
    call_ = emission.begin(run, bare, args, at)
    node = emission.result(run, call_, Output()).node
    return Unknown(f"torch.{bare} is not known", node)


METHODS_AS_FUNCTIONS = frozenset("detach detach_ numel is_floating_point is_complex t_".split())


def _is_tensor(run: Run, args: Arguments, at: ast.AST) -> Value:
    first = args.positional[0] if args.positional else NONE
    if isinstance(first, Tensor):
        return Constant(first.carrier is ValueKind.TENSOR)
    return Symbol("bool") if isinstance(first, (Unknown, Symbol)) else Constant(False)


def _size(run: Run, args: Arguments, at: ast.AST) -> Value:
    first = args.positional[0] if args.positional else Sequence([], "tuple")
    return Sequence(first.items, "tuple", first.exact) if isinstance(first, Sequence) else Sequence([], "tuple", False)


def _load(run: Run, args: Arguments, at: ast.AST) -> Value:
    return Mapping({}, exact=False)


def _norm(run: Run, args: Arguments, at: ast.AST) -> Value:
    """The norm of all gradients: a number without history."""
    return emission.data((), None)


_HANDLERS: dict[str, Handler] = {
    "torch.allclose": torch_tensors.compared,
    "torch.equal": torch_tensors.compared,
    "torch.is_nonzero": torch_tensors.compared,
    "torch.nn.utils.clip_grad_norm_": _norm,
    "torch.nn.utils.clip_grad.clip_grad_norm_": _norm,
    "torch.nn.utils.clip_grad_norm": _norm,
    "torch.nn.utils.get_total_norm": _norm,
    "torch.nn.utils.clip_grad_value_": lambda run, args, at: NONE,
    "torch.nn.utils.clip_grad.clip_grad_value_": lambda run, args, at: NONE,
    "torch._C._log_api_usage_once": lambda run, args, at: NONE,
    "torch._logging.warning_once": lambda run, args, at: NONE,
    "torch.fx.wrap": lambda run, args, at: args.positional[0] if args.positional else NONE,
    "torch.is_tensor": _is_tensor,
    "torch.Size": _size,
    "torch.load": _load,
    "torch.hub.load_state_dict_from_url": _load,
    "torch.Generator": lambda run, args, at: Foreign("torch.Generator"),
    "torch.jit.is_scripting": lambda run, args, at: Constant(False),
    "torch.jit.is_tracing": lambda run, args, at: Constant(False),
    "torch.compiler.is_compiling": lambda run, args, at: Constant(False),
    "torch.compiler.is_dynamo_compiling": lambda run, args, at: Constant(False),
    "torch._dynamo.is_compiling": lambda run, args, at: Constant(False),
    "torch.onnx.is_in_onnx_export": lambda run, args, at: Constant(False),
    "torch.overrides.has_torch_function": lambda run, args, at: Constant(False),
    "torch.jit.annotate": lambda run, args, at: args.positional[-1] if args.positional else None,
}
