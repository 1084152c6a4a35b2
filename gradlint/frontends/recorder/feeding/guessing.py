"""The arguments of a constructor or factory: what calls in the project tell of them, and guesses for the others."""

from __future__ import annotations

import argparse
import ast
import contextlib
import heapq
import inspect
import itertools
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from gradlint.frontends.recorder.feeding.evaluate import MISSING
from gradlint.frontends.recorder.feeding.examples import Shown, file_models
from gradlint.frontends.recorder.feeding.guessed_config import GuessedConfig
from gradlint.frontends.recorder.feeding.guesses import Context, values
from gradlint.frontends.recorder.feeding.mending import Trouble, mended
from gradlint.frontends.recorder.feeding.roots import Target
from gradlint.frontends.recorder.feeding.signature import evaluated_signature
from gradlint.frontends.recorder.feeding.trial import quiet, seeded
from gradlint.frontends.recorder.feeding.uses import parameter_uses

MAX_GUESSES = 12
"""Combinations of guessed arguments that are tried before repairs."""
MAX_TOLD = 6
"""Calls in the project that are looked at."""
MAX_REPAIRS = 24
MEND_COST = 0.5
"""A repair counts half as much as an alternative guess: it answers an error."""
MAX_NESTED = 2
"""Models built as arguments of models built as arguments."""
_WIDTHS = re.compile(r"dim|size|width|channel|feature|hidden|planes|units|d_?model|embed|filters")
_LACKS = re.compile(r"(?:(\w+)\.)?(\w+)\(\) missing \d+ required .*?arguments?: (.*)")
_UNREACHED = re.compile(
    r"URLError|HTTPError|FileNotFoundError|OSError|ConnectionError|gaierror|RemoteDisconnected|[Dd]ownload"
)
LOADING = re.compile(r"pretrain|weights|load|download|ckpt|checkpoint|path|file")
_KEYED = re.compile(r"KeyError: '(\w+)'$")
_EXTRA = re.compile(r"unexpected keyword argument '(\w+)'")

Arguments = dict[str, Any]


def parameters_of(maker: Callable[..., Any]) -> list[inspect.Parameter]:
    """The named parameters of a class or function, annotations evaluated where possible."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    signature = evaluated_signature(maker)
    return [one for one in signature.parameters.values() if one.kind in plain]


def required_of(maker: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters without a default."""
    return [one for one in parameters_of(maker) if one.default is one.empty]


def guessed(target: Target, module: types.ModuleType, shown: Shown, errors: list[Trouble]) -> Iterator[Arguments]:
    """Arguments as calls tell them, from names and uses, with alternatives, then mended after what went wrong.

    `errors` grows when the arguments that were yielded last came to nothing.
    """
    uses = parameter_uses(target.object, shown.tree)
    context = _context(target.object, shown, module, depth=0)
    parameters = required_of(target.object) or parameters_of(target.object)
    options = {one.name: values(one, uses.get(one.name, frozenset()), context) for one in parameters}
    first = {name: found[0] for name, found in options.items()}
    order = itertools.count()
    told = itertools.islice(_told(target, shown, context), MAX_TOLD)
    required = {one.name for one in required_of(target.object)}
    start = {name: value for name, value in first.items() if name in required}
    plans = [(0.0, next(order), start | one) for one in told]
    plans.append((0.1, next(order), first))
    plans += [(1.0, next(order), one) for one in itertools.islice(_alternatives(first, options), MAX_GUESSES)]
    tried: set[str] = set()
    while plans and len(tried) < MAX_GUESSES + MAX_REPAIRS:
        cost, _, plan = heapq.heappop(plans)
        if (key := _key(plan)) in tried:
            continue
        tried.add(key)
        before = len(errors)
        used = {
            name: value.fresh(**value.fields) if isinstance(value, GuessedConfig) else value
            for name, value in plan.items()
        }
        yield used
        if len(errors) > before:
            supplied = _supplied(target, used, errors[-1], context, module)
            for index, change in enumerate(itertools.chain(supplied, mended(used, errors[-1]))):
                heapq.heappush(plans, (cost + MEND_COST + index / MAX_REPAIRS, next(order), change))


def _key(plan: Arguments) -> str:
    """A text that is the same for the same arguments; of configurations it tells the settings that answer too."""
    settings = {
        name: id(one.settings[0]) for name, one in plan.items() if isinstance(one, GuessedConfig) and one.settings
    }
    return f"{sorted(plan.items(), key=str)!r}{settings}"


def _told(target: Target, shown: Shown, context: Context) -> Iterator[Arguments]:
    """What the calls in the project give for each parameter, as far as it can be told."""
    names = [one.name for one in parameters_of(target.object) if one.kind is not one.KEYWORD_ONLY]
    takes = set(names) | {one.name for one in parameters_of(target.object)}
    required = frozenset(one.name for one in required_of(target.object))
    yield from ({name: value for name, value in group.items() if name in takes} for group in shown.groups(required))
    with seeded():
        for args, kwargs in _quietly(shown.told(target.name)):
            bound = dict(zip(names, args, strict=False)) | kwargs
            known = {name: value for name, value in bound.items() if value is not MISSING and name in takes}
            if known:
                yield {name: _as_config(value, context) for name, value in known.items()}


def _quietly(found: Iterator[Any]) -> Iterator[Any]:
    while True:
        with quiet():
            one = next(found, None)
        if one is None:
            return
        yield one


def _as_config(value: Any, context: Context) -> Any:
    """A command line whose open options are guessed when the model reads them."""
    if not isinstance(value, (argparse.Namespace, types.SimpleNamespace)):
        return value
    known = {name: item for name, item in vars(value).items() if item is not None}
    return GuessedConfig(context.fields, [known, *context.settings])


def _supplied(
    target: Target, plan: Arguments, trouble: Trouble, context: Context, module: types.ModuleType
) -> Iterator[Arguments]:
    """Arguments that are passed on to another constructor, which misses them; or does not know them."""
    if (extra := _EXTRA.search(trouble.text)) and extra[1] in plan:
        yield {name: value for name, value in plan.items() if name != extra[1]}
    if _UNREACHED.search(trouble.text):
        switched = {
            one.name: False if one.default is True else None
            for one in parameters_of(target.object)
            if LOADING.search(one.name) and one.name not in plan and one.default not in (one.empty, None, False)
        }
        yield from [{**plan, **switched}] if switched else []
    if (keyed := _KEYED.match(trouble.text)) and _takes_any(target.object) and keyed[1] not in plan:
        name = keyed[1]
        missing = inspect.Parameter(name, _KEYWORD)
        yield {**plan, name: values(missing, context.fields.get(name, frozenset()), context)[0]}
    names = {one.name for one in parameters_of(target.object)}
    yield from ({**plan, **one} for one in trouble.solutions if set(one) <= names and not set(one) <= set(plan))
    found = _LACKS.search(trouble.text)
    if found is None:
        return
    maker = vars(module).get(found[1] or found[2])
    lacking = re.findall(r"'(\w+)'", found[3])
    known = {one.name: one for one in (parameters_of(maker) if callable(maker) else ())}
    uses = parameter_uses(maker) if maker is not None else {}
    added = {
        name: values(known.get(name, inspect.Parameter(name, _KEYWORD)), uses.get(name, frozenset()), context)[0]
        for name in lacking
        if name not in plan
    }
    if added and _takes_any(target.object):
        yield {**plan, **added}
    unpacked = {name for name, every in parameter_uses(target.object).items() if "unpacked" in every}
    for name in sorted(unpacked & set(plan)):
        own = dict(plan[name].items()) if isinstance(plan[name], (dict, GuessedConfig)) else {}
        yield {**plan, name: {**own, **added}}


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _takes_any(maker: Callable[..., Any]) -> bool:
    return any(one.kind is one.VAR_KEYWORD for one in inspect.signature(maker).parameters.values())


def _context(target: Any, shown: Shown, module: types.ModuleType, depth: int) -> Context:
    """How the file's other models are built, for parameters that are modules; not more than two deep."""
    others = tuple(
        one for one in file_models(module).values() if one is not target and not _contains(one, target, shown.tree)
    )

    def build(kind: type[nn.Module]) -> nn.Module | None:
        return None if depth >= MAX_NESTED or kind is target else _part(kind, shown, module, depth + 1)

    return Context(shown.field_uses, others, shown.settings, build)


def _contains(model: type, part: Any, tree: ast.Module) -> bool:
    """Whether the body of the class `model` names `part`: it cannot be an argument of `part` then."""
    body = next(
        (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == model.__name__), None
    )
    name = getattr(part, "__name__", "")
    return body is not None and any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(body))


def _part(kind: type[nn.Module], shown: Shown, module: types.ModuleType, depth: int) -> nn.Module | None:
    uses, context = parameter_uses(kind, shown.tree), _context(kind, shown, module, depth)
    kwargs = {one.name: values(one, uses.get(one.name, frozenset()), context)[0] for one in required_of(kind)}
    with contextlib.suppress(Exception), quiet():
        return kind(**kwargs)
    return None


def _alternatives(first: Arguments, options: Mapping[str, Sequence[Any]]) -> Iterator[Arguments]:
    for name, found in options.items():
        yield from ({**first, name: value} for value in found[1:])
    widths = [name for name, value in first.items() if type(value) is int and value >= 3]
    if widths:
        yield first | dict.fromkeys(widths, 32)
        yield first | {name: 8 for name in widths if _WIDTHS.search(name)}
