"""Where the values of initialisers lie: in the model's file or in another one; nothing is read before it is asked for.

A model names the files of its external data itself, so only such that lie in its own folder or below are opened.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from gradlint.errors import TargetError
from gradlint.frontends.onnx_file.scanning import Field, fields, without_values
from gradlint.frontends.onnx_file.values import checked

MOST_BYTES = 1 << 32
"""What one tensor may take: 4 GiB hold the largest embedding tables that exist."""

CHUNK = 1 << 20
"""Elements that are looked at together: 8 MiB in double precision."""

_GRAPH, _INITIALISER, _NAME, _RAW = 7, 5, 8, 9
_PACKED = {4: onnx.TensorProto.FLOAT, 10: onnx.TensorProto.DOUBLE}
"""Fields of a tensor whose numbers lie one behind the other as in memory, and their element types."""

_STORED: Mapping[int, str] = {
    onnx.TensorProto.FLOAT: "<f4",
    onnx.TensorProto.DOUBLE: "<f8",
    onnx.TensorProto.FLOAT16: "<f2",
    onnx.TensorProto.BFLOAT16: "<u2",
    onnx.TensorProto.INT8: "i1",
    onnx.TensorProto.UINT8: "u1",
    onnx.TensorProto.INT16: "<i2",
    onnx.TensorProto.INT32: "<i4",
    onnx.TensorProto.INT64: "<i8",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of a file with the numbers of one tensor."""

    data: memoryview
    dtype: np.dtype[np.generic]
    half: bool


class Tensors:
    """The initialisers of one file by name; raises `TargetError` where the file, or a tensor, is not what it says."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._view = _mapped(path)

    @cached_property
    def _found(self) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for graph in (one for one in fields(self._view, 0, len(self._view)) if one.number == _GRAPH):
            for tensor in fields(self._view, graph.content, graph.end):
                if tensor.number == _INITIALISER:
                    found[_name(self._view, tensor)] = tensor
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def names(self) -> tuple[str, ...]:
        """The names of all initialisers."""
        return tuple(self._found)

    def shape(self, name: str) -> tuple[int, ...]:
        """The sizes that an initialiser says it has."""
        return checked(self._head(name).dims, name)

    def chunks(self, name: str) -> Iterator[np.ndarray[tuple[int], np.dtype[np.float64]]]:
        """The values of an initialiser in double precision, `CHUNK` of them at a time."""
        head = self._head(name)
        elements = int(np.prod(checked(head.dims, name), dtype=object))
        place = self._place(name, head, elements)
        if place is None:
            yield self._parsed(name).astype(np.float64).reshape(-1)
            return
        for start in range(0, elements, CHUNK):
            size = place.dtype.itemsize
            part = np.frombuffer(place.data[start * size : min(start + CHUNK, elements) * size], place.dtype)
            # A bfloat16 is the upper half of a float32.
            yield ((part.astype(np.uint32) << 16).view(np.float32) if place.half else part).astype(np.float64)

    def _field(self, name: str) -> Field:
        if name not in self._found:
            raise TargetError(f"there is no initialiser `{name}`")
        return self._found[name]

    def _head(self, name: str) -> onnx.TensorProto:
        """The tensor without its values."""
        where = self._field(name)
        return _tensor(without_values(self._view, where.content, where.end), name)

    def _parsed(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        """A tensor whose numbers are not written as in memory."""
        where = self._field(name)
        if where.end - where.content > MOST_BYTES:
            raise TargetError(f"the tensor `{name}` is larger than {MOST_BYTES >> 30} GiB")
        try:
            values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = onnx.numpy_helper.to_array(
                _tensor(bytes(self._view[where.content : where.end]), name)
            )
            return values
        except (ValueError, TypeError) as error:
            raise TargetError(f"the tensor `{name}` cannot be read: {error}") from None

    def _place(self, name: str, head: onnx.TensorProto, elements: int) -> _Place | None:
        """Where the numbers of a tensor lie as in memory; None where they are written in another way."""
        if head.data_type not in _STORED:
            return None
        dtype = np.dtype(_STORED[head.data_type])
        data = (
            self._external(name, head) if head.data_location == onnx.TensorProto.EXTERNAL else self._inner(name, head)
        )
        if data is None:
            return None
        needed = elements * dtype.itemsize
        if needed > MOST_BYTES or len(data) < needed:
            why = (
                f"larger than {MOST_BYTES >> 30} GiB"
                if needed > MOST_BYTES
                else f"cut off: {len(data)} of {needed} bytes"
            )
            raise TargetError(f"the tensor `{name}` is {why}")
        return _Place(data[:needed], dtype, head.data_type == onnx.TensorProto.BFLOAT16)

    def _inner(self, name: str, head: onnx.TensorProto) -> memoryview | None:
        where = self._field(name)
        for field in fields(self._view, where.content, where.end):
            packed = _PACKED.get(field.number) == head.data_type and field.end - field.content > _size(head)
            if field.number == _RAW or packed:
                return self._view[field.content : field.end]
        return None

    def _external(self, name: str, head: onnx.TensorProto) -> memoryview:
        """The part of another file; `TargetError` when it lies outside of the model's folder."""
        told = {entry.key: entry.value for entry in head.external_data}
        view = _mapped(beside(self._path, told.get("location", "")))
        offset, length = (_count(told.get(key, ""), name) for key in ("offset", "length"))
        end = offset + length if length else len(view)
        if end > len(view):
            raise TargetError(f"the tensor `{name}` lies behind the end of its file")
        return view[offset:end]


def _size(head: onnx.TensorProto) -> int:
    """The bytes of one element."""
    return np.dtype(_STORED[head.data_type]).itemsize


def beside(path: str, location: str) -> str:
    """A file of external data; `TargetError` when it is not below the model's folder, whatever links lead there."""
    folder = os.path.realpath(os.path.dirname(path) or os.curdir)
    found = os.path.realpath(os.path.join(folder, location))
    if not location or os.path.isabs(location) or os.path.commonpath([folder, found]) != folder:
        raise TargetError(f"external data outside of the model's folder are not read: {location!r}")
    if not os.path.isfile(found):
        raise TargetError(f"there are no external data at {location!r}")
    return found


def _count(text: str, name: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or len(text) > 18:
        raise TargetError(f"the tensor `{name}` has no place in its file: {text[:20]!r}")
    return int(text)


def _mapped(path: str) -> memoryview:
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise TargetError(f"{os.path.basename(path)} cannot be read: {str(error).lower()}") from None


def _name(view: memoryview, tensor: Field) -> str:
    for field in fields(view, tensor.content, tensor.end):
        if field.number == _NAME:
            return bytes(view[field.content : field.end]).decode("utf-8", "replace")
    return ""


def _tensor(data: bytes, name: str) -> onnx.TensorProto:
    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(data)
    except DecodeError as error:
        raise TargetError(f"the tensor `{name}` cannot be read: {error}") from None
    return tensor
