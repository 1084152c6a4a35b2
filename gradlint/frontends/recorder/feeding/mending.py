"""Other arguments for a constructor that failed, or whose model no inputs fit: from the error's text and its frames."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import nn

from gradlint.frontends.recorder.feeding.asserted import choices, disagreements
from gradlint.frontends.recorder.feeding.guessed_config import GuessedConfig
from gradlint.frontends.recorder.feeding.involved import involved
from gradlint.frontends.recorder.feeding.names import ACTIVATION, NORM, WIDTH, integer, lowered
from gradlint.frontends.recorder.feeding.solving import solutions

_HEADS = re.compile(r"head|group|expert|cardinal|patch|window")
MAX_CHOICES = 4
"""Keys of a table that are tried in place of the one that it misses."""
_COUNTED = re.compile(r"values to unpack \(expected (\d+)")
ROWS = 4
"""Rows of a tensor that a constructor wants."""
_UNPACKED = re.compile(r"unpack")
"""After a constructor this is the inputs' fault, which the search for them has to mend."""
LARGE_SIDE = 128
"""Side (pixels) of images for models whose convolutions leave nothing of smaller ones."""
SMALLEST_SIZE = 8
LONGER = 8
"""How many times longer a size is made that pooling left nothing of."""
_PAIRS = (
    r"tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
    r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)",
    r"to have (\d+) channels, but got (\d+)",
    r"weight of size \[\d+, (\d+).*?input\[\d+, (\d+)",
    r"[Ee]xpected (?:\w+ )*?(\d+),? (?:but )?got:? (\d+)",
    r"has size (\d+) for operand \d+ which does not broadcast with previously seen size (\d+)",
)


@dataclass(frozen=True)
class Trouble:
    """Why a way of building failed: the error, sizes that its checks compared, and keys of a table that misses one.

    `fed` when the model was built, but does not run on any inputs.
    """

    text: str
    pairs: tuple[tuple[int, int], ...] = ()
    keys: tuple[Any, ...] = ()
    fed: bool = False
    solutions: tuple[Mapping[str, Any], ...] = ()
    """Values, by name, with which a check that failed would have passed."""
    involved: tuple[str, ...] = ()
    """Names on the lines that failed."""

    @staticmethod
    def of(error: BaseException, *, fed: bool = False) -> Trouble:
        """What an exception tells."""
        lines = str(error).strip().splitlines() or [""]
        return Trouble(
            f"{type(error).__name__}: {lines[0]}",
            tuple(disagreements(error)),
            tuple(choices(error))[:MAX_CHOICES],
            fed,
            tuple(solutions(error)),
            () if fed else involved(error),
        )


def mended(plan: Mapping[str, Any], trouble: Trouble) -> Iterator[dict[str, Any]]:
    """Other arguments after a failure: divisibility, types, missing items; fields of configurations too."""
    for slots, apply in _slots(dict(plan)):
        for change in _changes(slots, trouble):
            with contextlib.suppress(Exception):  # a dataclass may refuse its new fields
                yield apply(change)
    error = trouble.text
    if "object has no attribute" in error or "KeyError" in error:
        plain = [name for name, value in plan.items() if type(value) in (int, str, list, float)]
        yield from ({**plan, name: GuessedConfig()} for name in plain)
    if "object has no attribute" in error or "not callable" in error:
        yield from (
            {**plan, name: nn.Linear(WIDTH, WIDTH)} for name, value in plan.items() if not isinstance(value, nn.Module)
        )


Change = dict[str, Any]


def _slots(plan: Change) -> Iterator[tuple[Change, Callable[[Change], Change]]]:
    """The plan's own values and those of each configuration in it, with how to put a change of them back."""
    yield plan, lambda change: plan | change
    for name, value in plan.items():
        if isinstance(value, GuessedConfig):
            for fields, apply in _slots(value.fields):
                yield fields, _putting(plan, name, value, apply)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield {**vars(value)}, _replacing(plan, name, value)
        elif type(value) is dict and value and all(isinstance(key, str) for key in value):
            for fields, apply in _slots(value):
                yield fields, _within(plan, name, value, apply)


def _replacing(plan: Change, name: str, config: Any) -> Callable[[Change], Change]:
    return lambda change: plan | {name: dataclasses.replace(config, **change)}


def _putting(
    plan: Change, name: str, config: GuessedConfig, apply: Callable[[Change], Change]
) -> Callable[[Change], Change]:
    return lambda change: plan | {name: config.fresh(**apply(change))}


def _within(plan: Change, name: str, group: Change, apply: Callable[[Change], Change]) -> Callable[[Change], Change]:
    return lambda change: plan | {name: group | apply(change)}


def _changes(slots: Change, trouble: Trouble) -> Iterator[Change]:
    """Changes of single values, those first of which a failing line reads the name."""
    slots = {name: slots[name] for name in trouble.involved if name in slots} | slots
    yield from (dict(one) for one in trouble.solutions if set(one) <= set(slots))
    yield from _unset(slots, trouble.text)
    yield from _keyed(slots, trouble)
    yield from _agreeing(slots, trouble)
    if re.search(r"Kernel size can't be greater|too small", trouble.text):
        shapes = {name: value for name, value in slots.items() if _is_image(value)}
        yield from ({name: (*value[:-2], LARGE_SIDE, LARGE_SIDE)} for name, value in shapes.items())
    if trouble.fed or "Kernel size" in trouble.text:
        yield from _emptied(slots, trouble.text)
    else:
        yield from _divisible(slots, trouble.text)
    if not trouble.fed and (found := _COUNTED.search(trouble.text)):
        yield from _lengthened(slots, int(found[1]))
    if not trouble.fed or not _UNPACKED.search(trouble.text):
        yield from _typed(slots, trouble.text)
        yield from _nested(slots, trouble.text)
    if re.search(_KINDS, trouble.text):
        yield from _of_another_kind(slots, trouble.involved)


_KINDS = r"^TypeError|^AttributeError|^ValueError|^NotImplementedError|^AssertionError"
"""Errors of a value that is not of the kind which the code expects."""


def _of_another_kind(slots: Change, names: tuple[str, ...]) -> Iterator[Change]:
    """Another kind of value for what the failing lines read: a size for a list or a word, a list for a size."""
    for name in names:
        if name in slots:
            yield from ({name: value} for value in _others(slots[name], lowered(name)))


def _others(value: Any, name: str) -> list[Any]:
    size = integer(name)
    match value:
        case bool():
            return [not value, size]
        case int():
            return [[size, size], 0.1, (size, size)]
        case float():
            return [size]
        case str() | None:
            return [size, [size, size]]
        case list() | tuple():
            return [size, *([tuple(value)] if isinstance(value, list) else [list(value)])]
    return (
        []
        if isinstance(value, (nn.Module, torch.Tensor, GuessedConfig, type)) or callable(value)
        else [GuessedConfig()]
    )


def _unset(slots: Change, error: str) -> Iterator[Change]:
    """Sizes that a configuration leaves open, as -1 or None."""
    if re.search(r"negative dimension|NoneType|must be positive|-1", error):
        low = {name: integer(lowered(name)) for name, value in slots.items() if type(value) is int and value < 0}
        none = {name: integer(lowered(name)) for name, value in slots.items() if value is None}
        yield from (one for one in (low, none, low | none) if one)
        yield from ({name: value} for name, value in none.items())


def _lengthened(slots: Change, count: int) -> Iterator[Change]:
    """As many sizes as the constructor unpacks; the sizes of hidden layers may be a list, in the middle or last."""
    for name, value in slots.items():
        if isinstance(value, (list, tuple)) and all(type(one) is int for one in value) and len(value) != count:
            sizes: list[Any] = [WIDTH] * count
            hidden = [WIDTH, WIDTH]
            yield {name: sizes}
            yield from ({name: [*sizes[:at], hidden, *sizes[at + 1 :]]} for at in reversed(range(count)))
            yield {name: [*sizes[:1], *[hidden] * (count - 1)]}


def _is_image(value: Any) -> bool:
    sizes = isinstance(value, (list, tuple)) and all(type(one) is int for one in value)
    return sizes and len(value) in (2, 3) and value[-1] == value[-2]


def _integers(slots: Change) -> list[str]:
    whole = (name for name, value in slots.items() if type(value) is int)
    return sorted(whole, key=lambda name: not name.endswith("s"))


def _keyed(slots: Change, trouble: Trouble) -> Iterator[Change]:
    """One of the keys that the table has, in place of the one that it misses."""
    error = trouble.text
    if "KeyError" in error:
        wrong = error.removeprefix("KeyError: ")
        for key in trouble.keys:
            yield from ({name: key} for name, value in slots.items() if repr(value) == wrong)
        words = re.findall(r"'(\w+)'", error)
        yield from ({name: key} for name, value in slots.items() if isinstance(value, str) for key in words)
    if "index out of range" in error and not trouble.fed:
        lists = {name: value for name, value in slots.items() if isinstance(value, list)}
        yield from ({name: [*value, *value]} for name, value in lists.items())
        if len(lists) > 1:
            yield {name: [*value, *value] for name, value in lists.items()}


def _agreeing(slots: Change, trouble: Trouble) -> Iterator[Change]:
    """Sizes that a check or an operation found to differ: a whole number, or the length of a list."""
    told = [(int(found[1]), int(found[2])) for pattern in _PAIRS if (found := re.search(pattern, trouble.text))]
    both = [pair for first, second in (*trouble.pairs, *told) for pair in ((first, second), (second, first))]
    for one, other in both:
        yield from ({name: other} for name, value in slots.items() if type(value) is int and value == one != other > 0)
        yield from _proportional(slots, one, other)
        lists = {
            name: type(value)((*value, *value[-1:] * other)[:other])
            for name, value in slots.items()
            if type(value) in (list, tuple) and 0 < len(value) == one != other > 0
        }
        yield from ({name: value} for name, value in lists.items())
        yield from [lists] if len(lists) > 1 else []


def _proportional(slots: Change, wanted: int, given: int) -> Iterator[Change]:
    """A size that makes `given` of what it made `wanted` of: twice the width of an embedding."""
    for name, value in slots.items():
        if type(value) is int and 1 < value < wanted and wanted % value == 0:
            times = wanted // value
            yield from [{name: given // times}] if given > 0 and given % times == 0 else []


def _divisible(slots: Change, error: str) -> Iterator[Change]:
    if re.search(r"divisible|divide|AssertionError|multiple|must be", error):
        numbers = [int(one) for one in re.findall(r"\d+", error)]
        integers = _integers(slots)
        heads = [name for name in integers if _HEADS.search(name)]
        yield from ({name: size} for name in heads for size in (2, 1, 8))
        yield dict.fromkeys([name for name in integers if name not in heads], 64)
        yield dict.fromkeys([name for name in integers if name not in heads], 16)
        yield from ({name: number} for name in integers for number in numbers[:2])


def _emptied(slots: Change, error: str) -> Iterator[Change]:
    """A size that pools or divides away to nothing: a longer one."""
    if re.search(r"(\(|\D)0x\d|x0\D|\[0[,\]]|, 0[,\]]|too small|non-zero|negative|Kernel size", error):
        sizes = [name for name in _integers(slots) if slots[name] >= SMALLEST_SIZE]
        yield from ({name: slots[name] * LONGER} for name in sizes)


def _typed(slots: Change, error: str) -> Iterator[Change]:
    """Numbers, lists, modules and tensors in place of each other."""
    integers = _integers(slots)
    if "got float" in error:
        yield from _wholes(slots)
    if re.search(r"not iterable|object is not subscriptable|has no len|must be (an )?iterable|unpack", error):
        yield from ({name: value} for name in integers for value in ([32, 32], [32, 32, 32], (32, 32), [(32, 32)]))
    if found := re.search(r"'(?:list|tuple|int|float)' object has no attribute '(\w+)'", error):
        yield from _tensors(slots) if hasattr(torch.Tensor, found[1]) else ()
    if re.search(r"FloatTensor|torch\.Tensor|torch Tensor|Tensor, not|must be Tensor", error):
        yield from _tensors(slots)
    if found := re.search(r"'(\w+)' object is not callable", error):
        named = sorted(slots, key=lambda name: not (ACTIVATION.search(name) or NORM.search(name)))
        likely = [name for name in named if type(slots[name]).__name__ == found[1]][:MAX_CHOICES]
        yield from ({name: value} for name in likely for value in (nn.ReLU, nn.Identity()))
    if re.search(r"should be a string|must be (a )?str|expected str", error):
        lists = {name: value for name, value in slots.items() if type(value) is list}
        yield from ({name: [f"{name}_{i}" for i in range(len(value))]} for name, value in lists.items())
        yield {name: [f"{name}_{i}" for i in range(len(value))] for name, value in lists.items() if "type" in name}
    if re.search(r"list|tuple|unsupported operand|cannot be interpreted as an integer|sequence|inhomogeneous", error):
        yield from ({name: integer(name)} for name, value in slots.items() if isinstance(value, (list, tuple)))
    if re.search(r"'float'|type float|type 'float|not float", error):
        yield from _wholes(slots)
    if "GuessedConfig" in error:
        configs = {name: integer(lowered(name)) for name, value in slots.items() if isinstance(value, GuessedConfig)}
        yield from ({name: value} for name, value in configs.items())
        yield from [configs] if len(configs) > 1 else []
    if re.search(r"unsupported operand|not supported between|must be .*int|cannot be interpreted as an integer", error):
        yield from ({name: integer(lowered(name))} for name, value in slots.items() if isinstance(value, nn.Module))


def _wholes(slots: Change) -> Iterator[Change]:
    """Sizes where fractions were."""
    whole = {name: integer(lowered(name)) for name, value in slots.items() if type(value) is float}
    yield from ({name: value} for name, value in whole.items())
    yield from [whole] if len(whole) > 1 else []


def _tensors(slots: Change) -> Iterator[Change]:
    """A tensor where a number or a list was; the adjacency of a chain of nodes too."""
    plain = [name for name, value in slots.items() if type(value) in (int, list, tuple, float)]
    chain = numpy.eye(WIDTH, k=1) + numpy.eye(WIDTH, k=-1)
    yield from ({name: value} for name in plain[:MAX_CHOICES] for value in (torch.ones(ROWS, WIDTH), chain))
    yield from ({name: torch.ones(ROWS, WIDTH)} for name in plain[MAX_CHOICES:])


def _nested(slots: Change, error: str) -> Iterator[Change]:
    """Lists of lists: dilations of each kernel, widths of each stage."""
    if re.search(r"'int' object is not (subscriptable|iterable)|type 'int' has no len|after \* must be", error):
        flat = {n: v for n, v in slots.items() if type(v) in (list, tuple) and v and all(type(i) is int for i in v)}
        yield from ({name: [[1, 2, 3]] * len(value)} for name, value in flat.items())
        yield from ({name: [list(value)] * len(value)} for name, value in flat.items())
