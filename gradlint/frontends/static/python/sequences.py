"""Python's functions on sequences and dicts, and its tools for iteration."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gradlint.frontends.static.language import subscripts
from gradlint.frontends.static.language.conditions import note_test
from gradlint.frontends.static.python import keys
from gradlint.frontends.static.values import (
    Arguments,
    Constant,
    Mapping,
    Sequence,
    Symbol,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

Handler = Callable[["Run", Arguments, ast.AST], Value | None]
LONGEST = 4096
"""Passes of a range that are counted."""
REPEATED = 64
PRODUCTS = 256


def _range(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    ends = [run.constant(value) for value in arguments.positional]
    if ends and all(type(end) is int for end in ends):
        try:
            known = range(*ends)
        except (TypeError, ValueError):
            return None
        if not known[LONGEST:]:
            return Constant(known)
    return Sequence([Symbol("int")], "range", exact=False)


def _collected(kind: str) -> Handler:
    def handler(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
        if not arguments.positional:
            return Sequence([], kind, made=run.frame(at))
        items, exact = run.iterate(arguments.positional[0], at)
        if kind == "set":
            items = _distinct(run, items)
        return Sequence(items, kind, exact, run.frame(at))

    return handler


def _distinct(run: Run, items: list[Value]) -> list[Value]:
    found: dict[object, Value] = {}
    for item in items:
        key = run.constant(item, item)
        found.setdefault((type(key), key) if isinstance(key, (str, int, float)) else id(item), item)
    return list(found.values())


def _from_keys(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    """`dict.fromkeys(names, value)`."""
    if not arguments.positional:
        return None
    items, exact = run.iterate(arguments.positional[0], at)
    content = arguments.positional[1] if len(arguments.positional) > 1 else Constant(None)
    made = Mapping({}, exact)
    for item in items:
        keys.put(made, item, content)
    return made


def _dict(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    made = Mapping(made=run.frame(at), exact=arguments.exact)
    for value in arguments.positional[:1]:
        if isinstance(value, Mapping):
            made.items.update(value.items)
            made.exact = made.exact and value.exact
        else:
            _add_pairs(run, made, value, at)
    made.items.update(arguments.named)
    return made


def _add_pairs(run: Run, made: Mapping, value: Value, at: ast.AST) -> None:
    pairs, exact = run.iterate(value, at)
    made.exact = made.exact and exact
    for pair in pairs:
        if isinstance(pair, Sequence) and len(pair.items) == 2:
            keys.put(made, pair.items[0], pair.items[1])
        else:
            made.exact = False


def _zip(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    rows = [run.iterate(value, at) for value in arguments.positional]
    sizes = [len(items) for items, exact in rows if exact]
    if not rows:
        return Sequence([], "generator")
    count = min(sizes) if sizes else max(len(items) for items, _ in rows)
    columns = [_row(run, items, exact, count) for items, exact in rows]
    made = [Sequence(list(column), "tuple") for column in zip(*columns, strict=False)]
    return Sequence(list(made), "generator", exact=bool(sizes) and arguments.exact)


def _row(run: Run, items: list[Value], exact: bool, count: int) -> list[Value]:
    """The items of one argument, repeated where more of the same may follow."""
    if exact or len(items) >= count:
        return items[:count]
    return [*items, *([run.join(items) if items else Unknown("an item")] * (count - len(items)))]


def _enumerate(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if not arguments.positional:
        return None
    items, exact = run.iterate(arguments.positional[0], at)
    begin = arguments.positional[1] if len(arguments.positional) > 1 else arguments.named.get("start", Constant(0))
    first = run.size(begin)
    pairs = (
        Sequence([Constant(first + i) if exact and first is not None else Symbol("int"), item], "tuple")
        for i, item in enumerate(items)
    )
    return Sequence(list(pairs), "generator", exact)


def _reversed(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    items, exact = run.iterate(arguments.positional[0], at)
    return Sequence(items[::-1], "generator", exact)


def _sorted(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    items, exact = run.iterate(arguments.positional[0], at)
    if "key" not in arguments.named and all(isinstance(item, Constant) for item in items):
        try:
            down = bool(run.constant(arguments.named.get("reverse"), False))
            items = sorted(items, key=lambda item: item.value, reverse=down)  # type: ignore[attr-defined]
        except TypeError:
            exact = False
    return Sequence(items, "list", exact)


def _map(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if len(arguments.positional) < 2:
        return None
    function, *rest = arguments.positional
    rows = _zip(run, Arguments(tuple(rest)), at)
    assert isinstance(rows, Sequence)
    made = [run.call(function, Arguments(tuple(row.items)), at) for row in rows.items if isinstance(row, Sequence)]
    exact = rows.exact if len(rest) > 1 else run.iterate(rest[0], at)[1] if rest else True
    return Sequence(made, "generator", exact)


def _filter(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if len(arguments.positional) != 2:
        return None
    function, value = arguments.positional
    items, exact = run.iterate(value, at)
    kept: list[Value] = []
    for item in items:
        same = isinstance(function, Constant)
        test = item if same else run.call(function, Arguments((item,)), at)
        answer = run.truth(test)
        if answer is None:
            note_test(run, test, at)
        if answer is not False:
            kept.append(item)
        exact = exact and answer is not None
    return Sequence(kept, "generator", exact)


def _all(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return _decided(run, arguments, at, stop=False)


def _any(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return _decided(run, arguments, at, stop=True)


def _decided(run: Run, arguments: Arguments, at: ast.AST, stop: bool) -> Value:
    items, exact = run.iterate(arguments.positional[0], at) if arguments.positional else ([], False)
    answers = [run.truth(item) for item in items]
    if stop in answers:
        return Constant(stop)
    for item in items:
        note_test(run, item, at)
    return Constant(not stop) if exact and None not in answers else Symbol("bool")


def _next(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    items, exact = run.iterate(arguments.positional[0], at)
    default = arguments.positional[1:2]
    if items:
        return items[0] if exact or not default else run.join((items[0], *default))
    return default[0] if default else Unknown("an item of an empty iterator")


def _chain(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return _chained(run, arguments.positional, arguments.exact, at)


def _chain_of(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    items, exact = run.iterate(arguments.positional[0], at)
    return _chained(run, items, exact, at)


def _chained(run: Run, values: Iterable[Value], exact: bool, at: ast.AST) -> Value:
    found: list[Value] = []
    for value in values:
        items, whole = run.iterate(value, at)
        found += items
        exact = exact and whole
    return Sequence(found, "generator", exact)


def _product(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    rows = [run.iterate(value, at) for value in arguments.positional]
    found = itertools.islice(itertools.product(*(items for items, _ in rows)), PRODUCTS)
    made: list[Value] = [Sequence(list(row), "tuple") for row in found]
    return Sequence(made, "generator", all(exact for _, exact in rows) and len(made) < PRODUCTS)


def _pairs(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    items, exact = run.iterate(arguments.positional[0], at)
    made: list[Value] = [Sequence(list(pair), "tuple") for pair in itertools.pairwise(items)]
    return Sequence(made, "generator", exact)


def _combinations(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    items, exact = run.iterate(arguments.positional[0], at)
    size = run.size(arguments.positional[1]) if len(arguments.positional) > 1 else None
    if size is None:
        return Sequence([Sequence(items, "tuple", exact=False)], "generator", exact=False)
    found = itertools.islice(itertools.combinations(items, size), PRODUCTS)
    return Sequence([Sequence(list(row), "tuple") for row in found], "generator", exact)


def _endless(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if not arguments.positional:
        return Sequence([Symbol("int")], "generator", exact=False)
    items, _ = run.iterate(arguments.positional[0], at)
    return Sequence(items, "generator", exact=False)


def _count(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    return Sequence([Symbol("int")], "generator", exact=False)


def _repeat(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    times = run.size(arguments.positional[1]) if len(arguments.positional) > 1 else None
    count = times if times is not None and times <= REPEATED else 1
    return Sequence([arguments.positional[0]] * count, "generator", exact=times == count)


def _islice(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    items, exact = run.iterate(arguments.positional[0], at)
    ends = [run.constant(value) for value in arguments.positional[1:]]
    if all(end is None or type(end) is int for end in ends):
        return Sequence(items[slice(*ends)], "generator", exact)
    return Sequence(items, "generator", exact=False)


def _reduce(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    if len(arguments.positional) < 2:
        return None
    function, value, *initial = arguments.positional
    items, _ = run.iterate(value, at)
    items = [*initial, *items]
    total = items[0] if items else Unknown("a reduction of nothing")
    for item in items[1:]:
        total = run.call(function, Arguments((total, item)), at)
    return total


def _slice(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    given = list(arguments.positional)
    nothing: Value = Constant(None)
    padded = [nothing, *given, nothing] if len(given) == 1 else [*given, *[nothing] * (3 - len(given))]
    return subscripts.slice_of(*padded[:3])


def _defaultdict(run: Run, arguments: Arguments, at: ast.AST) -> Value | None:
    made = _dict(run, Arguments(arguments.positional[1:], arguments.named), at)
    if isinstance(made, Mapping) and arguments.positional and not isinstance(arguments.positional[0], Constant):
        made.factory = arguments.positional[0]
    return made


FUNCTIONS: dict[str, Handler] = {
    "builtins.range": _range,
    "builtins.list": _collected("list"),
    "builtins.tuple": _collected("tuple"),
    "builtins.set": _collected("set"),
    "builtins.frozenset": _collected("set"),
    "collections.deque": _collected("list"),
    "builtins.dict": _dict,
    "builtins.dict.fromkeys": _from_keys,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _defaultdict,
    "collections.Counter": lambda run, arguments, at: Mapping(exact=False),
    "builtins.zip": _zip,
    "itertools.zip_longest": _zip,
    "builtins.enumerate": _enumerate,
    "builtins.reversed": _reversed,
    "builtins.sorted": _sorted,
    "builtins.map": _map,
    "builtins.filter": _filter,
    "builtins.all": _all,
    "builtins.any": _any,
    "builtins.next": _next,
    "builtins.slice": _slice,
    "itertools.chain": _chain,
    "itertools.chain.from_iterable": _chain_of,
    "itertools.product": _product,
    "itertools.pairwise": _pairs,
    "itertools.combinations": _combinations,
    "itertools.cycle": _endless,
    "itertools.count": _count,
    "itertools.repeat": _repeat,
    "itertools.islice": _islice,
    "functools.reduce": _reduce,
}
"""What a call gives, by the function's full name."""
