"""Custom autograd functions, checked against finite differences in double precision."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch

from gradlint.frontends.recorder.frames import decoded, is_library
from gradlint.frontends.recorder.mode import CustomCalls
from gradlint.frontends.recorder.tape import Tape
from gradlint.frontends.recorder.tensors import tensors_in
from gradlint.graph import Frame, FunctionCheck, Passage, Reason

STEP = 1e-5
"""Step of the central differences: near the cube root of double precision's epsilon, where their error is least."""
TOLERANCE = 1e-3
"""Relative disagreement above which a derivative is wrong: far above the differences' own error of about 1e-9."""
PROBES = 3
"""Random directions in which the derivative is compared."""
PLACEHOLDER = 0.5
"""Stands for a factor that is 0 at the moment, as the strength of a gradient reversal in its first step."""
LARGEST = 4096
"""Elements of an input beyond which only a part is used."""

MISSING = "its backward is missing"
COUNT = "its backward returns the wrong number of gradients"
NOTHING = "its backward returns no gradient for an input that needs one"
ZERO = "its backward returns zeros for an input that the output depends on"
WRONG = "its backward disagrees with finite differences of its forward"
FLAT = "its backward returns zeros, as its forward is flat wherever it does not jump"


def checks(customs: dict[type, CustomCalls], tape: Tape) -> Iterator[FunctionCheck]:
    """One check for every custom function of the user's own; its edges are closed where no gradient passes."""
    for function, calls in customs.items():
        path = _path(function)
        if path is None or is_library(path):
            continue
        fault, closed = _fault(function, calls.args)
        for sources, node in calls.links:
            _close(tape, {sources[position] for position in closed if position < len(sources)}, node)
        place = next((frame for frame in decoded(calls.frames) if frame.user), None)
        nodes = tuple(node for _, node in calls.links)
        yield FunctionCheck(function.__name__, fault, _backward_at(function, path), place, nodes)


def _path(function: type) -> str | None:
    try:
        return inspect.getsourcefile(function)
    except TypeError:
        return None


def _close(tape: Tape, sources: set[int], node: int) -> None:
    for source in sources:
        if tape.edges.get((source, node), (None,))[0] is Passage.FLOWS:
            tape.edges[source, node] = (Passage.BLOCKED, Reason.CUSTOM_FUNCTION)


def _backward_at(function: type, path: str) -> Frame | None:
    """The `def` line of the function's backward, else its class line."""
    backward = vars(function).get("backward")
    target: Any = getattr(backward, "__func__", backward) or function
    try:
        lines, start = inspect.getsourcelines(target)
    except (OSError, TypeError):
        return None
    offset = next((n for n, line in enumerate(lines) if line.lstrip().startswith(("def ", "class "))), 0)
    text = lines[offset].rstrip()
    indent = len(text) - len(text.lstrip())
    line = start + offset
    return Frame(path, line, indent + 1, line, len(text) + 1, f"{function.__name__}.backward")


def _fault(function: type, args: tuple[Any, ...]) -> tuple[str, set[int]]:
    """What is wrong with a function, empty when nothing is or when it cannot be told, and which of its tensors get no
    gradient, by their position among the tensors."""
    tensors = tensors_in(args)
    if not {"backward", "vjp"} & _overridden(function):
        return MISSING, set(range(len(tensors)))
    if not any(tensor.is_floating_point() for tensor in tensors):
        return "", set()
    try:
        verdicts = _verdicts(function, tuple(map(_double, args)))
    except RuntimeError as error:
        return (COUNT if "incorrect number of gradients" in str(error) else ""), set()
    except Exception:
        return "", set()
    verdicts = _with_steps(verdicts)
    worst = next((fault for fault in (NOTHING, ZERO, WRONG) if fault in verdicts.values()), "")
    return worst, {position for position, fault in verdicts.items() if fault in (NOTHING, ZERO)}


def _overridden(function: type) -> set[str]:
    return {name for cls in function.__mro__ if cls.__module__.split(".")[0] != "torch" for name in vars(cls)}


def _double(value: Any) -> Any:
    if type(value) is float and value == 0.0:
        return PLACEHOLDER
    if not isinstance(value, torch.Tensor) or value.is_meta:
        return value
    copy = value.detach().clone()
    copy = copy[: max(1, LARGEST // max(1, copy[0].numel()))] if copy.ndim > 1 and copy.numel() > LARGEST else copy
    return copy.double().requires_grad_(value.requires_grad) if copy.is_floating_point() else copy


def _verdicts(function: Any, args: tuple[Any, ...]) -> dict[int, str]:
    """The fault of every tensor argument that wants a gradient, by its position among the tensors."""
    inputs = {position: tensor for position, tensor in enumerate(tensors_in(args)) if tensor.requires_grad}
    outputs = _floats(function.apply(*args))
    if not inputs or not any(output.requires_grad for output in outputs):
        return {}
    weights = [torch.randn(output.shape, dtype=output.dtype) for output in outputs]
    total = _projected(weights, outputs)
    gradients = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)

    def value(moved: dict[int, torch.Tensor]) -> float:
        with torch.no_grad():
            return float(_projected(weights, _floats(function.apply(*(moved.get(id(arg), arg) for arg in args)))))

    pairs = zip(inputs.items(), gradients, strict=True)
    return {position: _verdict(tensor, gradient, value) for (position, tensor), gradient in pairs}


def _with_steps(verdicts: dict[int, str]) -> dict[int, str]:
    """A step function whose only gradients are zeros hides that nothing before it learns; else flat inputs are fine."""
    closed = bool(verdicts) and set(verdicts.values()) <= {NOTHING, ZERO, FLAT}
    return {position: (ZERO if closed else "") if fault == FLAT else fault for position, fault in verdicts.items()}


def _projected(weights: list[torch.Tensor], outputs: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([(weight * output).sum() for weight, output in zip(weights, outputs, strict=True)]).sum()


def _floats(result: Any) -> list[torch.Tensor]:
    results = result if isinstance(result, (tuple, list)) else (result,)
    return [item for item in results if isinstance(item, torch.Tensor) and item.is_floating_point()]


def _verdict(
    tensor: torch.Tensor,
    gradient: torch.Tensor | None,
    value: Callable[[dict[int, torch.Tensor]], float],
) -> str:
    """Compares one input's gradient with central differences along random directions."""
    slopes, claims = [], []
    for _ in range(PROBES):
        direction = torch.randn_like(tensor)
        ahead, behind = tensor.detach() + STEP * direction, tensor.detach() - STEP * direction
        slopes.append((value({id(tensor): ahead}) - value({id(tensor): behind})) / (2 * STEP))
        claims.append(0.0 if gradient is None else float((gradient * direction).sum()))
    if all(abs(slope) < TOLERANCE for slope in slopes):
        zeros = gradient is not None and not gradient.any()
        return FLAT if zeros and value({id(tensor): -tensor.detach()}) != value({}) else ""
    if gradient is None:
        return NOTHING
    if not gradient.any():
        return ZERO
    return "" if _agrees(slopes, claims) or _on_purpose(tensor, gradient, value) else WRONG


def _agrees(slopes: list[float], claims: list[float]) -> bool:
    size = max(map(abs, slopes)) + max(map(abs, claims))
    return all(abs(slope - claim) <= TOLERANCE * size for slope, claim in zip(slopes, claims, strict=True))


def _on_purpose(
    tensor: torch.Tensor, gradient: torch.Tensor, value: Callable[[dict[int, torch.Tensor]], float]
) -> bool:
    """Whether every element of the gradient is the true slope scaled by one factor, clipped or masked.

    So are gradient reversal, gradient scaling, gradient clipping and straight-through estimators.
    """
    flat = tensor.detach().reshape(-1)
    true = torch.tensor(
        [_slope(flat, index, tensor, value) for index in range(min(flat.numel(), 64))], dtype=flat.dtype
    )
    said = gradient.reshape(-1)[: true.numel()]
    moving = true.abs() > TOLERANCE
    if not moving.any():
        return True
    ratio = said[moving] / true[moving]
    constant = bool((ratio - ratio[0]).abs().max() <= TOLERANCE * (1 + ratio[0].abs()))
    clipped = bool(((ratio >= -TOLERANCE) & (ratio <= 1 + TOLERANCE)).all())
    return constant or clipped


def _slope(
    flat: torch.Tensor, index: int, tensor: torch.Tensor, value: Callable[[dict[int, torch.Tensor]], float]
) -> float:
    step = torch.zeros_like(flat)
    step[index] = STEP
    ahead, behind = (flat + step).view_as(tensor), (flat - step).view_as(tensor)
    return (value({id(tensor): ahead}) - value({id(tensor): behind})) / (2 * STEP)
