"""What a rule is: a frozen class whose docstring is its page and whose fields are its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from gradlint.code import Code
from gradlint.finding import Evidence, Finding, Fix, Related, Severity
from gradlint.graph import Frame, ModelGraph, Node
from gradlint.training import TrainingStep

URL = "https://github.com/gradlint/gradlint/blob/main/rules/{module}.py"


class Rule(BaseModel):
    """Base of every rule. Subclasses set `code`, `severity` and `message`; their fields are their settings.

    The rule's name is its file's name with hyphens; the module docstring is its page. `needs_recording` says that a run
    over source does not find all that a recording shows, so that such a run calls no comment about the rule unused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: ClassVar[str]
    severity: ClassVar[Severity]
    message: ClassVar[str]
    advice: ClassVar[str] = ""
    needs_recording: ClassVar[bool] = False
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

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """The edits that take a finding of this rule away; None, or `UnfixableError` on the way, when there are none.

        `code` is the file around the finding: `match` its nodes, and let its methods make the edits. A rule that
        turns `log(softmax(x))` into `log_softmax(x)`:

            def fix(self, finding: Finding, code: Code) -> Fix | None:
                match code.call:
                    case ast.Call(args=[ast.Call() as inner]):
                        return code.safe(
                            code.rename(inner.func, "torch.nn.functional.log_softmax"), code.unwrap(code.call, inner)
                        )
                return None

        The page's `Fixed:` fences are what the fixes make of its first `Bad:` fences.
        """
        return None

    @classmethod
    def fixable(cls) -> bool:
        """Whether this rule declares a fix."""
        return cls.fix is not Rule.fix


class GraphRule(Rule):
    """A rule that reads one model's graph."""

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        """The findings of one model."""
        raise NotImplementedError


class TrainingRule(Rule):
    """A rule that reads the events of one training loop."""

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        """The findings of one loop."""
        raise NotImplementedError


def related_at(frame: Frame | None, message: str) -> tuple[Related, ...]:
    """One related place, or none when the frame is unknown."""
    return (Related(path=frame.path, line=frame.line, column=frame.column, message=message),) if frame else ()


def user_frame(node: Node) -> Frame | None:
    """The user's own innermost frame of an op call; None when it was made in a library."""
    return next((frame for frame in node.frames if frame.user), None)
