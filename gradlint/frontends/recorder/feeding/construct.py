"""Building a user's model: with the arguments that the settings give, the file shows, or names suggest."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.examples import Shown
from gradlint.frontends.recorder.feeding.feed import BUDGET_SECONDS, Feed, feed
from gradlint.frontends.recorder.feeding.guessed_config import GuessedConfig
from gradlint.frontends.recorder.feeding.guessing import guessed, parameters_of, required_of
from gradlint.frontends.recorder.feeding.limits import Unknown, time_limit
from gradlint.frontends.recorder.feeding.mending import Trouble
from gradlint.frontends.recorder.feeding.roots import Target
from gradlint.frontends.recorder.feeding.trial import quiet, seeded
from gradlint.frontends.recorder.feeding.wholes import Whole, fed_within, part_of, wholes
from gradlint.inputs import InputSpec

BUILD_SECONDS = 120.0
MAX_ASSEMBLED = 8
"""Ways of building that are fed before the first one's failure is told."""
AGAIN_SECONDS = 4.0
"""Time (s, of the searching thread) of the search for inputs of a second and later way of building."""
HOLLOW_SECONDS = 1.0
"""The same for a model with a parameter without elements: sizes of its constructor divided away to nothing."""
ASSEMBLY_SECONDS = 20.0
"""Time (s, of the searching thread) after which no further way of building is tried."""
FIRST_ALONE = 1
"""Ways of building that are fed before the larger models of the project are asked."""
MAX_WHOLES = 6
"""Larger models and factories of the project through which a part is built and fed."""
MAX_BUILT = 4
"""Ways of building one of them."""
PART_SECONDS = 15.0
"""Time (s, of the searching thread) after which no further larger model is tried."""
MAX_SHOWN = 4
"""Calls of the file that are tried."""
MAX_REASON = 200
"""Characters of an error's text that a message repeats."""


@dataclass(frozen=True)
class Construction:
    """How a model was built: the arguments and where they come from."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    source: str
    maker: Callable[..., Any] | None = None
    """What is called in the target's place, of whose model the target is a part."""


def construct(
    target: Target, shown: Shown, module: types.ModuleType, overrides: Mapping[str, Any] | None = None
) -> nn.Module:
    """Builds the model of `target`: settings, `gradlint_model()`, calls in the file, defaults, then guesses.

    Raises:
        TargetError: when no way of building works; the text holds the reason and what to add.
    """
    return next(constructions(target, shown, module, overrides))[0]


def constructions(
    target: Target,
    shown: Shown,
    module: types.ModuleType,
    overrides: Mapping[str, Any] | None = None,
    errors: list[Trouble] | None = None,
) -> Iterator[tuple[nn.Module, Construction]]:
    """Every way of building the model that works, likeliest first, for callers whose inputs do not fit the first one.

    What the caller adds to `errors` between two of them is repaired like an error of the constructor.

    Raises:
        TargetError: when there is none.
    """
    errors = [] if errors is None else errors
    found = False
    shown.complete()
    for plan in _plans(target, shown, module, overrides or {}, errors):
        model = _build(target, plan, module, errors)
        if model is not None:
            found = True
            yield model, plan
    if not found:
        raise TargetError(_advice(target, errors))


def assemble(
    target: Target,
    shown: Shown,
    module: types.ModuleType,
    overrides: Mapping[str, Any] | None = None,
    explicit: Sequence[InputSpec] = (),
) -> tuple[nn.Module, Construction, Feed]:
    """The first way of building the model on which inputs are found, in train mode, with these inputs.

    Raises:
        TargetError: of the first way that was tried, when none can be both built and fed.
    """
    overrides = overrides or {}
    reason: TargetError | None = None
    errors: list[Trouble] = []
    made = itertools.islice(constructions(target, shown, module, overrides, errors), MAX_ASSEMBLED)
    for count, budget in ((FIRST_ALONE, BUDGET_SECONDS), (MAX_ASSEMBLED, AGAIN_SECONDS)):
        try:
            return _fed_alone(itertools.islice(made, count), shown, overrides, explicit, errors, budget)
        except TargetError as error:
            reason = reason or error
        if count == FIRST_ALONE and not overrides and not explicit and (part := _as_part(target, shown)) is not None:
            return part
    raise reason or TargetError(_advice(target, ()))


def _fed_alone(
    made: Iterator[tuple[nn.Module, Construction]],
    shown: Shown,
    overrides: Mapping[str, Any],
    explicit: Sequence[InputSpec],
    errors: list[Trouble],
    budget: float,
) -> tuple[nn.Module, Construction, Feed]:
    """The first of these ways of building on which inputs are found; raises TargetError, of the first, without one."""
    reason: TargetError | None = None
    end = time.thread_time() + ASSEMBLY_SECONDS
    for model, plan in made:
        model.train()
        seconds = HOLLOW_SECONDS if _is_hollow(model) else budget
        try:
            return model, plan, feed(model, shown, explicit, configured=overrides.get("inputs"), budget=seconds)
        except TargetError as error:
            reason = reason or error
            errors += [Trouble.of(error.__cause__, fed=True)] if error.__cause__ else []
        if time.thread_time() > end:
            break
    raise reason or TargetError("")


def _as_part(target: Target, shown: Shown) -> tuple[nn.Module, Construction, Feed] | None:
    """The target as a part of a larger model of the project, which tells its arguments and its inputs."""
    end = time.thread_time() + PART_SECONDS
    for whole in itertools.islice(wholes(target, shown), MAX_WHOLES):
        overrides = {"kwargs": dict(whole.kwargs)} if whole.kwargs else None
        made = constructions(whole.target, whole.shown, whole.shown.module, overrides)
        with contextlib.suppress(TargetError):
            for model, plan in itertools.islice(made, MAX_BUILT):
                found = _within(model, plan, whole, target) or _forced(plan, whole, target)
                if found is not None:
                    return found
                if time.thread_time() > end:
                    return None
    return None


def _within(
    model: nn.Module, plan: Construction, whole: Whole, target: Target
) -> tuple[nn.Module, Construction, Feed] | None:
    part = part_of(model.train(), target.object)
    fed = fed_within(model, part, whole.shown, AGAIN_SECONDS) if part is not None else None
    return (part, dataclasses.replace(plan, maker=whole.target.object), fed) if part is not None and fed else None


def _forced(plan: Construction, whole: Whole, target: Target) -> tuple[nn.Module, Construction, Feed] | None:
    """The same with the arguments, or fields of a configuration, that the code around the part compares."""
    names = {one.name for one in parameters_of(whole.target.object)}
    changed = {
        name: value.fresh(**(value.fields | whole.forced)) if isinstance(value, GuessedConfig) else value
        for name, value in plan.kwargs.items()
    } | {name: value for name, value in whole.forced.items() if name in names}
    if not whole.forced or plan.args or repr(changed) == repr(plan.kwargs):
        return None
    other = dataclasses.replace(plan, kwargs=changed)
    model = _build(whole.target, other, whole.shown.module, [])
    return _within(model, other, whole, target) if model is not None else None


def _is_hollow(model: nn.Module) -> bool:
    return any(one.numel() == 0 for one in model.parameters() if not nn.parameter.is_lazy(one))


def rebuild(target: Target, plan: Construction, module: types.ModuleType) -> nn.Module:
    """Builds the model once more as `plan` says, for callers that watch the construction.

    Raises:
        TargetError: when it fails this time.
    """
    errors: list[Trouble] = []
    model = _build(target, plan, module, errors)
    if model is None:
        raise TargetError(_advice(target, errors))
    return model


def _plans(
    target: Target, shown: Shown, module: types.ModuleType, overrides: Mapping[str, Any], errors: list[Trouble]
) -> Iterator[Construction]:
    if target.kind == "instance":
        yield Construction((), {}, "instance")
        return
    if overrides:
        yield Construction(tuple(overrides.get("args", ())), dict(overrides.get("kwargs", {})), "configuration")
        return
    if callable(vars(module).get("gradlint_model")):
        yield Construction((), {}, "gradlint_model")
    for args, kwargs in itertools.islice(_shown(target, shown), MAX_SHOWN):
        yield Construction(args, kwargs, "shown")
    if not required_of(target.object):
        yield Construction((), {}, "defaults")
    for kwargs in guessed(target, module, shown, errors):
        yield Construction((), kwargs, "inferred")


def _shown(target: Target, shown: Shown) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    with seeded():
        calls = shown.constructions(target.name)
        while True:
            try:
                with quiet():
                    args, kwargs = next(calls)
            except StopIteration:
                return
            except Unknown:
                continue
            yield args, kwargs


def _build(target: Target, plan: Construction, module: types.ModuleType, errors: list[Trouble]) -> nn.Module | None:
    own: Callable[..., Any] = vars(module)["gradlint_model"] if plan.source == "gradlint_model" else target.object
    maker = plan.maker or own
    if plan.source == "instance":
        return target.object  # type: ignore[no-any-return]
    try:
        with quiet(), time_limit(BUILD_SECONDS):
            made = maker(*plan.args, **plan.kwargs)
    except Exception as error:
        errors.append(Trouble.of(error))
        return None
    model = _model_in(made, target)
    if plan.maker is not None and model is not None:
        return part_of(model, target.object)
    if model is None:
        errors.append(Trouble(f"it made {type(made).__name__}, which is no nn.Module"))
    return model


def _model_in(made: Any, target: Target) -> nn.Module | None:
    """The module itself, or the first one of a tuple or mapping of which one is the target."""
    if isinstance(made, nn.Module):
        return made
    parts = made.values() if isinstance(made, dict) else made if isinstance(made, (tuple, list)) else ()
    found = [one for one in parts if isinstance(one, nn.Module)]
    return next((one for one in found if type(one).__name__ == target.name), found[0] if found else None)


def _advice(target: Target, errors: Sequence[Trouble]) -> str:
    reason = errors[0].text if errors else "its arguments are unknown"
    snippet = f"def gradlint_model(): return {target.name}(...)"
    return f"`{target.name}` could not be built ({reason[:MAX_REASON]}): add `{snippet}` to the file"
