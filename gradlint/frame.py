"""A position in somebody's source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """A position in a source file: lines and columns are 1-based, `end_column` is exclusive, columns count code points.

    `user` tells the user's own code from that of an installed library.
    """

    path: str
    line: int
    column: int = 1
    end_line: int = 0
    end_column: int = 0
    function: str = ""
    user: bool = True
