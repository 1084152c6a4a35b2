"""What learns in a model without being registered: modules in plain containers, tensors that are no parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradlint.frame import Frame
from gradlint.frontends.static.record import emission
from gradlint.frontends.static.record.emission import ASIDE
from gradlint.frontends.static.record.tensors_inside import is_module, named_parameters
from gradlint.frontends.static.steps.training_state import identity
from gradlint.frontends.static.values import Instance, Layer, Mapping, Sequence, Tensor, Value
from gradlint.graph import Hidden

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

DEPTH = 3
REQUIRES_GRAD = "requires_grad"
FORWARD = ".forward"
MADE_INSIDE = "nn.Parameter"
"""What a parameter without a name is called."""


def any_hidden(module: Instance | Layer) -> bool:
    """Whether a module keeps something that learns in a plain container or attribute."""
    return any(
        (_container_of(value) and list(_learners(value))) or _is_loose(value) for value in module.attributes.values()
    )


def _is_loose(value: Value) -> bool:
    if not isinstance(value, Tensor) or value.parameter:
        return False
    return value.state.get(REQUIRES_GRAD) is True or ASIDE in value.state


def _container_of(value: Value) -> str:
    if isinstance(value, Sequence):
        return value.kind if value.kind in ("list", "tuple", "set") else ""
    return "dict" if isinstance(value, Mapping) else ""


def _learners(value: Value, depth: int = DEPTH) -> Iterator[Instance | Layer | Tensor]:
    """Modules and parameters in nested plain containers."""
    if (isinstance(value, (Instance, Layer)) and is_module(value)) or (isinstance(value, Tensor) and value.parameter):
        yield value
    elif depth and isinstance(value, Sequence):
        for item in value.items:
            yield from _learners(item, depth - 1)
    elif depth and isinstance(value, Mapping):
        for item in value.items.values():
            yield from _learners(item, depth - 1)


def hidden(
    run: Run, parts: dict[str, Instance | Layer], parameters: dict[str, Tensor], held: set[int]
) -> Iterator[Hidden]:
    """Everything in the parts of a model that wants a gradient and that `parameters()` does not list."""
    registered = {id(value) for value in (*parameters.values(), *parts.values())}
    for prefix, part in parts.items():
        for name, value in part.attributes.items():
            holder = f"{prefix}.{name}".lstrip(".")
            if _is_loose(value) and isinstance(value, Tensor):
                yield _described(run, "tensor", holder, "", [value], value.made, held)
            elif kind := _container_of(value):
                yield from _in_container(run, holder, kind, value, registered, held)
    yield from _made_inside(run, held)


def _made_inside(run: Run, held: set[int]) -> Iterator[Hidden]:
    """Parameters that a forward pass makes anew and that no module ever holds, one a place."""
    kept = (t for t in run.keep if isinstance(t, Tensor) and t.parameter)
    fresh = [t for t in kept if _is_of_forward(t.made) or t.state.get(emission.MADE_INSIDE)]
    if not fresh:
        return
    holders = (module for module in run.built.values() if not _is_of_forward(module.made))
    registered = [tensor for module in holders for _, tensor in named_parameters(module)]
    own, places = {id(tensor) for tensor in registered}, {tensor.made for tensor in registered}
    free = [t for t in fresh if id(t) not in own and t.made not in places]
    lost = [t for t in free if t.state.get(REQUIRES_GRAD, True) is True]
    for tensor in {tensor.made: tensor for tensor in reversed(lost)}.values():
        yield _described(run, "tensor", MADE_INSIDE, "", [tensor], tensor.made, held)


def _is_of_forward(made: Frame | None) -> bool:
    return made is not None and made.user and made.function.endswith(FORWARD)


def _in_container(
    run: Run, holder: str, kind: str, value: Value, registered: set[int], held: set[int]
) -> Iterator[Hidden]:
    lost = [(item, tensors) for item in _learners(value) if (tensors := _lost(item, registered))]
    if lost:
        first = lost[0][0]
        what = "parameter" if isinstance(first, Tensor) else "module"
        yield _described(run, what, holder, kind, [t for _, tensors in lost for t in tensors], first.made, held)


def _lost(item: Instance | Layer | Tensor, registered: set[int]) -> list[Tensor]:
    if id(item) in registered:
        return []
    found = [item] if isinstance(item, Tensor) else [tensor for _, tensor in named_parameters(item)]
    return [t for t in found if id(t) not in registered and t.state.get(REQUIRES_GRAD) is not False]


def _described(
    run: Run, kind: str, holder: str, container: str, tensors: list[Tensor], frame: Frame | None, held: set[int]
) -> Hidden:
    nodes = tuple(run.leaves[id(tensor)] for tensor in tensors if id(tensor) in run.leaves)
    return Hidden(
        kind=kind,
        holder=holder,
        container=container,
        names=tuple(f"{holder}[{position}]" for position in range(len(tensors))),
        elements=sum(math.prod(size or 1 for size in tensor.shape or ()) for tensor in tensors),
        frame=frame if frame is not None and frame.user else None,
        nodes=nodes or tuple(tensor.node for tensor in tensors if tensor.node >= 0),
        optimized=any(identity(run, tensor) in held for tensor in tensors),
        non_leaf=kind == "tensor" and ASIDE in tensors[0].state,
    )
