"""Multiplications by a zero that the source spells out: their gradient is zero whatever the values are."""

from __future__ import annotations

import ast
import functools
import pathlib

from gradlint.frontends.recorder.facts import MULTIPLICATIONS
from gradlint.frontends.recorder.frames import decode
from gradlint.frontends.recorder.tape import Tape
from gradlint.graph import Frame, Passage, Reason


def settle(tape: Tape) -> None:
    """Closes the edges of multiplications by a literal zero.

    A zero that comes from a setting or a schedule proves nothing about the next step, so only a constant counts.
    """
    zeros = {
        number for number, node in enumerate(tape.nodes) if node.native in MULTIPLICATIONS and _by_zero(node.literals)
    }
    spelt = {number for number in zeros if _spelt(tape, number)}
    for source, target in list(tape.edges):
        if target in spelt and tape.edges[source, target][0] is Passage.FLOWS:
            tape.edges[source, target] = (Passage.ZERO, Reason.ZERO)


def _by_zero(literals: dict[str, object]) -> bool:
    return any(type(value) in (int, float) and value == 0 for value in literals.values())


def _spelt(tape: Tape, number: int) -> bool:
    frames = tape.nodes[number].frames
    return bool(frames) and _is_zero_product(decode(frames[0]))


def _is_zero_product(frame: Frame) -> bool:
    """Whether the expression at a frame is a product with a constant 0 as a factor."""
    for node in _products(frame.path):
        if (node.lineno, node.col_offset + 1, node.end_lineno) == (frame.line, frame.column, frame.end_line):
            operands = [node.left, node.right] if isinstance(node, ast.BinOp) else node.args
            if any(isinstance(operand, ast.Constant) and operand.value == 0 for operand in operands):
                return True
    return False


@functools.cache
def _products(path: str) -> tuple[ast.BinOp | ast.Call, ...]:
    try:
        tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult))
    )
