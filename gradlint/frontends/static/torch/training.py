"""PyTorch's vocabulary of training: optimizers, schedulers, scalers, backward passes, clipping, modes; as events.

Each function looks at what the evaluator meets, notes an event, and gives a value for what only training knows; None
leaves the value to the others.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.record.kept_sums import loop_around
from gradlint.frontends.static.shapes.dtypes import canonical
from gradlint.frontends.static.steps.training_state import identity, note, tensor_identities
from gradlint.frontends.static.torch import gradients as torch_gradients
from gradlint.frontends.static.torch.backward import CLIPPING, backward, clipped, gradients_taken
from gradlint.frontends.static.torch.escapes import escaped as escaped
from gradlint.frontends.static.torch.optimizers import (
    MADE,
    NONE,
    OPTIMIZER,
    PARTS,
    argument,
    by_name,
    held,
    is_own_optimizer,
    note_about,
    note_module,
    role,
    role_of_name,
)
from gradlint.frontends.static.torch.unknown import of_unknown
from gradlint.frontends.static.values import (
    Arguments,
    Constant,
    External,
    Foreign,
    Layer,
    Mapping,
    Sequence,
    Symbol,
    Tensor,
    Unknown,
    Value,
)
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

HALF = frozenset({"float16", "half"})
FLOATING = frozenset({"float16", "bfloat16", "float32", "float64"})
FRAMEWORKS = frozenset({"accelerate", "lightning", "pytorch_lightning", "lightning_fabric", "ignite", "fastai"})
HARMLESS = frozenset({"builtins", "torch", "copy", "logging", "tqdm", "wandb", "torchsummary", "torchinfo", "json"})
HARMLESS |= {"pprint", "os", "sys", "math", "numpy", "matplotlib", "tensorboardX", "pickle", "functools", "itertools"}
"""Packages whose functions neither step nor clear."""


PARAMETRISING = frozenset({"weight_norm", "spectral_norm", "orthogonal", "register_parametrization"})
PARAMETRISING |= {"FullyShardedDataParallel", "FSDP", "fully_shard"}
"""What replaces the parameters of a module by others."""


def call_external(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A library's function or class is called."""
    last = name.rpartition(".")[2]
    made = MADE.get(role_of_name(name))
    if made is not None:
        return made(run, name, args, at)
    if last in CLIPPING:
        clipped(run, args, at)
        return None
    if last == "autocast" and name.startswith("torch."):
        return Foreign(name, by_name(args, _AUTOCAST.get(name, _DEVICE_FIRST)), made=run.frame(at))
    if name == "torch.autograd.backward":
        backward(run, argument(args, 0, "tensors"), args, at)
        return NONE
    if name == "torch.autograd.grad":
        gradients_taken(run, args, at)
        return None
    if name.startswith("torch._foreach_"):
        note(run, EventKind.UPDATE, at, facts={"sign": None, "scaled": True})
        return None
    if last in PARAMETRISING and args.positional and run.is_module(args.positional[0]):
        note_module(run, EventKind.CHANGED, at, args.positional[0], {"how": "parametrised"})
    if name.partition(".")[0] not in HARMLESS:
        escaped(run, args, at)
    return None


def call_method(run: Run, receiver: Value, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A method of a library's object, of a module or of something unknown is called."""
    part = role(receiver)
    if part:
        return PARTS[part](run, receiver, name, args, at)
    if isinstance(receiver, Foreign):
        return _of_framework(run, receiver, name, args, at)
    if name == "zero_grad" and is_own_optimizer(receiver):
        note_about(run, EventKind.ZERO_GRAD, at, receiver, None, {"of": OPTIMIZER})
        return NONE
    if run.is_module(receiver):
        _of_module(run, receiver, name, args, at)
        return None
    if isinstance(receiver, Tensor):
        return _of_tensor(run, receiver, name, args, at)
    if isinstance(receiver, Unknown):
        return of_unknown(run, receiver, name, args, at)
    return None


def _of_framework(run: Run, receiver: Foreign, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """`accelerator.prepare(...)`, `fabric.setup(...)`, `accelerator.backward(loss)` and the like."""
    if name == "backward":
        backward(run, argument(args, 0, "loss"), args, at, by_framework=True)
        return NONE
    if receiver.name.partition(".")[0] not in FRAMEWORKS:
        if receiver.name.partition(".")[0] not in HARMLESS:
            escaped(run, args, at)
        return None
    if name == "clip_grad_norm_" or name == "clip_grad_value_" or name == "clip_gradients":
        clipped(run, args, at)
        return None
    escaped(run, args, at)
    if name in ("prepare", "setup", "setup_optimizers", "prepare_model", "prepare_optimizer") and args.positional:
        return args.positional[0] if len(args.positional) == 1 else Sequence(list(args.positional), "tuple")
    return None


def _of_module(run: Run, receiver: Value, name: str, args: Arguments, at: ast.AST) -> None:
    match name:
        case "train" | "eval":
            on = Constant(False) if name == "eval" else argument(args, 0, "mode")
            off = on is not None and run.constant(on) is False
            note_module(run, EventKind.EVAL if off else EventKind.TRAIN, at, receiver)
        case "zero_grad":
            note_module(run, EventKind.ZERO_GRAD, at, receiver, {"of": "model"})
        case "half" | "float" | "bfloat16" | "double" | "cuda" | "to" | "to_empty" | "type" | "compile":
            _converted(run, receiver, name, args)
            note_module(run, EventKind.CHANGED, at, receiver, {"how": name})
        case "manual_backward":
            backward(run, argument(args, 0, "loss"), args, at, by_framework=True)
        case "load_state_dict":
            note_module(run, EventKind.CHANGED, at, receiver, {"how": "loaded"})


def _converted(run: Run, receiver: Value, name: str, args: Arguments) -> None:
    """Gives the floating parameters their new type, and keeps in mind which of them are float16."""
    tensors = list(run.module_parameters(receiver).values())
    parameters = tensor_identities(run, tensors)
    to = {value.name.rpartition(".")[2] for value in args if isinstance(value, External)} | {name}
    dtype = next((found for one in sorted(to) if (found := canonical(one)) in FLOATING), None)
    for tensor in tensors:
        if dtype is not None and tensor.dtype in FLOATING:
            run.write(tensor, "dtype", dtype)
    if to & HALF:
        run.training.halved.update(dict.fromkeys(parameters, len(run.events)))
    elif to & {"float", "bfloat16", "double", "float32"}:
        for number in parameters:
            run.training.halved.pop(number, None)


def _of_tensor(run: Run, receiver: Tensor, name: str, args: Arguments, at: ast.AST) -> Value | None:
    if name == "backward":
        backward(run, receiver, args, at)
        return NONE
    if name == "register_hook" or name == "register_post_accumulate_grad_hook":
        note(run, EventKind.CLIP, at, facts={"hook": True})
    torch_gradients.method(run, receiver, name, args, at)
    return None


def get_attribute(run: Run, receiver: Value, name: str, at: ast.AST) -> Value | None:
    """`w.grad`, `optimizer.param_groups`."""
    if name == "grad" and isinstance(receiver, Tensor):
        return torch_gradients.read(run, receiver, at)
    if name == "grad" and isinstance(receiver, Unknown):
        note(run, EventKind.GRADIENT, at, facts={"how": "read"})
    if role(receiver) == OPTIMIZER and name == "param_groups":
        note_about(run, EventKind.SCHEDULER, at, receiver, held(receiver), {"by_hand": True})
        group = Mapping({"params": Sequence(list(held(receiver) or ())), "lr": Symbol("float")}, exact=False)
        return Sequence([group], exact=False)
    return None


def set_attribute(run: Run, receiver: Value, name: str, value: Value, at: ast.AST) -> bool:
    """`w.grad = None`, `w.data = ...`; false leaves the writing to the others."""
    if isinstance(receiver, (Tensor, Unknown)) and name in ("grad", "data"):
        torch_gradients.assigned(run, receiver, name, value, at)
    return False


def calculated(run: Run, name: str, left: Value, right: Value | None, result: Value | None, at: ast.AST) -> None:
    """An operator or a tensor's method gave a result."""
    if run.training.gradients:
        torch_gradients.after(run, name, left, right, result, at)


def aliased(run: Run, tensor: Value, alias: Value | None) -> None:
    """A second name for a tensor's memory was made."""
    if (
        isinstance(tensor, Tensor)
        and isinstance(alias, Tensor)
        and (tensor.parameter or tensor.leaf or run.training.gradients)
    ):
        torch_gradients.aliased(run, tensor, alias)


def enter(run: Run, context: Value) -> None:
    """A `with` block of a library begins: autocast."""
    if isinstance(context, Foreign) and context.name.rpartition(".")[2] == "autocast":
        run.training.autocast.append((len(run.tape.nodes), _computes_in(run, context)))


def leave(run: Run, context: Value) -> None:
    """A `with` block of a library ends."""
    if isinstance(context, Foreign) and context.name.rpartition(".")[2] == "autocast" and run.training.autocast:
        first, dtype = run.training.autocast.pop()
        if dtype in HALF:
            run.training.half.append((first, len(run.tape.nodes), tuple(run.doubts)))


_DEVICE_FIRST = ("device_type", "dtype", "enabled", "cache_enabled")
_AUTOCAST = {
    "torch.cuda.amp.autocast": ("enabled", "dtype", "cache_enabled"),
    "torch.cuda.amp.autocast_mode.autocast": ("enabled", "dtype", "cache_enabled"),
    "torch.cpu.amp.autocast": ("enabled", "dtype", "cache_enabled"),
}


def _computes_in(run: Run, context: Foreign) -> str:
    """The type that a region computes in; empty where that is not known or nothing changes."""
    if run.constant(context.arguments.get("enabled"), True if "enabled" not in context.arguments else None) is not True:
        return ""
    dtype = context.arguments.get("dtype")
    if isinstance(dtype, External):
        return dtype.name.rpartition(".")[2]
    if dtype is not None and not (isinstance(dtype, Constant) and dtype.value is None):
        return ""
    device = run.constant(context.arguments.get("device_type"), "")
    on_gpu = context.name.startswith("torch.cuda.") or (isinstance(device, str) and device.startswith("cuda"))
    return "float16" if on_gpu else ""


def loops_over(run: Run, at: ast.AST) -> bool:
    """Whether what a call gets is what the innermost loop around it goes over."""
    loop = loop_around(run, at) if run.loops else None
    if not isinstance(loop, ast.For) or not isinstance(at, ast.Call):
        return False
    targets = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
    return any(isinstance(node, ast.Name) and node.id in targets for part in at.args for node in ast.walk(part))


def forwarded(run: Run, module: Value, result: Value, at: ast.AST) -> None:
    """The outermost call of a module, or a call of something unknown, gave a result."""
    known = run.is_module(module)
    named = run.module_parameters(module) if known else {}
    nodes = tuple(run.nodes_in(result))
    receiver = at.func if isinstance(at, ast.Call) else None
    facts = {
        "grad": run.grad_enabled,
        "nodes": nodes,
        "known": known,
        "modes": known and _has_modes(run, module),
        "made": getattr(module, "made", None),
        "created": run.training.created.get(id(module), ()),
        "by_loop": loops_over(run, at),
        "names": {identity(run, tensor): name for name, tensor in named.items()},
    }
    parameters = tensor_identities(run, list(named.values())) if known else None
    subject = identity(run, module, receiver)
    note(
        run,
        EventKind.FORWARD,
        at,
        subject=subject,
        node=nodes[0] if nodes else None,
        parameters=parameters,
        facts=facts,
    )


def called(run: Run, receiver: Value, name: str, at: ast.AST) -> None:
    """A method of the project's own was called: the step of an optimizer's subclass."""
    if name == "step" and is_own_optimizer(receiver):
        note_about(run, EventKind.STEP, at, receiver, None)


def collected(run: Run, kept: Sequence, args: Arguments, at: ast.AST) -> None:
    """A list that holds a tensor of an earlier pass gets another one."""
    first = kept.items[0] if kept.items else None
    added = args.positional[0] if args.positional else None
    if run.loops and run.grad_enabled and isinstance(first, Tensor) and isinstance(added, Tensor):
        facts = {"older": run.read(first), "newer": run.read(added), "born": kept.birth}
        note(run, EventKind.KEPT, at, node=facts["newer"], facts=facts)


_WITH_MODES = (
    "Dropout",
    "BatchNorm",
    "InstanceNorm",
    "RReLU",
    "AlphaDropout",
    "RNN",
    "LSTM",
    "GRU",
    "Multihead",
    "Encoder",
)


def _has_modes(run: Run, module: Value) -> bool:
    """Whether train and eval mode differ for a module, as far as can be known."""
    layers = [layer for _, layer in run.submodules(module) if isinstance(layer, Layer)]
    return any(not layer.known or any(word in layer.name for word in _WITH_MODES) for layer in layers)
