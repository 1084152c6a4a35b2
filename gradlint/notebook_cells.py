"""Notebook files with other cells: the file's JSON is written as it was, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

INDENTS = (1, 2, 4, None)
"""Indents of JSON in use; Jupyter's own is 1."""

ENDS = ("\n", "")

Writer = Callable[[Any], bytes]


def rewritten(data: bytes, texts: Mapping[int, str]) -> bytes:
    """The bytes of a notebook whose cells of these 1-based numbers have other texts; unchanged where its JSON is in
    none of the styles that can be written again byte for byte (see `is_writable`)."""
    write = _writer(data)
    if write is None:
        return data
    content: Any = json.loads(data)
    for number, text in texts.items():
        cell = content["cells"][number - 1]
        cell["source"] = text.splitlines(keepends=True) if isinstance(cell["source"], list) else text
    return write(content)


def is_writable(data: bytes) -> bool:
    """Whether a notebook can be written again without a change to anything else."""
    return _writer(data) is not None


def _writer(data: bytes) -> Writer | None:
    """The way of writing JSON that gives the same bytes back; None when there is none."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or "cells" not in content:
        return None
    return next((way for way in _ways() if way(content) == data), None)


def _ways() -> Iterator[Writer]:
    for indent, plain, end in product(INDENTS, (False, True), ENDS):
        yield partial(_written, indent=indent, plain=plain, end=end)


def _written(content: Any, indent: int | None, plain: bool, end: str) -> bytes:
    text = json.dumps(content, indent=indent, ensure_ascii=plain, allow_nan=True) + end
    return text.encode("utf-8", "surrogatepass")
