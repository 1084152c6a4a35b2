"""Reads the data files of this folder and finds an op by any of its names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from gradlint.errors import InternalError
from gradlint.ops.facts import FRAMEWORKS, OpFacts

HERE = Path(__file__).parent
ATEN = re.compile(r"^(?:torch\.ops\.)?(?:aten|prims|torchvision)(?:::|\.)(\w+?)(?:\.\w+)?$")
INPLACE_DUNDER = re.compile(r"^__i(\w+)__$")


@dataclass(frozen=True, slots=True)
class Table:
    """All ops: by canonical name, and for each framework by native name."""

    ops: Mapping[str, OpFacts]
    native: Mapping[str, Mapping[str, OpFacts]]


def parse(family: str, text: str) -> tuple[OpFacts, ...]:
    """The ops of one data file; `family` is their kind. Raises `InternalError` on what is no valid fact.

    An op without a `torch` key has its own name in torch.
    """
    try:
        entries = tomllib.loads(text)
        return tuple(
            OpFacts.model_validate({"torch": (name,), **entry, "name": name, "kind": family})
            for name, entry in entries.items()
        )
    except (ValidationError, tomllib.TOMLDecodeError, TypeError) as fault:
        raise InternalError(f"op facts in {family}.toml are not valid: {fault}") from fault


def build(ops: Iterable[OpFacts]) -> Table:
    """Indexes the ops; raises `InternalError` when two of them claim one name."""
    known = tuple(ops)
    by_name = _index((op.name, op) for op in known)
    native = {way: _index((name, op) for op in known for name in op.native(way)) for way in FRAMEWORKS}
    return Table(by_name, MappingProxyType(native))


def _index(pairs: Iterable[tuple[str, OpFacts]]) -> Mapping[str, OpFacts]:
    index: dict[str, OpFacts] = {}
    for name, op in pairs:
        if name in index:
            raise InternalError(f"two op facts are named {name!r}: {index[name].name} and {op.name}")
        index[name] = op
    return MappingProxyType(index)


@cache
def load() -> Table:
    """The table of this installation, read once."""
    files = sorted(HERE.glob("*.toml"))
    return build(op for file in files for op in parse(file.stem, file.read_text(encoding="utf-8")))


def spellings(native: str) -> Iterator[str]:
    """The names under which an op may be listed, the most specific first.

    `torch.linalg.norm` yields `linalg_norm` before `norm`; after an in-place variant (`relu_`,
    `__iadd__`) comes the plain name.
    """
    aten = ATEN.match(native)
    parts = [aten[1]] if aten else native.split(".")
    for start in range(len(parts)):
        yield from _plain("_".join(parts[start:]))


def _plain(name: str) -> Iterator[str]:
    yield name
    if name.endswith("_") and not name.endswith("__"):
        yield name[:-1]
    if dunder := INPLACE_DUNDER.match(name):
        yield f"__{dunder[1]}__"


def table() -> Mapping[str, OpFacts]:
    """All ops by canonical name."""
    return load().ops


@lru_cache(maxsize=1 << 12)
def facts(name: str) -> OpFacts | None:
    """The facts of a canonical op name; None when it is not known."""
    return load().ops.get(name)


def lookup(framework: str, native: str) -> OpFacts | None:
    """The facts of an op as a framework names it: `relu_`, `torch.nn.functional.relu`, `aten::relu_`, `__iadd__`.

    `framework` is one of `FRAMEWORKS` (`KeyError` otherwise). None when the op is not known.
    """
    names = load().native[framework]
    if framework == "tensorflow" and "keras" in native.split("."):
        names = load().native["keras"]
    return next((names[name] for name in spellings(native) if name in names), None)
