"""Length-prefixed messages between the parent, the worker and its children: a JSON header and a body of bytes."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

BODY_LIMIT = 512 * 1024**2  # bytes; a recorded graph of 100,000 ops takes about a tenth of it
READY = b"\0gradlint worker\0"
_HEAD = struct.Struct("<QQ")
_CHUNK = 1 << 20

Header = dict[str, Any]


class Inbox:
    """Collects the bytes of one message as they arrive."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Appends what was read from the pipe."""
        self._bytes += chunk

    @property
    def too_large(self) -> bool:
        """Whether the message is, or says that it will be, larger than `BODY_LIMIT`."""
        return max(sum(self._lengths()), len(self._bytes)) > BODY_LIMIT

    @property
    def complete(self) -> bool:
        """Whether the whole message has arrived."""
        return len(self._bytes) >= _HEAD.size and len(self._bytes) >= _HEAD.size + sum(self._lengths())

    def message(self) -> tuple[Header, bytes]:
        """The header and the body of a complete message."""
        header, body = self._lengths()
        text = bytes(self._bytes[_HEAD.size : _HEAD.size + header])
        return json.loads(text), bytes(self._bytes[_HEAD.size + header : _HEAD.size + header + body])

    def _lengths(self) -> tuple[int, int]:
        return _HEAD.unpack_from(self._bytes) if len(self._bytes) >= _HEAD.size else (0, 0)


def write_message(fd: int, header: Header, body: bytes = b"") -> None:
    """Writes one message; raises `BrokenPipeError` when nobody reads."""
    text = json.dumps(header).encode()
    for part in (_HEAD.pack(len(text), len(body)) + text, body):
        write_all(fd, part)


def write_all(fd: int, data: bytes) -> None:
    """Writes every byte, however small the pipe is."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view[:_CHUNK]) :]


def read_message(fd: int) -> tuple[Header, bytes] | None:
    """Waits for one message; None when the other side has ended or speaks nonsense."""
    head = _read_exactly(fd, _HEAD.size)
    if head is None:
        return None
    text_length, body_length = _HEAD.unpack(head)
    if text_length + body_length > 2 * BODY_LIMIT:
        return None
    text, body = _read_exactly(fd, text_length), _read_exactly(fd, body_length)
    return None if text is None or body is None else (json.loads(text), body)


def skip_to_ready(fd: int) -> bool:
    """Drops what start-up code printed before the worker took its pipe; False when the worker ended first."""
    seen = b""
    while not seen.endswith(READY):
        byte = os.read(fd, 1)
        if not byte:
            return False
        seen = (seen + byte)[-len(READY) :]
    return True


def _read_exactly(fd: int, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        chunk = os.read(fd, min(_CHUNK, count - len(data)))
        if not chunk:
            return None
        data += chunk
    return bytes(data)
