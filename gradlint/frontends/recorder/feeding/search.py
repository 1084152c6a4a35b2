"""The search for inputs on which a model runs: best first over plans, each trial telling what to change."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import inspect
import itertools
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gradlint.frontends.recorder.feeding.demands import recipes_for, state_recipe
from gradlint.frontends.recorder.feeding.hints import (
    HIDDEN_NAMES,
    LENGTH_NAMES,
    MASK_NAMES,
    STEPS,
    annotated,
    anything,
    by_name,
    dimensions,
)
from gradlint.frontends.recorder.feeding.lists import lengthened
from gradlint.frontends.recorder.feeding.probe import Demand, flat, probe_device
from gradlint.frontends.recorder.feeding.recipes import (
    GroupRecipe,
    Path,
    ProbeRecipe,
    Recipe,
    TensorRecipe,
    elements,
    floats_as,
    leaf_name,
    leaves,
    make,
    replaced,
)
from gradlint.frontends.recorder.feeding.repair import changes
from gradlint.frontends.recorder.feeding.reshapes import BATCH, LENGTH, Shape
from gradlint.frontends.recorder.feeding.signature import parameters_of, required_of, takes_any, takes_more
from gradlint.frontends.recorder.feeding.states import own_states
from gradlint.frontends.recorder.feeding.trial import Failure, Success, is_leaf, run, seeded

MAX_TRIES = 200
MAX_ELEMENTS = 5_000_000
"""Inputs with more elements than this are not tried (20 MiB of float32)."""
LIGHT_ELEMENTS = 50_000
FIRST_LIGHTER = 2
"""How many times less the size of the likeliest change counts than that of the others."""
DOUBT_SECONDS = 1.0
"""Time for a better plan after one that runs but does not keep the batch."""
MAX_CHANGES = 24
MAX_ALIKE = 12
"""Changes of one input that are tried on all inputs like it."""
FIRST_CHANGES = 5
"""Repairs that come before changes of several inputs at once."""
"""Repairs followed after one failure."""
PROGRESS_WEIGHT = 3.0
"""How much a trial that got twice as far outweighs one more step away from the first guess."""

DECIDED_WEIGHT = 4
"""How many torch functions an input that is decided counts for."""
LONG_KERNEL = 8
"""Kernels at least this long span an axis of the input rather than a neighbourhood."""
LARGEST_SIZE = 1024
MAX_SIZES = 8

_MISSING = re.compile(r"None|specify|missing|required|must be (provided|given)|cannot be empty")
_SEQUENTIAL = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


@dataclass(frozen=True, order=True)
class _Step:
    """One plan in the queue of the search; the least cost is tried next."""

    cost: float
    order: int
    plan: GroupRecipe = field(compare=False)
    depth: int = field(compare=False, default=0)


def search(
    model: nn.Module, fixed: Mapping[str, Recipe], device: torch.device, budget: float
) -> tuple[GroupRecipe | None, Failure | None]:
    """Best first: the plan whose trial got furthest with the fewest changes is changed next."""
    end = time.thread_time() + budget
    order = itertools.count()
    queue = [_Step(float(i), next(order), plan) for i, plan in enumerate(_first_plans(model, fixed))]
    heapq.heapify(queue)
    seen: set[GroupRecipe] = set()
    furthest: Failure | None = None
    doubtful: GroupRecipe | None = None
    while queue and len(seen) < MAX_TRIES and time.thread_time() < end:
        step = heapq.heappop(queue)
        if step.plan in seen or elements(step.plan) > MAX_ELEMENTS:
            continue
        seen.add(step.plan)
        outcome = _try(model, step.plan, device)
        if isinstance(outcome, Success):
            if not _open(step.plan) and _keeps_batch(step.plan, outcome.output):
                return step.plan, None
            following = iter([_closed(step.plan)]) if _open(step.plan) else iter(())
            doubtful = doubtful or (None if _open(step.plan) else step.plan)
            end = min(end, time.thread_time() + DOUBT_SECONDS) if doubtful else end
        else:
            furthest = _further(furthest, outcome)
            following = _following(model, step.plan, outcome, fixed)
        for index, plan in enumerate(itertools.islice(following, 2 * MAX_CHANGES)):
            depth = step.depth + (0 if isinstance(outcome, Failure) and isinstance(outcome.error, Demand) else 1)
            progress = outcome.progress + DECIDED_WEIGHT * _decided(plan)
            weight = _weight(plan) / (1 if index else FIRST_LIGHTER)
            cost = depth + index - PROGRESS_WEIGHT * math.log2(1 + progress) + weight
            heapq.heappush(queue, _Step(cost, next(order), plan, depth))
    return doubtful, furthest


def _decided(recipe: Recipe) -> int:
    """The inputs, and the parts of containers, that are no longer unknown."""
    if isinstance(recipe, GroupRecipe):
        return len(recipe.items) + sum(_decided(item) for _, item in recipe.items)
    return 0 if isinstance(recipe, ProbeRecipe) else 1


def _weight(plan: GroupRecipe) -> float:
    """Large inputs come later: one step for each doubling beyond `LIGHT_ELEMENTS`."""
    return max(0.0, math.log2(max(1, elements(plan)) / LIGHT_ELEMENTS))


def _keeps_batch(plan: GroupRecipe, output: Any) -> bool:
    """Whether an output keeps the first axis of an input: a `view(-1, n)` of the wrong size changes the batch."""
    batches = {leaf.shape[0] for _, leaf in leaves(plan) if isinstance(leaf, TensorRecipe) and leaf.shape}
    made = [one for one in flat(output) if isinstance(one, torch.Tensor) and one.dim()]
    return not made or not batches or any(size in batches for one in made for size in one.shape)


def _further(best: Failure | None, outcome: Failure) -> Failure:
    told = not isinstance(outcome.error, Demand)
    if best is None or (told and isinstance(best.error, Demand)):
        return outcome
    return outcome if told and outcome.progress > best.progress else best


def _try(model: nn.Module, plan: GroupRecipe, device: torch.device) -> Success | Failure:
    args, kwargs = arguments(model, plan, device)
    with probe_device(device):
        return run(model, args, kwargs)


def arguments(model: nn.Module, plan: GroupRecipe, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
    plan = floats_as(plan, _float_dtype(model))
    with seeded():
        values = {key: make(item, device, (key,)) for key, item in plan.items}
    parameters = parameters_of(model)
    by_place = {name for name, one in parameters.items() if one.kind is one.POSITIONAL_ONLY}
    positional = [key for key in values if not isinstance(key, str) or key in by_place]
    return tuple(values[key] for key in positional), {
        key: value for key, value in values.items() if key not in positional
    }


def _float_dtype(model: nn.Module) -> str:
    first = next((one for one in model.parameters() if one.is_floating_point()), None)
    return "float32" if first is None else str(first.dtype).removeprefix("torch.")


def _first_plans(model: nn.Module, fixed: Mapping[str, Recipe]) -> Iterator[GroupRecipe]:
    """All inputs unknown but those that annotations tell; with `*inputs`, one or two of them."""
    parameters = parameters_of(model)
    names = list(dict.fromkeys([*required_of(model), *fixed]))
    options = [
        [fixed[name]] if name in fixed else _starts(parameters[name])
        for name in names
        if name in parameters or name in fixed
    ]
    for combination in itertools.islice(itertools.product(*options), MAX_CHANGES):
        yield GroupRecipe("call", tuple(zip(names, combination, strict=True)))
    if takes_more(model) and not fixed:
        for count in (1, 2, 3):
            yield GroupRecipe("call", tuple((index, ProbeRecipe()) for index in range(count)))


def _starts(parameter: inspect.Parameter) -> list[Recipe]:
    if parameter.annotation is parameter.empty:
        return [ProbeRecipe()]
    described = dimensions(parameter.annotation)
    return [*([described] if described else annotated(parameter.annotation)), ProbeRecipe()]


def _open(plan: GroupRecipe) -> bool:
    return any(isinstance(leaf, ProbeRecipe) for _, leaf in leaves(plan))


def _closed(plan: GroupRecipe) -> GroupRecipe:
    """The plan with the inputs that the forward never looked at filled in by name."""
    known = _known(plan)
    for path, leaf in list(leaves(plan)):
        if isinstance(leaf, ProbeRecipe):
            plan = _with(plan, path, by_name(leaf_name(path), known)[0])
    return plan


def _with(plan: GroupRecipe, path: Path, new: Recipe) -> GroupRecipe:
    changed = replaced(plan, path, new)
    assert isinstance(changed, GroupRecipe)
    return changed


def _known(plan: GroupRecipe) -> list[Shape]:
    """The shapes of the decided inputs, those that carry gradient first."""
    tensors = [leaf for _, leaf in leaves(plan) if isinstance(leaf, TensorRecipe)]
    return [leaf.shape for leaf in sorted(tensors, key=lambda leaf: not leaf.floating)]


def _following(
    model: nn.Module, plan: GroupRecipe, failure: Failure, fixed: Mapping[str, Recipe]
) -> Iterator[GroupRecipe]:
    """The plans to try after `failure`, likeliest first."""
    sequential = _is_sequential(model)
    error = failure.error
    if isinstance(error, Demand):
        states = _states(model, leaf_name(error.path)) if error.kind not in ("iterate", "key", "attribute") else []
        for recipe in [*states, *recipes_for(error, leaf_name(error.path), sequential=sequential, known=_known(plan))]:
            yield _demanded(plan, error, recipe)
        return
    if isinstance(error, KeyError) and takes_any(model) and error.args and isinstance(error.args[0], str):
        yield _added(plan, error.args[0])
    if isinstance(error, IndexError) and "tuple index" in str(error) and takes_more(model):
        yield GroupRecipe("call", (*plan.items, (len(plan.items), ProbeRecipe())))
    found = (
        _with(plan, path, new)
        for path, new in itertools.chain(
            lengthened(plan, f"{type(error).__name__}: {error}"),
            changes(failure, plan, sequential=sequential, sizes=sizes_of(model)),
        )
        if path and path[0] not in fixed
    )
    optional = itertools.islice(_optional(model, plan, error), 2)
    if _MISSING.search(str(error)):
        yield from optional
    told = list(itertools.islice(dict.fromkeys(found), MAX_CHANGES))
    for change in told[:FIRST_CHANGES]:
        yield change
        yield from _alike(plan, [change], fixed)
    if _open(plan):
        yield _closed(plan)
    yield from optional
    yield from _alike(plan, told[FIRST_CHANGES:MAX_ALIKE], fixed)
    yield from _together(plan, fixed)
    yield from told[FIRST_CHANGES:]
    yield from _refilled(plan, fixed)


def _is_sequential(model: nn.Module) -> bool:
    """Whether the model has layers for sequences, or takes a mask or lengths of them."""
    named = any(MASK_NAMES.search(name) or LENGTH_NAMES.search(name) for name in parameters_of(model))
    return named or any(isinstance(one, _SEQUENTIAL) for one in model.modules())


def _states(model: nn.Module, name: str) -> list[Recipe]:
    """The initial states of the model's recurrent layers, for an input that is called like one."""
    if not HIDDEN_NAMES.search(name):
        return []
    found: list[Recipe] = own_states(model)
    for layer in model.modules():
        match layer:
            case nn.LSTM() | nn.GRU() | nn.RNN():
                state = state_recipe(layer)
                found.append(dict(state.items)[0] if isinstance(state, GroupRecipe) else state)
            case nn.LSTMCell() | nn.GRUCell() | nn.RNNCell():
                found.append(TensorRecipe((BATCH, layer.hidden_size)))
    return list(dict.fromkeys(found))


def _demanded(plan: GroupRecipe, demand: Demand, recipe: Recipe) -> GroupRecipe:
    """A missing key of a container is added to it; anything else takes the probe's place."""
    present: Any = plan
    for key in demand.path:
        present = dict(present.items)[key]
    if demand.kind in ("key", "attribute") and isinstance(present, GroupRecipe):
        return _with(plan, (*demand.path, demand.detail), ProbeRecipe())
    return _with(plan, demand.path, recipe)


def sizes_of(model: nn.Module) -> tuple[int, ...]:
    """Sizes that the model was written for: whole numbers among its attributes and defaults, long kernels."""
    found = [value for module in model.modules() if not is_leaf(module) for value in flat(list(vars(module).values()))]
    with contextlib.suppress(TypeError, ValueError):
        found += [one.default for one in inspect.signature(type(model)).parameters.values()]
    kernels = [size for module in model.modules() for size in flat(getattr(module, "kernel_size", ()))]
    found += [size for size in kernels if isinstance(size, int) and size >= LONG_KERNEL]
    sizes = (value for value in found if type(value) is int and 1 < value <= LARGEST_SIZE)
    return tuple(dict.fromkeys(sizes))[:MAX_SIZES]


def _optional(model: nn.Module, plan: GroupRecipe, error: BaseException) -> Iterator[GroupRecipe]:
    """Inputs with a default of None that the forward needs all the same."""
    if "NoneType" not in str(error) and not isinstance(error, (ValueError, AssertionError, TypeError)):
        return
    present = dict(plan.items)
    for name, one in parameters_of(model).items():
        if name not in present and one.default is None:
            yield _added(plan, name)


def _added(plan: GroupRecipe, name: str) -> GroupRecipe:
    return GroupRecipe("call", (*plan.items, (name, ProbeRecipe())))


def _free(plan: GroupRecipe, fixed: Mapping[str, Recipe]) -> list[tuple[Path, TensorRecipe]]:
    return [(path, leaf) for path, leaf in leaves(plan) if isinstance(leaf, TensorRecipe) and path[0] not in fixed]


def _alike(plan: GroupRecipe, changed: list[GroupRecipe], fixed: Mapping[str, Recipe]) -> Iterator[GroupRecipe]:
    """The changes of one input, made to all inputs of its shape and dtype: both images, support and query set."""
    before = dict(_free(plan, fixed))
    for one in changed:
        for path, leaf in _free(one, fixed):
            old = before.get(path)
            others = [place for place, other in before.items() if other == old and place != path]
            if old is not None and leaf.shape != old.shape and others:
                for place in others:
                    one = _with(one, place, leaf)
                yield one
                break


def _together(plan: GroupRecipe, fixed: Mapping[str, Recipe]) -> Iterator[GroupRecipe]:
    """All inputs of one shape changed at once; of indices all but the last, the longer of positives and negatives."""
    tensors = _free(plan, fixed)
    for shape in dict.fromkeys(leaf.shape for _, leaf in tensors):
        alike = [(path, leaf) for path, leaf in tensors if leaf.shape == shape]
        changing = alike if alike[-1][1].floating else alike[:-1]
        for other in ((BATCH,), (BATCH, LENGTH), (BATCH, STEPS, LENGTH)) if len(changing) > 1 else ():
            changed = plan
            for path, leaf in changing:
                changed = _with(changed, path, dataclasses.replace(leaf, shape=other))
            yield changed


def _refilled(plan: GroupRecipe, fixed: Mapping[str, Recipe]) -> Iterator[GroupRecipe]:
    """The last resort: another usual input in place of each."""
    for path, leaf in _free(plan, fixed):
        yield from (_with(plan, path, recipe) for recipe in anything(()) if recipe != leaf)
