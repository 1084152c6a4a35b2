"""Functions of torch that take functions or modules: wrappers, reparametrisations, checkpoints, higher gradients."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlint.frontends.static.heap import ABSENT
from gradlint.frontends.static.record.emission import Output, begin, result
from gradlint.frontends.static.record.tensors_inside import named_modules
from gradlint.frontends.static.torch import layers as torch_layers
from gradlint.frontends.static.torch import results as torch_results
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Constant,
    Foreign,
    Instance,
    Layer,
    Mapping,
    Sequence,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import NodeKind, Passage, Reason

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

Handler = Callable[["Run", str, Arguments, ast.AST], Value | None]
NONE = Constant(None)
RNN = "torch.nn.utils.rnn."
WEIGHT_NORM = "_weight_norm"
CHECKPOINT_OPTIONS = frozenset("use_reentrant preserve_rng_state context_fn determinism_check debug".split())
WRAPPERS = frozenset(
    {
        "torch.nn.parallel.DataParallel",
        "torch.nn.parallel.DistributedDataParallel",
        "torch.distributed.fsdp.FullyShardedDataParallel",
        "torch.nn.parallel.DistributedDataParallelCPU",
    }
)
"""Modules that hold another one as `.module` and pass calls on to it."""


def call(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A call of one of these functions; None for any other."""
    if name in WRAPPERS:
        inner = args.positional[0] if args.positional else args.named.get("module", Unknown("a module"))
        return Layer(name, {}, {"module": inner}, run.frame(at))
    handler = _HANDLERS.get(name)
    return handler(run, name, args, at) if handler else None


def _first(args: Arguments, *names: str) -> Value | None:
    if args.positional:
        return args.positional[0]
    return next((args.named[name] for name in names if name in args.named), None)


def _same(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """`torch.compile(model)`: the model as it is; without one a decorator that changes nothing."""
    return _first(args, "model", "fn", "obj", "module", "func") or Foreign(name)


# --- checkpoints and gradients of functions


def _checkpoint(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    function = _first(args, "function")
    if function is None:
        return None
    named = {key: value for key, value in args.named.items() if key not in CHECKPOINT_OPTIONS and key != "function"}
    return run.call(function, Arguments(args.positional[1:], named, args.exact), at)


def _checkpoint_sequential(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    given = [*args.positional, *(args.named[key] for key in ("input",) if key in args.named)]
    if len(given) < 2:
        return None
    functions, value = given[0], given[-1]
    parts = functions.items if isinstance(functions, Sequence) else [functions]
    for part in parts:
        value = run.call(part, Arguments((value,)), at)
    return value


def _gradient(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    """`torch.autograd.grad`: off the graph unless it is told to make one of its own."""
    kept = args.named.get("create_graph", args.positional[4] if len(args.positional) > 4 else Constant(False))
    inputs = args.positional[1] if len(args.positional) > 1 else args.named.get("inputs", NONE)
    items = inputs.items if isinstance(inputs, Sequence) else [inputs]
    exact = inputs.exact if isinstance(inputs, Sequence) else isinstance(inputs, Tensor)
    off = run.truth(kept) is False
    if not off:
        run.partly.update(run.called)  # the ops of the backward pass stand in the graph as one
    fact = (Passage.BLOCKED, Reason.NON_DIFFERENTIABLE) if off else (Passage.FLOWS, None)
    sources = run.nodes_in((*args.positional[:3], *args.named.values()))
    made: list[Value] = []
    number = run.tape.call()
    for item in items:
        shape, dtype = (item.shape, item.dtype) if isinstance(item, Tensor) else (None, None)
        node = run.add(NodeKind.OP, "grad", at, call=number, dtype=dtype, shape=shape)
        for source in sources:
            run.tape.link(source, node, *fact)
        run.tape.nodes[node].requires_grad = False if off else None
        made.append(Tensor(node, shape, dtype))
    return Sequence(made, "tuple", exact)


# --- reparametrisations


def _parametrized(*originals: str, native: str, buffers: tuple[str, ...] = ()) -> Handler:
    """A reparametrisation of the first kind: the weight is computed from parameters beside it."""

    def wrap(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
        module, weight, attribute = _weight(run, args)
        if not isinstance(module, (Instance, Layer)) or not isinstance(weight, Tensor):
            return module
        parts = module.attributes
        run.write(parts, attribute, ABSENT)
        made = [_original(weight, position) for position in range(len(originals))]
        for suffix, original in zip(originals, made, strict=True):
            run.write(parts, attribute + suffix, original)
        for suffix in buffers:
            run.write(parts, attribute + suffix, Tensor(NO_NODE, dtype=weight.dtype, leaf=True))
        run.reparametrised.setdefault(id(module), []).append((attribute, native, made, weight, None))
        recompute(run, module, at)
        return module

    return wrap


def _parametrized_now(count: int, native: str) -> Handler:
    """A reparametrisation of `torch.nn.utils.parametrizations`."""

    def wrap(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
        module, weight, attribute = _weight(run, args)
        if not isinstance(module, (Instance, Layer)) or not isinstance(weight, Tensor):
            return module
        made = [_original(weight, position) for position in range(count)]
        names = ["original"] if count == 1 else [f"original{position}" for position in range(count)]
        part = Layer(name, {}, {}, run.frame(at))
        _keep_originals(run, module, attribute, dict(zip(names, made, strict=True)) | {"0": part})
        run.reparametrised.setdefault(id(module), []).append((attribute, native, made, weight, part))
        recompute(run, module, at)
        return module

    return wrap


def _weight(run: Run, args: Arguments) -> tuple[Value | None, Value | None, str]:
    module = _first(args, "module")
    named = args.positional[1] if len(args.positional) > 1 else args.named.get("name", args.named.get("tensor_name"))
    attribute = run.constant(named, "weight")
    weight = module.attributes.get(attribute) if isinstance(module, (Instance, Layer)) else None
    return module, weight, attribute if isinstance(attribute, str) else "weight"


def _original(weight: Tensor, position: int) -> Tensor:
    shape = weight.shape if position or weight.shape is None else (weight.shape[0],) + (1,) * (len(weight.shape) - 1)
    return Tensor(NO_NODE, shape, weight.dtype, parameter=True, leaf=True, made=weight.made)


def recompute(run: Run, module: Instance | Layer, at: ast.AST) -> None:
    """Computes the reparametrised weights of a module anew, as every call of it does.

    One that several branches made in ways of their own is any of theirs.
    """
    made: dict[str, list[Value]] = {}
    for attribute, native, originals, weight, part in run.reparametrised.get(id(module), ()):
        run.modules.extend([part] if part is not None else [])
        try:
            made.setdefault(attribute, []).append(_computed(run, native, originals, weight, at))
        finally:
            del run.modules[len(run.modules) - (part is not None) :]
    for attribute, values in made.items():
        run.write(module.attributes, attribute, run.settled(run.join(values)))


def _computed(run: Run, native: str, originals: list[Tensor], weight: Tensor, at: ast.AST) -> Tensor:
    """The weight as one op; a norm of another kind takes several, which are not told apart."""
    axis = (Constant(0),) if native == WEIGHT_NORM else ()
    if not axis:
        run.doubt()
    call_ = begin(run, native, Arguments((*originals[::-1], *axis)), at)
    return result(run, call_, Output(weight.dtype, weight.shape))


def _keep_originals(run: Run, module: Instance | Layer, attribute: str, originals: dict[str, Value]) -> None:
    holder = module.attributes.get("parametrizations")
    run.write(module.attributes, attribute, ABSENT)
    if not isinstance(holder, Layer):
        holder = Layer("torch.nn.ModuleDict")
        run.write(module.attributes, "parametrizations", holder)
    run.write(holder.attributes, attribute, Layer("torch.nn.ModuleList", {}, originals))


def _register(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """`register_parametrization(module, "weight", function)`."""
    module, weight, attribute = _weight(run, args)
    function = args.positional[2] if len(args.positional) > 2 else args.named.get("parametrization")
    if isinstance(module, (Instance, Layer)) and isinstance(weight, Tensor) and function is not None:
        _keep_originals(run, module, attribute, {"original": weight, "0": function})
        run.write(module.attributes, attribute, run.call(function, Arguments((weight,)), at))
    return module


# --- packed sequences


def _pack(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    data = _first(args, "input", "sequences") or NONE
    native = name.removeprefix(RNN)
    packed = torch_results.op(run, "_pack_padded_sequence", Arguments((data,)), at)
    tensor = packed if isinstance(packed, Tensor) else result(run, begin(run, native, Arguments((data,)), at), Output())
    batches = Tensor(NO_NODE, None, "int64", leaf=True)
    return Foreign(torch_layers.PACKED, {}, {"data": tensor, "batch_sizes": batches}, run.frame(at))


def _unpack(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    packed = _first(args, "sequence") or NONE
    inner = packed.state.get("data", NONE) if isinstance(packed, Foreign) else packed
    call_ = begin(run, "_pad_packed_sequence", Arguments((inner,)), at)
    lengths = Tensor(NO_NODE, None, "int64", leaf=True)
    return Sequence([result(run, call_, Output()), lengths], "tuple")


def _pad(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    return result(run, begin(run, "pad_sequence", args, at), Output())


def _vector(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    items, _ = run.iterate(args.positional[0], at) if args.positional else ([], False)
    return result(run, begin(run, "cat", Arguments((Sequence(items, "list"),)), at), Output())


def _stateless(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    """`functional_call(model, parameters, inputs)`: the model's ops are followed with these parameters.

    Where it is not known which parameters are others, the result may have been computed from any of both.
    """
    module, others, inputs, options = _stateless_arguments(args)
    items = inputs.items if isinstance(inputs, Sequence) else [inputs]
    named = {str(key): value for key, value in options.items.items()} if isinstance(options, Mapping) else {}
    places = _places_of(module, others)
    before = [(holder, name, holder.attributes[name]) for holder, name, _ in places or ()]
    for holder, name, value in places or ():
        run.write(holder.attributes, name, value)
    try:
        outcome = run.call(module, Arguments(tuple(items), named), at)
    finally:
        for holder, name, value in before:
            run.write(holder.attributes, name, value)
    if places is not None:
        return outcome
    return run.opaque("parameters are replaced for one call", (outcome, others, inputs, options), at)


def _stateless_arguments(args: Arguments) -> tuple[Value, Value, Value, Value]:
    """The module, the tensors by name, the positional and the named inputs."""
    names = ("module", "parameters_and_buffers", "args", "kwargs")
    given = dict(zip(names, args.positional, strict=False)) | args.named
    found = [given.get(name, NONE) for name in names]
    return found[0], found[1], found[2] if "args" in given else Sequence([], "tuple"), found[3]


def _places_of(module: Value, others: Value) -> list[tuple[Instance | Layer, str, Value]] | None:
    """The modules and attributes that named tensors take the place of; None where one of them is not known."""
    dicts = others.items if isinstance(others, Sequence) and others.exact else [others]
    if not all(isinstance(one, Mapping) and one.exact for one in dicts):
        return None
    found = [
        _place_of(module, str(path), value)
        for one in dicts
        if isinstance(one, Mapping)
        for path, value in one.items.items()
    ]
    whole = [place for place in found if place is not None]
    return whole if len(whole) == len(found) else None


def _place_of(module: Value, path: str, value: Value) -> tuple[Instance | Layer, str, Value] | None:
    *parts, name = path.split(".")
    holder: Value | None = module
    for part in parts:
        holder = holder.attributes.get(part) if isinstance(holder, (Instance, Layer)) else None
    known = isinstance(holder, (Instance, Layer)) and name in holder.attributes
    return (holder, name, value) if known and isinstance(holder, (Instance, Layer)) else None


def _synchronised(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """`convert_sync_batchnorm(model)`: its batch norms see the batches of all processes."""
    model = _same(run, name, args, at)
    for _, part in named_modules(model) if model is not None else ():
        if isinstance(part, Layer) and part.name.startswith(BATCH_NORMS):
            run.write(part, "name", SYNCHRONISED)
    return model


BATCH_NORMS, SYNCHRONISED = "torch.nn.BatchNorm", "torch.nn.SyncBatchNorm"


def module_call(run: Run, layer: Layer, args: Arguments, at: ast.AST) -> Value | None:
    """A call of a wrapper: of the module inside."""
    return run.call(layer.attributes["module"], args, at) if layer.name in WRAPPERS else None


_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(
        """torch.compile torch.jit.script torch.jit.trace torch.jit.freeze torch.jit.optimize_for_inference
        torch.jit.ignore torch.jit.unused torch.jit.export torch.vmap torch.func.vmap torch.compiler.disable
        torch.nn.utils.remove_weight_norm torch.nn.utils.remove_spectral_norm torch._dynamo.disable
        torch.autograd.function.once_differentiable
        torch.quantization.prepare torch.quantization.convert torch._dynamo.optimize torch.amp.custom_fwd
        torch.cuda.amp.custom_fwd torch.cuda.amp.custom_bwd torch.amp.custom_bwd torch.jit.script_if_tracing
        torch.nn.utils.skip_init_same torch.nn.utils.fusion.fuse_conv_bn_eval""".split(),
        _same,
    ),
    "torch.nn.SyncBatchNorm.convert_sync_batchnorm": _synchronised,
    "torch.utils.checkpoint.checkpoint": _checkpoint,
    "torch.utils.checkpoint.checkpoint_sequential": _checkpoint_sequential,
    "torch.autograd.grad": _gradient,
    "torch.func.functional_call": _stateless,
    "torch.nn.utils.stateless.functional_call": _stateless,
    "torch.nn.utils.weight_norm": _parametrized("_g", "_v", native=WEIGHT_NORM),
    "torch.nn.utils.spectral_norm": _parametrized("_orig", native="div", buffers=("_u", "_v")),
    "torch.nn.utils.parametrizations.weight_norm": _parametrized_now(2, WEIGHT_NORM),
    "torch.nn.utils.parametrizations.spectral_norm": _parametrized_now(1, "div"),
    "torch.nn.utils.parametrizations.orthogonal": _parametrized_now(1, "linalg_householder_product"),
    "torch.nn.utils.parametrize.register_parametrization": _register,
    "torch.nn.utils.rnn.pack_padded_sequence": _pack,
    "torch.nn.utils.rnn.pack_sequence": _pack,
    "torch.nn.utils.rnn.pad_packed_sequence": _unpack,
    "torch.nn.utils.rnn.pad_sequence": _pad,
    "torch.nn.utils.parameters_to_vector": _vector,
}
