"""The moments of the weights that an archive holds: as numbers one behind the other, never as pickles."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gradlint.frontends import first_rows
from gradlint.frontends.exported_program.archive import Exported
from gradlint.frontends.exported_program.schema import Payload
from gradlint.graph import Moments, Parameter

STORED = {"float32": "<f4", "float64": "<f8", "float16": "<f2", "bfloat16": "<u2"}
"""Element types as they lie in the file."""

HALF = "bfloat16"
"""The upper half of a float32."""

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, KeyError)


def with_moments(parameters: Iterable[Parameter], exported: Exported, file: str | IO[bytes]) -> tuple[Parameter, ...]:
    """The parameters with the moments of those whose numbers can be read."""
    told = tuple(parameters)
    try:
        with zipfile.ZipFile(file) as archive:
            return tuple(replace(one, moments=_moments(archive, exported, one)) for one in told)
    except _BROKEN:
        return told


def _moments(archive: zipfile.ZipFile, exported: Exported, parameter: Parameter) -> Moments | None:
    payload = exported.weights.get(parameter.name)
    values = _first(archive, f"{exported.weights_root}{payload.path_name}", payload) if payload is not None else None
    return first_rows.moments(values, parameter.shape) if values is not None else None


def _first(archive: zipfile.ZipFile, member: str, payload: Payload) -> NDArray[np.float64] | None:
    """The first elements of a tensor; None where its member is not exactly its elements, as that of a pickle is not."""
    meta, known = payload.tensor_meta, archive.NameToInfo.get(member)
    kind = STORED.get(meta.dtype_name or "") if meta is not None else None
    if meta is None or known is None or kind is None or meta.shape is None:
        return None
    size = np.dtype(kind).itemsize
    if known.file_size != math.prod(meta.shape) * size:
        return None
    with archive.open(known) as stream:
        found = np.frombuffer(stream.read(first_rows.ENOUGH * size), kind)
    wide = (found.astype(np.uint32) << 16).view(np.float32) if meta.dtype_name == HALF else found
    return wide.astype(np.float64)
