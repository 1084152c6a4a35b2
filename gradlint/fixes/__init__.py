"""The libcst pass: the fixes of findings whose rules declare one. libcst is imported when there is such a finding."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING

from gradlint.code import UnfixableError
from gradlint.errors import GradlintError
from gradlint.finding import Failure, Finding, Fix
from gradlint.fixes.edits import edited, span
from gradlint.rule import Rule
from gradlint.source import Source, SourceError

if TYPE_CHECKING:
    from gradlint.fixes.repair import Surroundings

INTERNAL = "internal"
"""The code of a failure that is gradlint's own."""


class BrokenFixError(GradlintError):
    """A fix that is a fault of its rule: it raised, or what it makes is not Python."""


def attach(
    findings: Iterable[Finding], rules: Iterable[Rule], source: Source
) -> tuple[tuple[Finding, ...], tuple[Failure, ...]]:
    """The findings with the fixes that their rules make in this file, and what is wrong with a fix that is left out."""
    fixable = {rule.code: rule for rule in rules if rule.fixable()}
    around: Surroundings | None = None
    kept: list[Finding] = []
    failures: list[Failure] = []
    for finding in findings:
        rule = fixable.get(finding.code)
        if rule is not None and finding.path == source.path and finding.fix is None:
            try:
                around = around or _surroundings(source)
                finding = finding.model_copy(update={"fix": around and _fix(finding, rule, around)})
            except BrokenFixError as error:
                failures.append(Failure(path=finding.path, code=INTERNAL, message=str(error), line=finding.line))
        kept.append(finding)
    return tuple(kept), tuple(failures)


def _fix(finding: Finding, rule: Rule, around: Surroundings) -> Fix | None:
    from gradlint.fixes.repair import Repair

    try:
        fix = rule.fix(finding, Repair(around, finding))
    except UnfixableError:
        return None
    except Exception as error:
        raise BrokenFixError(f"the fix of {rule.code} raises {type(error).__name__}: {error}") from error
    return _sound(fix, finding, around.source) if fix is not None else None


def _surroundings(source: Source) -> Surroundings | None:
    from gradlint.fixes.repair import surroundings

    try:
        return surroundings(source)
    except UnfixableError:
        return None


def _sound(fix: Fix, finding: Finding, source: Source) -> Fix:
    """A fix whose edits do not cross and whose result is Python; raises `BrokenFixError` for any other one."""
    places = [span(source, edit) for edit in fix.edits]
    if any(one.crosses(other) for one, other in combinations(places, 2)):
        raise BrokenFixError(f"the edits of the fix of {finding.code} cross one another")
    try:
        edited(source, fix.edits).tree  # noqa: B018 - parsing is what may fail
    except SourceError as error:
        raise BrokenFixError(f"the fix of {finding.code} makes what is not Python: {error.why}") from None
    return fix
