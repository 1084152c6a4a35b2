"""Which write spoilt a backward pass: torch names the value, the tape knows who wrote it."""

from __future__ import annotations

import re

from gradlint.frontends.recorder.frames import decoded
from gradlint.frontends.recorder.tape import RawNode, Tape
from gradlint.graph import Frame

_VALUE = re.compile(r"\[[\w.]*Tensor \[([\d, ]*)\]\](?:, which is output (\d+) of (?:\w+::)*(\w+?)(?:Backward\d*)?,)?")


def spoiler(message: str, tape: Tape) -> int | None:
    """The in-place node that torch's message is about; None when it cannot be told.

    The message names the shape of the value and the op that made it; the write is the first one on such a value. An
    optimizer's step is no node: it writes the parameters themselves.
    """
    match = _VALUE.search(message)
    writes = [number for number, node in enumerate(tape.nodes) if node.inplace]
    if match is None:
        return None
    shape = tuple(int(size) for size in match[1].split(",") if size.strip())
    maker = (match[3] or "").lower()
    exact = [n for n in writes if tape.nodes[n].shape == shape and maker and _made_by(tape, n, maker)]
    similar = [n for n in writes if tape.nodes[n].shape == shape]
    return next(iter(exact or similar), None)


def _made_by(tape: Tape, write: int, maker: str) -> bool:
    """Whether the value that a write changed came from an op of this autograd name (through earlier writes)."""
    sources = [source for source, target in tape.edges if target == write]
    names = {_bare(tape.nodes[source]) for source in sources}
    return any(name and (name in maker or maker in name) for name in names)


def _bare(node: RawNode) -> str:
    return node.native.strip("_").replace("_", "").lower()


def place(tape: Tape, node: int | None) -> Frame | None:
    """The user's line of a node."""
    if node is None:
        return None
    return next((frame for frame in decoded(tape.nodes[node].frames) if frame.user), None)
