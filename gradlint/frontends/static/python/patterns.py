"""Regular expressions on known texts: `re.split`, `re.sub`, `re.match` and their like, as architectures are named."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradlint.frontends.static.python.plain_values import lifted
from gradlint.frontends.static.values import Arguments, Constant, Foreign, Mapping, Value

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

PATTERN, MATCH = "re.Pattern", "re.Match"
MOST_LETTERS = 120
"""Letters of a pattern and of a text that are looked at."""

_REPEATED = re.compile(r"[*+}]")
_REPEATED_PART = re.compile(r"[)*+}][*+{]")
MOST_REPETITIONS = 3
"""Repetitions in a pattern: the time of a search grows with the text's length to their power."""

SEARCHES = frozenset({"match", "search", "fullmatch"})
LISTS = frozenset({"split", "findall", "sub"})


def _known(run: Run, args: Arguments) -> list[Any] | None:
    """The arguments as Python objects; None where one is not known, or is too much."""
    missing = object()
    found = [run.constant(value, missing) for value in (*args.positional, *args.named.values())]
    short = all(not isinstance(value, (str, bytes)) or len(value) <= MOST_LETTERS for value in found)
    return found if short and missing not in found and args.exact else None


def _safe(pattern: Any) -> bool:
    if not isinstance(pattern, str) or _REPEATED_PART.search(pattern):
        return False
    return len(_REPEATED.findall(pattern)) <= MOST_REPETITIONS


def _apply(name: str, given: list[Any], named: list[str]) -> Value | None:
    positional, options = given[: len(given) - len(named)], dict(zip(named, given[-len(named) :], strict=False))
    try:
        result = getattr(re, name)(*positional, **(options if named else {}))
    except (re.error, TypeError, ValueError, IndexError):
        return None
    return _match(result) if name in SEARCHES else lifted(result)


def _match(result: re.Match[str] | None) -> Value:
    if result is None:
        return Constant(None)
    groups = lifted((result.group(), *result.groups()))
    return Foreign(MATCH, {}, {"groups": groups, "names": lifted(tuple(result.groupdict().items()))})


def _function(name: str) -> Callable[[Run, Arguments, ast.AST], Value | None]:
    def call(run: Run, args: Arguments, at: ast.AST) -> Value | None:
        given = _known(run, args)
        return _apply(name, given, list(args.named)) if given and _safe(given[0]) else None

    return call


def _compiled(run: Run, args: Arguments, at: ast.AST) -> Value | None:
    given = _known(run, args)
    return Foreign(PATTERN, {}, {"pattern": Constant(given[0])}) if given and _safe(given[0]) else None


def method(run: Run, receiver: Foreign, name: str, args: Arguments, at: ast.AST) -> Value | None:
    """A method of a compiled pattern or of a match; None for one that is not known."""
    if receiver.name == PATTERN and name in SEARCHES | LISTS:
        whole = Arguments((receiver.state["pattern"], *args.positional), args.named, args.exact)
        return _function(name)(run, whole, at)
    return _of_match(run, receiver, name, args) if receiver.name == MATCH else None


def _of_match(run: Run, receiver: Foreign, name: str, args: Arguments) -> Value | None:
    groups, names = run.constant(receiver.state["groups"]), dict(run.constant(receiver.state["names"]))
    if name == "groups":
        return lifted(tuple(groups[1:]))
    if name == "groupdict":
        return Mapping({key: lifted(value) for key, value in names.items()})
    wanted = run.constant(args.positional[0]) if args.positional else 0
    if name not in ("group", "__getitem__"):
        return None
    if type(wanted) is int and wanted < len(groups):
        return Constant(groups[wanted])
    return Constant(names[wanted]) if wanted in names else None


FUNCTIONS: dict[str, Callable[[Run, Arguments, ast.AST], Value | None]] = {
    **{f"re.{name}": _function(name) for name in (*SEARCHES, *LISTS)},
    "re.compile": _compiled,
}
