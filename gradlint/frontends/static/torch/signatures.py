"""How calls of torch's functions that are written in Python are recorded: see functions.toml."""

from __future__ import annotations

import ast
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gradlint.errors import InternalError
from gradlint.frontends.static.python.plain_values import lifted, plain
from gradlint.frontends.static.values import Arguments, Value

FILE = Path(__file__).with_name("functions.toml")
PREFIX = "torch.nn.functional."
ALSO = frozenset(
    f"torch.{name}" for name in ("norm", "split", "unique", "unique_consecutive", "cdist", "stft", "tensordot")
)
"""Functions of torch itself that are written in Python."""

RETURN_INDICES = "return_indices"


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function in order, the first `positional` of them recorded by position, and defaults."""

    names: tuple[str, ...]
    positional: int
    defaults: Mapping[str, Any]


@functools.cache
def load() -> Mapping[str, str]:
    """The signatures by function, read once; raises `InternalError` where the file is not valid."""
    try:
        return MappingProxyType(tomllib.loads(FILE.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as fault:
        raise InternalError(f"functions.toml is not valid: {fault}") from fault


@functools.cache
def signature(name: str) -> Signature | None:
    """The signature of a function of `torch.nn.functional`; None for one that is written in C++."""
    text = load().get(name)
    if text is None:
        return None
    parsed = ast.parse(f"def f({text}): ...").body[0]
    assert isinstance(parsed, ast.FunctionDef)
    given = parsed.args
    places = [*given.posonlyargs, *given.args]
    defaults = dict(
        zip([place.arg for place in places[len(places) - len(given.defaults) :]], given.defaults, strict=True)
    )
    defaults |= {place.arg: value for place, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value}
    known = {name: eval(compile(ast.Expression(value), FILE.name, "eval"), {}) for name, value in defaults.items()}
    return Signature(
        tuple(p.arg for p in (*places, *given.kwonlyargs)), len(given.posonlyargs), MappingProxyType(known)
    )


def recorded(full: str, bare: str, args: Arguments) -> tuple[str, Arguments]:
    """The name and the arguments under which a call is recorded, whichever way its arguments are given."""
    found = signature(bare) if full.startswith(PREFIX) or full in ALSO else None
    if found is None or not args.exact or len(args.positional) > len(found.names):
        return bare, args
    given: dict[str, Value] = {**dict(zip(found.names, args.positional, strict=False)), **args.named}
    values = {name: given.get(name, lifted(found.defaults.get(name))) for name in found.names}
    named = {name: value for name, value in values.items() if name not in found.names[: found.positional]}
    if plain(values.get(RETURN_INDICES)) is True and not bare.endswith("_indices"):
        bare += "_with_indices"
    return bare, Arguments(tuple(values[name] for name in found.names[: found.positional]), named)
