"""Code that torch.fx wrote for a GraphModule: its lines stand for nodes of the graph, which is what the caller holds.

A node that was traced with its stack (`node.meta["stack_trace"]`) stands for the author's own lines; any other is
known by its number among the nodes, from 1, and by its name.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from gradlint.frame import Frame
from gradlint.frontends.recorder.frames import is_library, is_skipped

SHOWN = "<live>"
"""The path of what no file holds."""

TRACE = "stack_trace"
_LINE = re.compile(r'^ *File "([^"\n]+)", line (\d{1,7}), in ([^\n]{1,200})$', re.MULTILINE)

Lines = dict[str, dict[int, tuple[Frame, ...]]]
"""The frames that a line of generated code stands for, innermost first, by the code's file name."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What the generated code in a model stands for, and the names of nodes by their lines of `SHOWN`."""

    lines: Lines = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


def generated(model: nn.Module) -> Generated:
    """What the lines of all GraphModules in a model stand for."""
    found = Generated()
    for path, part in model.named_modules():
        if isinstance(part, fx.GraphModule):
            _add(found, path, part)
    return found


def _add(found: Generated, path: str, part: fx.GraphModule) -> None:
    """Adds one GraphModule; one whose code is not what torch last generated of its graph is left out."""
    code = getattr(getattr(type(part), "forward", None), "__code__", None)
    numbers = getattr(part, "_lineno_map", None)
    if code is None or not numbers:
        return
    start = getattr(part, "_prologue_start", 0)
    places = dict(enumerate(_places(found, path, part)))
    found.lines[code.co_filename] = {
        line + start: places[number] for line, number in numbers.items() if number in places
    }


def _places(found: Generated, path: str, part: fx.GraphModule) -> Iterator[tuple[Frame, ...]]:
    """The frames of every node of a graph, in their order."""
    for node in part.graph.nodes:
        line = len(found.names) + 2
        found.names[line] = f"{path}.{node.name}" if path else node.name
        yield _traced(node.meta.get(TRACE)) or (Frame(SHOWN, line, function="forward"),)


def _traced(trace: Any) -> tuple[Frame, ...]:
    """The frames of a stack trace, innermost first; none when no line of the author's own is among them."""
    if not isinstance(trace, str):
        return ()
    frames = [_frame(path, int(line), name) for path, line, name in reversed(_LINE.findall(trace))]
    kept = tuple(frame for frame in frames if frame.line and not is_skipped(frame.path))
    return kept if any(frame.user for frame in kept) else ()


def _frame(path: str, line: int, function: str) -> Frame:
    text = linecache.getline(path, line).rstrip()
    first = len(text) - len(text.lstrip()) + 1
    return Frame(path, line, first, line, max(len(text) + 1, first), function, not is_library(path))
