"""Calls inside of models that do something beside computing: printing, files, the clock, Python's random numbers."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.graph import NodeKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

FUNCTIONS = ("builtins.print", "builtins.open", "builtins.input", "time.", "random.", "logging.", "warnings.warn")


def note(run: Run, name: str, at: ast.AST) -> None:
    """Puts a call of a library's function on the tape if it is made while a module runs and no graph can hold it."""
    if run.modules and name.startswith(FUNCTIONS):
        run.add(NodeKind.CONSTANT, f"python:{name}", at)
