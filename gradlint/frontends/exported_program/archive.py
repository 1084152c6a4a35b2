"""A `.pt2` file taken apart: a zip archive with JSON in it. Weights stay where they are, pickles are never opened."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from typing import IO, TypeVar

from pydantic import TypeAdapter, ValidationError

from gradlint.errors import TargetError
from gradlint.frontends.exported_program.schema import PAYLOADS, PROGRAM, Payload, Program

MOST_JSON_BYTES = 1 << 29
"""Bytes that one JSON member may have; a graph of 100,000 ops takes a tenth of it."""

MOST_MEMBERS = 1_000_000
"""Members that an archive may have: one for each weight."""

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)

Read = TypeVar("Read")


@dataclass(frozen=True)
class Exported:
    """One program of an archive and the tensors beside it, by their dotted names; the members of its weights begin with
    `weights_root`."""

    name: str
    program: Program
    weights: dict[str, Payload] = field(default_factory=dict)
    constants: dict[str, Payload] = field(default_factory=dict)
    weights_root: str = ""


def load(file: str | IO[bytes]) -> tuple[Exported, ...]:
    """The programs of an archive; `TargetError` with one line when there is none that can be read."""
    try:
        with zipfile.ZipFile(file) as archive:
            return tuple(_programs(archive))
    except _BROKEN as error:
        raise TargetError(f"it is no exported program: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).lower() or type(error).__name__


def _programs(archive: zipfile.ZipFile) -> list[Exported]:
    names = archive.namelist()
    if len(names) > MOST_MEMBERS:
        raise TargetError(f"it is no exported program: it has {len(names):,} members")
    outside = next((name for name in names if name.startswith("/") or ".." in name.replace("\\", "/").split("/")), None)
    if outside is not None:
        raise TargetError(f"it is no exported program: its member {outside[:80]!r} points out of the archive")
    found = [(name, _model_name(name)) for name in names if _is_program(name)]
    if not found:
        compiled = any(name.endswith(".so") for name in names)
        why = "it holds compiled code only" if compiled else "it holds no models/*.json"
        raise TargetError(f"it is no exported program: {why}")
    return [_exported(archive, member, name) for member, name in found]


def _is_program(member: str) -> bool:
    """Whether a member is a program: `models/NAME.json`, or, up to torch 2.7, `serialized_exported_program.json`."""
    folder, _, file = member.rpartition("/")
    if file == "serialized_exported_program.json":
        return True
    return file.endswith(".json") and folder.rpartition("/")[2] == "models"


def _model_name(member: str) -> str:
    return member.rpartition("/")[2].removesuffix(".json")


def _exported(archive: zipfile.ZipFile, member: str, name: str) -> Exported:
    root = member.rpartition("models/")[0]
    return Exported(
        name,
        _parsed(archive, member, PROGRAM),
        _payloads(archive, f"{root}data/weights/{name}_weights_config.json"),
        _payloads(archive, f"{root}data/constants/{name}_constants_config.json"),
        f"{root}data/weights/",
    )


def _payloads(archive: zipfile.ZipFile, member: str) -> dict[str, Payload]:
    if member not in archive.NameToInfo:
        return {}
    return _parsed(archive, member, PAYLOADS).config


def _parsed(archive: zipfile.ZipFile, member: str, kind: TypeAdapter[Read]) -> Read:
    with archive.open(member) as stream:
        data = stream.read(MOST_JSON_BYTES + 1)
    if len(data) > MOST_JSON_BYTES:
        raise TargetError(f"it is no exported program: {member} is larger than {MOST_JSON_BYTES >> 20} MiB")
    try:
        return kind.validate_json(data)
    except ValidationError as error:
        raise TargetError(f"it is no exported program: {_place(member, error)}") from None


def _place(member: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"][:8]))
    return " ".join(f"{member}{f' at {where}' if where else ''}: {first['msg']}".split())[:300]
