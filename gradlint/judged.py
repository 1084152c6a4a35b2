"""What was learned of one target, in a form that processes and the cache hand on."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gradlint.finding import Failure, Finding, ModelReport


@dataclass(frozen=True)
class Marked:
    """A finding with the text of its line, and which of the equal ones in its file it is, from 1."""

    finding: Finding
    text: str
    occurrence: int


class Sight(BaseModel):
    """What the rules could see, for those who ask why they said nothing.

    `everywhere` are the codes of rules that judged every line of the file; `codes` those of rules that judge models and
    loops, `lines` the 1-based lines that these stand on by path: of a graph that is read from source only where it is
    exact, since a rule says nothing where it is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    everywhere: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    lines: dict[str, tuple[int, ...]] = Field(default_factory=dict)


class Judged(BaseModel):
    """What was learned of one target.

    `dependencies` are the other files that were read to judge it, and the places where one was looked for in vain;
    `comments` says that its source has comments for gradlint, which are read when all findings are known; `skipped`
    why it was not judged at all, `remarks` what else was not looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: tuple[Finding, ...] = ()
    models: tuple[ModelReport, ...] = ()
    failures: tuple[Failure, ...] = ()
    dependencies: tuple[str, ...] = ()
    comments: bool = False
    skipped: str = ""
    remarks: tuple[str, ...] = ()
    sight: Sight = Sight()

    def encoded(self) -> str:
        """The verdict as text without its dependencies; empty when there is nothing to say."""
        text = self.model_dump_json(exclude_defaults=True, exclude={"dependencies"})
        return "" if text == "{}" else text


NOTHING = Judged()


def decoded(text: str, dependencies: tuple[str, ...] = ()) -> Judged | None:
    """The verdict behind a text, with its dependencies; None when it is damaged."""
    try:
        judged = Judged.model_validate_json(text) if text else NOTHING
    except ValidationError:
        return None
    return judged.model_copy(update={"dependencies": dependencies}) if dependencies else judged
