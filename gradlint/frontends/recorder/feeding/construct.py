"""Building a user's model: with the arguments that the settings give, the file shows, or names suggest."""

from __future__ import annotations

import ast
import contextlib
import heapq
import inspect
import itertools
import re
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.evaluate import Unknown, time_limit
from gradlint.frontends.recorder.feeding.examples import Shown, file_models
from gradlint.frontends.recorder.feeding.feed import BUDGET_SECONDS, Feed, feed
from gradlint.frontends.recorder.feeding.guessed_config import GuessedConfig
from gradlint.frontends.recorder.feeding.guesses import Context, values
from gradlint.frontends.recorder.feeding.mending import Trouble, mended
from gradlint.frontends.recorder.feeding.roots import Target
from gradlint.frontends.recorder.feeding.trial import quiet, seeded
from gradlint.frontends.recorder.feeding.uses import parameter_uses
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
MAX_SHOWN = 4
"""Calls of the file that are tried."""
MAX_GUESSES = 12
"""Combinations of guessed arguments that are tried before repairs."""
MAX_REPAIRS = 24
MEND_COST = 0.5
"""A repair counts half as much as an alternative guess: it answers an error."""
MAX_REASON = 200
"""Characters of an error's text that a message repeats."""
MAX_NESTED = 2
"""Models built as arguments of models built as arguments."""
_WIDTHS = re.compile(r"dim|size|width|channel|feature|hidden|planes|units|d_?model|embed|filters")


@dataclass(frozen=True)
class Construction:
    """How a model was built: the arguments and where they come from."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    source: str


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
    reason: TargetError | None = None
    errors: list[Trouble] = []
    end = time.thread_time() + ASSEMBLY_SECONDS
    configured = (overrides or {}).get("inputs")
    for model, plan in itertools.islice(constructions(target, shown, module, overrides, errors), MAX_ASSEMBLED):
        model.train()
        budget = HOLLOW_SECONDS if _is_hollow(model) else AGAIN_SECONDS if reason else BUDGET_SECONDS
        try:
            return model, plan, feed(model, shown, explicit, configured=configured, budget=budget)
        except TargetError as error:
            reason = reason or error
            errors += [Trouble.of(error.__cause__, fed=True)] if error.__cause__ else []
        if time.thread_time() > end:
            break
    raise reason or TargetError(_advice(target, ()))


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
    parameters = _parameters(target.object)
    required = [one for one in parameters if one.default is one.empty]
    if not required:
        yield Construction((), {}, "defaults")
    yield from _guessed(target, required or parameters, module, shown, errors)


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
    maker: Callable[..., Any] = vars(module)["gradlint_model"] if plan.source == "gradlint_model" else target.object
    if plan.source == "instance":
        return target.object  # type: ignore[no-any-return]
    try:
        with quiet(), time_limit(BUILD_SECONDS):
            made = maker(*plan.args, **plan.kwargs)
    except Exception as error:
        errors.append(Trouble.of(error))
        return None
    model = _model_in(made, target)
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


def _parameters(maker: Callable[..., Any]) -> list[inspect.Parameter]:
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    try:
        signature = inspect.signature(maker, eval_str=True)
    except Exception:
        signature = inspect.signature(maker)
    return [one for one in signature.parameters.values() if one.kind in plain]


def _guessed(
    target: Target,
    parameters: Sequence[inspect.Parameter],
    module: types.ModuleType,
    shown: Shown,
    errors: list[Trouble],
) -> Iterator[Construction]:
    """All parameters from their names and uses, then with alternatives, then mended after what went wrong."""
    uses = parameter_uses(target.object, shown.tree)
    context = _context(target.object, shown, module, depth=0)
    options = {one.name: values(one, uses.get(one.name, frozenset()), context) for one in parameters}
    first = {name: found[0] for name, found in options.items()}
    order = itertools.count()
    alternatives = itertools.islice(_alternatives(first, options), MAX_GUESSES)
    plans = [(cost, next(order), plan) for cost, plan in [(0.0, first), *((1.0, one) for one in alternatives)]]
    tried: set[str] = set()
    while plans and len(tried) < MAX_GUESSES + MAX_REPAIRS:
        cost, _, plan = heapq.heappop(plans)
        if (key := repr(sorted(plan.items(), key=str))) in tried:
            continue
        tried.add(key)
        before = len(errors)
        used = {
            name: value.fresh(**value.fields) if isinstance(value, GuessedConfig) else value
            for name, value in plan.items()
        }
        yield Construction((), used, "inferred")
        if len(errors) > before:
            for index, change in enumerate(mended(used, errors[-1])):
                heapq.heappush(plans, (cost + MEND_COST + index / MAX_REPAIRS, next(order), change))


def _context(target: Any, shown: Shown, module: types.ModuleType, depth: int) -> Context:
    """How the file's other models are built, for parameters that are modules; not more than two deep."""
    others = tuple(
        one for one in file_models(module).values() if one is not target and not _contains(one, target, shown.tree)
    )

    def build(kind: type[nn.Module]) -> nn.Module | None:
        return None if depth >= MAX_NESTED or kind is target else _part(kind, shown, module, depth + 1)

    return Context(shown.field_uses, others, build)


def _contains(model: type, part: Any, tree: ast.Module) -> bool:
    """Whether the body of the class `model` names `part`: it cannot be an argument of `part` then."""
    body = next(
        (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == model.__name__), None
    )
    name = getattr(part, "__name__", "")
    return body is not None and any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(body))


def _part(kind: type[nn.Module], shown: Shown, module: types.ModuleType, depth: int) -> nn.Module | None:
    uses, context = parameter_uses(kind, shown.tree), _context(kind, shown, module, depth)
    required = [one for one in _parameters(kind) if one.default is one.empty]
    kwargs = {one.name: values(one, uses.get(one.name, frozenset()), context)[0] for one in required}
    with contextlib.suppress(Exception), quiet():
        return kind(**kwargs)
    return None


def _alternatives(first: dict[str, Any], options: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for name, found in options.items():
        yield from ({**first, name: value} for value in found[1:])
    widths = [name for name, value in first.items() if type(value) is int and value >= 3]
    if widths:
        yield first | dict.fromkeys(widths, 32)
        yield first | {name: 8 for name in widths if _WIDTHS.search(name)}


def _advice(target: Target, errors: Sequence[Trouble]) -> str:
    reason = errors[0].text if errors else "its arguments are unknown"
    snippet = f"def gradlint_model(): return {target.name}(...)"
    return f"`{target.name}` could not be built ({reason[:MAX_REASON]}): add `{snippet}` to the file"
