"""An ignore comment names no rule, so it silences nothing.

A misspelt name in a comment is worse than none: the reader believes that the finding was weighed and accepted.

Bad:

    ```python
    def consistency(online, target):
        return (online - target.detach()).square().mean()  # gradlint: ignore[detachd-tensor]
    ```

    ```text
    2:75 error: `detachd-tensor` names no rule (did you mean "detached-tensor"?), so this comment silences nothing
    ```

Good:

    ```python
    def consistency(online, target):
        return (online - target.detach()).square().mean()  # gradlint: ignore[detached-tensor] -- a moving average
    ```

Symptoms: ignore comment does not work; suppression has no effect; finding is still reported after gradlint: ignore
"""

from __future__ import annotations

from typing import ClassVar

from gradlint.finding import Severity
from gradlint.rule import Rule


class UnknownRule(Rule):
    """GL005."""

    code: ClassVar[str] = "GL005"
    severity: ClassVar[Severity] = Severity.ERROR
    message: ClassVar[str] = "`{word}` names no rule{near}, so this comment silences nothing"
    advice: ClassVar[str] = "`gradlint rule` lists every code and name"
