"""Closes the edges of multiplications by a zero that the source spells out."""

from __future__ import annotations

import ast
import functools
import pathlib

from gradlint.frontends.recorder.frames import decode
from gradlint.frontends.recorder.tape import Tape
from gradlint.frontends.zero_factors import is_by_zero, is_spelt
from gradlint.graph import Frame, Passage, Reason


def settle(tape: Tape) -> None:
    """Closes the edges of multiplications by a literal zero."""
    zeros = {number for number, node in enumerate(tape.nodes) if is_by_zero(node.native, node.literals)}
    spelt = {number for number in zeros if _spelt(tape, number)}
    for source, target in list(tape.edges):
        if target in spelt and tape.edges[source, target][0] is Passage.FLOWS:
            tape.edges[source, target] = (Passage.ZERO, Reason.ZERO)


def _spelt(tape: Tape, number: int) -> bool:
    frames = tape.nodes[number].frames
    return bool(frames) and _is_zero_product(decode(frames[0]))


def _is_zero_product(frame: Frame) -> bool:
    """Whether the expression at a frame is a product with a constant 0 as a factor."""
    return any(
        (node.lineno, node.col_offset + 1, node.end_lineno) == (frame.line, frame.column, frame.end_line)
        for node in _products(frame.path)
    )


@functools.cache
def _products(path: str) -> tuple[ast.expr, ...]:
    try:
        tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.expr) and is_spelt(node))
