"""Optimizers, learning-rate schedulers and gradient scalers: their making, what they hold, and their methods."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeGuard

from gradlint.frontends.static.steps.training_state import identity, note, tensor_identities
from gradlint.frontends.static.values import (
    NO_NODE,
    Arguments,
    Bound,
    Choice,
    Constant,
    External,
    Foreign,
    Function,
    Instance,
    Mapping,
    Sequence,
    Tensor,
    Unknown,
    Value,
)
from gradlint.graph import NodeKind, Passage
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

NONE = Constant(None)
GROUPS = " groups"
"""Where an optimizer keeps its parameters: no attribute can have this name."""

OPTIMIZER = "optimizer"
SCHEDULER = "scheduler"
SCALER = "scaler"
FOREIGN_OPTIMIZERS = frozenset({"torch_optimizer", "lion_pytorch", "dadaptation", "prodigyopt", "schedulefree"})
"""Packages of optimizers whose names do not say so."""


def role(value: Value) -> str:
    """What part a library's object plays in training; empty for all others."""
    if isinstance(value, Choice):
        return next(filter(None, map(role, value.options)), "")
    return role_of_name(value.name) if isinstance(value, Foreign) else ""


def role_of_name(name: str) -> str:
    parts = name.split(".")
    last = parts[-1]
    if last == "GradScaler" or last == "ShardedGradScaler":
        return SCALER
    if "lr_scheduler" in parts or last.endswith("LR") or (last.startswith("get_") and last.endswith("schedule")):
        return SCHEDULER
    if last.endswith("_with_warmup") or last == "get_scheduler":
        return SCHEDULER
    optimizers = any("optim" in part for part in parts[:-1]) or parts[0] in FOREIGN_OPTIMIZERS
    known = last[:1].isupper() and "swa_utils" not in parts and last != "Optimizer"
    return OPTIMIZER if optimizers and known else ""


def _build_optimizer(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    given = argument(args, 0, "params")
    tensors, exact = parameters_of(given)
    made = Foreign(name, dict(args.named), {GROUPS: Sequence(list(tensors))}, run.frame(at))
    for tensor in tensors:
        run.optimized[id(tensor)] = tensor
    exact = exact and args.exact and given is not None
    facts = {"class": name.rpartition(".")[2], "exact": exact} | _rates(run, given, args)
    facts["network"] = any(tensor.parameter for tensor in tensors) or "parameters(" in _written(at)
    facts["linear"] = _is_linear(tensors, exact)
    facts["momentum"] = run.constant(args.named.get("momentum"), 0) != 0
    note_about(run, EventKind.OPTIMIZER, at, made, tensors if exact or tensors else None, facts)
    return made


def _is_linear(tensors: list[Tensor], exact: bool) -> bool | None:
    """Whether the parameters are those of one layer, vectors aside; None where not all of them are known."""
    matrices = [tensor for tensor in tensors if tensor.shape is None or len(tensor.shape) > 1]
    return False if len(matrices) > 1 else True if exact and tensors else None


def _written(at: ast.AST) -> str:
    """How the parameters are written."""
    given = (
        [*at.args[:1], *(word.value for word in at.keywords if word.arg == "params")]
        if isinstance(at, ast.Call)
        else []
    )
    return ast.unparse(given[0]) if given else ""


def _rates(run: Run, given: Value | None, args: Arguments) -> dict[str, Any]:
    """The learning rate where one constant counts for all parameters, else those of the groups that have their own."""
    groups = given.items if isinstance(given, Sequence) else []
    own = [group.items["lr"] for group in groups if isinstance(group, Mapping) and "lr" in group.items]
    known = [float(rate) for value in own if _is_rate(rate := run.constant(value))]
    if own:
        return {"rates": tuple(known)}
    rate = run.constant(argument(args, 1, "lr"))
    return {"lr": float(rate)} if _is_rate(rate) else {}


def _is_rate(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def parameters_of(value: Value | None) -> tuple[list[Tensor], bool]:
    """The tensors that an optimizer is given, and whether these are all."""
    match value:
        case Tensor():
            return [value], True
        case Mapping(items=items, exact=exact) if "params" in items:
            found, all_known = parameters_of(items["params"])
            return found, all_known and exact
        case Sequence(items=items, exact=exact):
            parts = [parameters_of(item) for item in items]
            return _united(parts), exact and all(known for _, known in parts)
        case Choice(options=options):
            return _united([parameters_of(option) for option in options]), False
        case Constant():
            return [], True
    return [], False


def _united(parts: Iterable[tuple[list[Tensor], bool]]) -> list[Tensor]:
    return list({id(tensor): tensor for tensors, _ in parts for tensor in tensors}.values())


def _build_scheduler(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    optimizer = argument(args, 0, "optimizer")
    made = Foreign(name, dict(args.named), {OPTIMIZER: optimizer or NONE}, run.frame(at))
    facts = {"class": name.rpartition(".")[2], "of": identity_of(run, optimizer)}
    note(run, EventKind.SCHEDULER, at, subject=identity(run, made), facts=facts)
    return made


def _build_scaler(run: Run, name: str, args: Arguments, at: ast.AST) -> Value:
    return Foreign(name, dict(args.named), made=run.frame(at))


MADE = {OPTIMIZER: _build_optimizer, SCHEDULER: _build_scheduler, SCALER: _build_scaler}


def _of_optimizer(run: Run, receiver: Value, name: str, args: Arguments, at: ast.AST) -> Value | None:
    if name == "step":
        closure = argument(args, 0, "closure")
        result = run.call(closure, Arguments(), at) if isinstance(closure, (Function, Bound)) else NONE
        note_about(run, EventKind.STEP, at, receiver, held(receiver))
        return result
    if name == "zero_grad":
        note_about(run, EventKind.ZERO_GRAD, at, receiver, held(receiver), {"of": OPTIMIZER})
        return NONE
    if name == "add_param_group":
        _group_added(run, receiver, args, at)
        return NONE
    if name == "load_state_dict":
        note_about(run, EventKind.CHANGED, at, receiver, held(receiver), {"how": "state loaded"})
    return None


def _group_added(run: Run, receiver: Value, args: Arguments, at: ast.AST) -> None:
    tensors, exact = parameters_of(argument(args, 0, "param_group"))
    for optimizer in options_of(receiver):
        groups = optimizer.state.get(GROUPS) if isinstance(optimizer, Foreign) else None
        if isinstance(groups, Sequence):
            run.extend(groups, tensors)
    for tensor in tensors:
        run.optimized[id(tensor)] = tensor
    note_about(run, EventKind.OPTIMIZER, at, receiver, tensors, {"exact": exact, "added": True})


def _of_scheduler(run: Run, receiver: Value, name: str, args: Arguments, at: ast.AST) -> Value | None:
    if name == "step":
        optimizer = options_of(receiver)[0].state.get(OPTIMIZER)
        facts = {"of": identity_of(run, optimizer), "given": bool(args.positional or args.named)}
        note(run, EventKind.SCHEDULE, at, subject=identity(run, receiver), facts=facts)
        return NONE
    return None


def _of_scaler(run: Run, receiver: Value, name: str, args: Arguments, at: ast.AST) -> Value | None:
    first = argument(args, 0, "outputs" if name == "scale" else "optimizer")
    if name == "scale" and first is not None:
        return first if _switched_off(run, receiver) else scaled(run, first, at)
    if name == "unscale_" and first is not None:
        note_about(run, EventKind.UNSCALE, at, first, held(first))
        return NONE
    if name == "step" and first is not None:
        note_about(run, EventKind.STEP, at, first, held(first), {"scaler": True})
        return NONE
    return NONE if name == "update" else None


def _switched_off(run: Run, scaler: Value) -> bool:
    return isinstance(scaler, Foreign) and run.constant(scaler.arguments.get("enabled"), True) is False


PARTS = {OPTIMIZER: _of_optimizer, SCHEDULER: _of_scheduler, SCALER: _of_scaler}


def is_own_optimizer(value: Value) -> bool:
    """Whether a value is an object of the project's own subclass of torch's optimizer."""
    if not isinstance(value, Instance):
        return False
    bases = [base.name for base in value.cls.order if isinstance(base, External)]
    return any(name.endswith(".Optimizer") or role_of_name(name) == OPTIMIZER for name in bases)


def options_of(value: Value) -> list[Foreign]:
    return [o for o in (value.options if isinstance(value, Choice) else (value,)) if isinstance(o, Foreign)]


def held(value: Value) -> list[Tensor] | None:
    """The parameters of an optimizer; None where they are not known."""
    found: list[Tensor] = []
    for optimizer in options_of(value):
        groups = optimizer.state.get(GROUPS)
        found += [t for t in groups.items if isinstance(t, Tensor)] if isinstance(groups, Sequence) else []
    return found or None


def identity_of(run: Run, value: Value | None) -> int | None:
    return identity(run, value) if value is not None else None


def note_about(
    run: Run,
    kind: EventKind,
    at: ast.AST | None,
    subject: Value,
    tensors: list[Tensor] | None,
    facts: dict[str, Any] | None = None,
    place: ast.AST | None = None,
) -> None:
    number = identity(run, subject, place or (receiver_at(at) if at is not None else None))
    parameters = tensor_identities(run, tensors) if tensors is not None else None
    note(run, kind, at, subject=number, parameters=parameters, facts=facts or {})


def note_module(
    run: Run, kind: EventKind, at: ast.AST | None, module: Value, facts: dict[str, Any] | None = None
) -> None:
    note_about(run, kind, at, module, list(run.module_parameters(module).values()), facts)


def argument(args: Arguments, index: int, name: str) -> Value | None:
    return args.positional[index] if index < len(args.positional) else args.named.get(name)


def by_name(args: Arguments, names: tuple[str, ...]) -> dict[str, Value]:
    return dict(zip(names, args.positional, strict=False)) | args.named


def receiver_at(at: ast.AST) -> ast.AST | None:
    return at.func.value if isinstance(at, ast.Call) and isinstance(at.func, ast.Attribute) else None


def scaled(run: Run, loss: Value, at: ast.AST) -> Value:
    """The loss times the scale."""
    node = run.read(loss)
    made: Value = Unknown("a scaled loss")
    if node != NO_NODE:
        made_node = run.linked(NodeKind.OP, "mul", [node], at, Passage.FLOWS)
        made = Tensor(made_node) if isinstance(loss, Tensor) else Unknown("a scaled loss", made_node)
    run.training.scaled.add(identity(run, made))
    return made
