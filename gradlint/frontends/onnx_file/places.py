"""Where a node comes from: the lines of its author's source where the exporter wrote them down, else its own number.

torch writes `pkg.torch.onnx.stack_trace` and `pkg.torch.onnx.name_scopes` into a node's metadata. Only files below the
working folder are named as places, since a model may come from anywhere and name any file.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

from gradlint.frame import Frame

STACK = "pkg.torch.onnx.stack_trace"
SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"
MOST_TEXT = 20_000
"""Characters of a stack trace that are read."""

MOST_SOURCE = 2 << 20
MOST_LOOKED_AT = 50
"""Bytes of a source that are read, and nodes that are asked for the model's name."""

_LINE = re.compile(r'^ *File "([^"\n]+)", line (\d{1,7}), in ([^\n]{1,200})$', re.MULTILINE)
_LIBRARIES = ("site-packages", "dist-packages")


@dataclass
class Places:
    """The places of one file's nodes; `first` are the numbers of the nodes that first had a stack trace."""

    path: str
    root: str = field(default_factory=lambda: os.path.realpath(os.getcwd()))
    chains: dict[str, tuple[Frame, ...]] = field(default_factory=dict)
    own: dict[str, str | None] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)

    def of(self, node: Any, number: int) -> tuple[Frame, ...]:
        """The frames of a node, innermost first; its number in the file where no source of the user's is known."""
        told = node.metadata_props
        return self.of_trace(next((one.value for one in told if one.key == STACK), "") if told else "", number)

    def of_trace(self, text: str, number: int) -> tuple[Frame, ...]:
        """The frames of a stack trace, innermost first; a node's number where it names no file of theirs."""
        if not text:
            return self._own(number)
        if text not in self.chains:
            self.chains[text] = self._frames(text[:MOST_TEXT]) or self._own(number)
        return self.chains[text]

    def _own(self, number: int) -> tuple[Frame, ...]:
        """The place of a node in the file itself: below the file's own, which is the first line."""
        return (Frame(self.path, number + 1),)

    def _frames(self, text: str) -> tuple[Frame, ...]:
        frames = [
            self._frame(path, int(line), function)
            for name, line, function in reversed(_LINE.findall(text))
            if int(line) and (path := self._shown(name)) is not None
        ]
        return tuple(frames)

    def _frame(self, path: str, line: int, function: str) -> Frame:
        """A whole line of a file, as far as the file has it today."""
        if path not in self.lines:
            self.lines[path] = _read_lines(path)
        text = self.lines[path][line - 1] if line <= len(self.lines[path]) else ""
        first, last = len(text) - len(text.lstrip()) + 1, len(text.rstrip()) + 1
        return Frame(path, line, min(first, last), line, last, function)

    def _shown(self, name: str) -> str | None:
        """A file of the user's as seen from the working folder; None for libraries and files that lie elsewhere."""
        if name not in self.own:
            self.own[name] = self._below(name)
        return self.own[name]

    def _below(self, name: str) -> str | None:
        try:
            path = os.path.realpath(name)
            inside = os.path.relpath(path, self.root)
            is_file = os.path.isfile(path)
        except (OSError, ValueError):
            return None
        parts = inside.split(os.sep)
        own = name.endswith(".py") and parts[0] != os.pardir and not any(part in _LIBRARIES for part in parts)
        return inside if own and is_file else None


def _read_lines(path: str) -> list[str]:
    """The lines of a file; none when it cannot be read, or is larger than what people write."""
    try:
        with open(path, "rb") as file:
            return file.read(MOST_SOURCE).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def model_of(nodes: Iterable[Any]) -> str:
    """The class of the model that the first node with such metadata tells of; empty without."""
    for node in islice(nodes, MOST_LOOKED_AT):
        text = next((entry.value for entry in node.metadata_props if entry.key == CLASSES), "")
        if text:
            first = _listed(text)[:1]
            return first[0].rpartition(".")[2] if first else ""
    return ""


def module_of(node: Any) -> str:
    """The module that a node belongs to: from the metadata, else from a name such as `/encoder/layers.0/fc/Gemm`."""
    told = node.metadata_props
    text = next((one.value for one in told if one.key == SCOPES), "") if told else ""
    return _scope(text) if text else _path(node.name)


def _path(name: str) -> str:
    """The dotted path in a name of parts between slashes, of which some repeat the one before them."""
    if not name.startswith("/"):
        return ""
    path = ""
    for part in name[1:].split("/")[:-1]:
        inner = path.rpartition(".")[2]
        goes_on = bool(inner) and part.startswith(inner + ".")
        path = f"{path.removesuffix(inner)}{part}" if goes_on else f"{path}.{part}".removeprefix(".")
    return path


def _scope(text: str) -> str:
    """The innermost module in the list of scopes, whose last entry is the op's own."""
    named = _listed(text)[:-1]
    return named[-1] if named else ""


@cache
def _listed(text: str) -> tuple[str, ...]:
    """The texts of a list that is written as Python writes it."""
    try:
        found = ast.literal_eval(text[:MOST_TEXT])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
