"""A model's bytes without its large tensors: the wire format of protocol buffers, read field by field.

A file of any size is mapped, not loaded; only what describes the graph is copied, so that a model with gigabytes of
weights costs as much as its nodes do. Format: https://protobuf.dev/programming-guides/encoding/; fields: onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gradlint.errors import TargetError

KEPT_BYTES = 1024
"""Tensors up to this size keep their values: shapes, axes, bounds, small tables."""

DEEPEST = 100
"""Messages inside of messages; protobuf's own limit for parsing."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10
_MOST_FIELD = (1 << 29) - 1

Nested = Mapping[int, str]

NESTED: Mapping[str, Nested] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Fields that may hold tensors, by the message and the field's number."""

PAYLOADS = frozenset({4, 5, 6, 7, 9, 10, 11})
"""Fields of a tensor that hold its values: float_data, int32_data, string_data, int64_data, raw_data and so on."""


class Field(NamedTuple):
    """One field: its number, where it starts (with its tag), where its content starts, and where it ends."""

    number: int
    start: int
    content: int
    end: int
    wire: int


def fields(view: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of a message in a part of some bytes; `TargetError` where they are none."""
    at = start
    while at < end:
        tag, content = _varint(view, at, end)
        number, wire = tag >> 3, tag & 7
        stop = _end(view, wire, content, end)
        if wire == _BYTES:
            size, content = _varint(view, content, end)
            stop = content + size
        if not 0 < number <= _MOST_FIELD or stop > end:
            raise TargetError(f"it is not an ONNX model, or was cut off: no field of a message at byte {at}")
        yield Field(number, at, content, stop, wire)
        at = stop


def _end(view: memoryview, wire: int, at: int, end: int) -> int:
    """Where a field of fixed or self-told size ends; behind `end` for wire types that ONNX does not use."""
    if wire == _VARINT:
        return _varint(view, at, end)[1]
    return at + {_FIXED64: 8, _FIXED32: 4, _BYTES: 0}.get(wire, end + 1)


def _varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    if at < end and (first := view[at]) < 0x80:
        return first, at + 1
    value = 0
    for place in range(min(_VARINT_BYTES, end - at)):
        byte = view[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise TargetError(f"it is not an ONNX model, or was cut off: no number at byte {at}")


def number_of(view: memoryview, field: Field) -> int:
    """The number in a field of varint type."""
    return _varint(view, field.content, field.end)[0]


def without_weights(view: memoryview, limit: int) -> bytes:
    """A model's bytes, tensors of more than `KEPT_BYTES` without their values.

    Raises `TargetError` when the bytes are no message, or when more than `limit` of them are left.
    """
    kept = _stripped(view, 0, len(view), "model", DEEPEST)
    if len(kept) > limit:
        raise TargetError(f"its nodes alone take more than {limit >> 20} MiB")
    return bytes(kept)


def without_values(view: memoryview, start: int, end: int) -> bytes:
    """The bytes of one tensor in a part of some bytes, without its values when these are large."""
    return bytes(_stripped(view, start, end, "tensor", DEEPEST))


def _stripped(view: memoryview, start: int, end: int, kind: str, depth: int) -> bytearray:
    """One message; what is too small to hold a large tensor is copied as it is."""
    if depth == 0:
        raise TargetError(f"its graphs are nested more than {DEEPEST} deep")
    nested = NESTED[kind]
    kept = bytearray()
    copied = start
    for field in fields(view, start, end):
        size = field.end - field.content
        if size <= KEPT_BYTES or field.wire != _BYTES:
            continue
        if kind == "tensor" and field.number in PAYLOADS:
            kept += view[copied : field.start]
            copied = field.end
        elif field.number in nested:
            inner = _stripped(view, field.content, field.end, nested[field.number], depth - 1)
            kept += view[copied : field.start]
            kept += _varint_bytes(field.number << 3 | _BYTES) + _varint_bytes(len(inner)) + inner
            copied = field.end
    kept += view[copied:end]
    return kept


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
