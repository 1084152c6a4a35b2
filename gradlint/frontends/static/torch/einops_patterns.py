"""einops on tensors: the ops that a pattern stands for, in the order of einops 0.8 (`_apply_recipe`)."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.python.plain_values import lifted, plain
from gradlint.frontends.static.torch import results as torch_results
from gradlint.frontends.static.values import Arguments, Constant, Sequence, Symbol, Tensor, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

Groups = tuple[tuple[str, ...], ...]
REDUCTIONS = {"mean": "mean", "sum": "sum", "prod": "prod", "max": "amax", "min": "amin", "any": "any", "all": "all"}
DOTS, INNER_DOTS = "...", "(...)"


@dataclass(frozen=True, slots=True)
class Pattern:
    """The two sides of a pattern: for every axis of the tensor the names of the axes that it is made of."""

    left: Groups
    right: Groups

    @property
    def before(self) -> tuple[str, ...]:
        """The names on the left, in order."""
        return tuple(name for group in self.left for name in group)

    @property
    def after(self) -> tuple[str, ...]:
        """The names on the right, in order."""
        return tuple(name for group in self.right for name in group)


def parse(text: str, rank: int | None) -> Pattern | None:
    """A pattern for a tensor of some rank; None where it is not valid, or has dots and the rank is not known."""
    left, arrow, right = text.partition("->")
    if not arrow:
        return None
    sides = [list(_groups(side)) for side in (left, right)]
    if any(DOTS in group or INNER_DOTS in group for side in sides for group in side):
        if rank is None:
            return None
        dots = tuple(f"{DOTS}{number}" for number in range(rank - sum(DOTS not in group for group in sides[0])))
        sides = [[inner for group in side for inner in _spread(group, dots)] for side in sides]
    return Pattern(tuple(sides[0]), tuple(sides[1]))


def _groups(side: str) -> Iterator[tuple[str, ...]]:
    inner: list[str] | None = None
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            inner = []
        elif word == ")":
            yield tuple(inner or ())
            inner = None
        elif inner is not None:
            inner.extend(() if word == "1" else (INNER_DOTS if word == DOTS else word,))
        else:
            yield () if word == "1" else (word,)


def _spread(group: tuple[str, ...], dots: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A group with its dots replaced by the axes that they stand for."""
    if group == (DOTS,):
        yield from ((name,) for name in dots)
    else:
        yield tuple(name for word in group for name in (dots if word == INNER_DOTS else (word,)))


def sizes_of(pattern: Pattern, shape: Iterable[int | None] | None, given: Mapping[str, int]) -> dict[str, int | None]:
    """The sizes of all named axes, None where not known."""
    sizes: dict[str, int | None] = dict.fromkeys((*pattern.before, *pattern.after))
    sizes.update(given)
    for group, whole in zip(pattern.left, shape or [None] * len(pattern.left), strict=False):
        open_ = [name for name in group if sizes[name] is None]
        if whole is not None and len(open_) == 1:
            known = 1
            for name in group:
                known *= sizes[name] or 1
            sizes[open_[0]] = whole // known if known else None
    return sizes


def apply(run: Run, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """`rearrange`, `repeat` or `reduce`; None where the pattern is not known."""
    text = plain(args.positional[1]) if len(args.positional) > 1 else plain(args.named.get("pattern"))
    tensor = args.positional[0] if args.positional else None
    if isinstance(tensor, Sequence):
        tensor = torch_results.op(run, "stack", Arguments((tensor,)), at)
    if not isinstance(text, str) or not isinstance(tensor, Tensor):
        return None
    pattern = parse(text, None if tensor.shape is None else len(tensor.shape))
    if pattern is None or (tensor.shape is not None and len(tensor.shape) != len(pattern.left)):
        return None
    given = {key: size for key, value in args.named.items() if type(size := plain(value)) is int}
    how = args.positional[2] if len(args.positional) > 2 else args.named.get("reduction", Constant("mean"))
    sizes = sizes_of(pattern, tensor.shape, given)
    return _applied(_Calls(run, at), pattern, tensor, sizes, REDUCTIONS.get(str(plain(how)), "mean"))


@dataclass(frozen=True, slots=True)
class _Calls:
    """Puts ops on the tape at one place."""

    run: Run
    at: ast.AST

    def op(self, native: str, tensor: Value, *args: Any, **options: Any) -> Value:
        """An op on a tensor with plain arguments."""
        named = {key: lifted(value) for key, value in options.items()}
        made = torch_results.op(self.run, native, Arguments((tensor, *map(lifted, args)), named), self.at)
        return tensor if made is None else made


def _applied(calls: _Calls, pattern: Pattern, tensor: Value, sizes: dict[str, int | None], reduction: str) -> Value:
    before, after = pattern.before, pattern.after
    if any(len(group) != 1 for group in pattern.left):
        tensor = calls.op("reshape", tensor, [_size(sizes[name]) for name in before])
    kept = [name for name in after if name in before]
    order = [before.index(name) for name in (*kept, *(name for name in before if name not in after))]
    if order != sorted(order):
        tensor = calls.op("permute", tensor, order)
    if len(order) > len(kept):
        tensor = calls.op(reduction, tensor, dim=tuple(range(len(kept), len(order))))
    added = [position for position, name in enumerate(after) if name not in before]
    for position in added:
        tensor = calls.op("unsqueeze", tensor, position)
    if added:
        tensor = calls.op("expand", tensor, [_size(sizes[n]) if n not in before else -1 for n in after])
    if any(len(group) != 1 for group in pattern.right):
        tensor = calls.op("reshape", tensor, [_size(_product(sizes[name] for name in g)) for g in pattern.right])
    return tensor


def _size(known: int | None) -> Value:
    return Symbol("int") if known is None else Constant(known)


def _product(sizes: Iterable[int | None]) -> int | None:
    whole = 1
    for size in sizes:
        if size is None:
            return None
        whole *= size
    return whole
