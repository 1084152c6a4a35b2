"""What is done to the findings when all of them are known: idle comments are named, silenced findings left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from gradlint.finding import Finding
from gradlint.judged import Judged
from gradlint.registry import Selection
from gradlint.source import Source
from gradlint.suppress import Judgement, apply, unused

ALWAYS = frozenset({"GL001", "GL005"})
"""The codes that every file is judged for."""


def finished(
    findings: Sequence[Finding],
    verdicts: Sequence[tuple[str, Judged]],
    sources: Mapping[str, Source],
    wanted: Callable[[str], Selection],
) -> tuple[tuple[Finding, ...], int]:
    """The findings that no comment silences, those about idle comments among them, and how many were silenced.

    `verdicts` are those of the targets by path, `findings` what of them is wanted, `sources` the files that these stand
    in and those with comments for gradlint.
    """
    idle = _idle(verdicts, sources, wanted) if any(verdict.comments for _, verdict in verdicts) else ()
    return apply((*findings, *idle), sources)


def _idle(
    verdicts: Sequence[tuple[str, Judged]], sources: Mapping[str, Source], wanted: Callable[[str], Selection]
) -> Iterator[Finding]:
    """The findings (GL002) about comments that silence nothing, in every target that has comments."""
    for path in dict.fromkeys(path for path, verdict in verdicts if verdict.comments and path in sources):
        here = [finding for _, verdict in verdicts for finding in verdict.findings if finding.path == path]
        selected = wanted(path)
        for finding in unused(sources[path], here, _judgement(path, verdicts, selected)):
            if selected.shows(finding):
                yield finding


def _judgement(path: str, verdicts: Sequence[tuple[str, Judged]], selected: Selection) -> Judgement:
    sights = [verdict.sight for target, verdict in verdicts if target == path or path in verdict.sight.lines]
    return Judgement(
        everywhere=ALWAYS | {code for sight in sights for code in sight.everywhere if code in selected.codes},
        seen=frozenset(code for sight in sights for code in sight.codes if code in selected.codes),
        lines=frozenset(line for sight in sights for line in sight.lines.get(path, ())),
    )
