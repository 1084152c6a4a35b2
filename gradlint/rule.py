"""What a rule is: a frozen class whose docstring is its page and whose fields are its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from gradlint.finding import Evidence, Finding, Related, Severity
from gradlint.graph import Frame, ModelGraph, Node

URL = "https://github.com/gradlint/gradlint/blob/main/rules/{module}.py"


class Rule(BaseModel):
    """Base of every rule. Subclasses set `code`, `severity` and `message`; their fields are their settings.

    The rule's name is its file's name with hyphens; the module docstring is its page.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: ClassVar[str]
    severity: ClassVar[Severity]
    message: ClassVar[str]
    advice: ClassVar[str] = ""
    name: ClassVar[str]
    page: ClassVar[str]

    def found(
        self,
        at: Frame | None,
        *,
        path: str,
        evidence: Evidence = Evidence.GRAPH,
        severity: Severity | None = None,
        related: tuple[Related, ...] = (),
        extra: dict[str, Any] | None = None,
        **words: Any,
    ) -> Finding:
        """A finding of this rule at a frame (the head of `path` when None); `words` fill its message and its advice."""
        place = at or Frame(path, 1)
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity or self.severity,
            evidence=evidence,
            message=self.message.format(**words),
            advice=self.advice.format(**words),
            path=place.path,
            line=place.line,
            column=place.column,
            end_line=max(place.end_line, place.line),
            end_column=place.end_column or place.column,
            related=related,
            url=URL.format(module=self.name.replace("-", "_")),
            **(extra or {}),
        )


class GraphRule(Rule):
    """A rule that reads one model's graph."""

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        """The findings of one model."""
        raise NotImplementedError


def related_at(frame: Frame | None, message: str) -> tuple[Related, ...]:
    """One related place, or none when the frame is unknown."""
    return (Related(path=frame.path, line=frame.line, column=frame.column, message=message),) if frame else ()


def user_frame(node: Node) -> Frame | None:
    """The user's own innermost frame of an op call; None when it was made in a library."""
    return next((frame for frame in node.frames if frame.user), None)
