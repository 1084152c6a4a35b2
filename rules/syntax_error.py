"""The file cannot be parsed or decoded, so nothing in it was judged.

gradlint reads a file as Python does: byte order mark and encoding line obeyed, UTF-8 otherwise. The other files of the
run are still linted.

Bad:

    ```python
    def forward(self, x:
        return x
    ```

    ```text
    1:12 error: the file cannot be parsed: '(' was never closed
    ```

Good:

    ```python
    def forward(self, x):
        return x
    ```

Symptoms: SyntaxError: invalid syntax; IndentationError: unexpected indent; UnicodeDecodeError: 'utf-8' codec can't
decode byte; (unicode error) 'utf-8' codec can't decode byte; source code cannot contain null bytes
"""

from __future__ import annotations

from typing import ClassVar

from gradlint.finding import Severity
from gradlint.rule import Rule


class SyntaxErrorRule(Rule):
    """GL001."""

    code: ClassVar[str] = "GL001"
    severity: ClassVar[Severity] = Severity.ERROR
    message: ClassVar[str] = "the file cannot be parsed: {why}"
    advice: ClassVar[str] = "nothing in this file was judged: mend it and run gradlint again"
