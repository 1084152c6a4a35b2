"""`--fix` and `--diff`: fixes applied round by round, and each round linted again before it counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import unified_diff

from gradlint.discover import TargetKind
from gradlint.engine import Result
from gradlint.finding import Applicability, Edit, Failure, Finding, Fix
from gradlint.fixes.edits import disjoint, edited, moved
from gradlint.fixes.writing import check_writable, write
from gradlint.source import Source

MOST_ROUNDS = 10
"""Rounds after which the fixes that are left are taken for ones that undo each other."""

INTERNAL = "internal"
"""The code of a failure that is gradlint's own."""

SYNTAX = "GL001"
NO_DIFF_LINE_END = "\n\\ No newline at end of file\n"
_LINE = re.compile(r"[^\n]*\n|[^\n]+")

Lint = Callable[[Mapping[str, Source]], Result]
"""Lints the targets, with drafts in the place of the sources of their paths."""


@dataclass(frozen=True)
class Change:
    """One file before and after its fixes."""

    old: Source
    new: Source

    def diff(self) -> str:
        """The change as a unified diff."""
        old, new = (_LINE.findall(source.written) for source in (self.old, self.new))
        lines = unified_diff(old, new, self.old.path, self.new.path)
        return "".join(line if line.endswith("\n") else line + NO_DIFF_LINE_END for line in lines)


@dataclass(frozen=True)
class Fixed:
    """What fixes made of a run: its last result, the files that changed, how many findings were fixed, how many more
    have an unsafe fix, and what the standard input is now when it is a target."""

    result: Result
    changes: tuple[Change, ...]
    fixed: int
    unsafe: int
    stream: Source | None = None


@dataclass
class _Session:
    """The state of one run: what the files said and say, what was fixed, which fixes were refused and why.

    `streams` is the standard input when it is a target, which can be read only once.
    """

    unsafe: bool
    dry: bool
    recorded: frozenset[str]
    streams: dict[str, Source]
    originals: dict[str, Source] = field(default_factory=dict)
    drafts: dict[str, Source] = field(default_factory=dict)
    refused: set[tuple[str, Fix]] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    fixed: int = 0

    def put(self, path: str, old: Source, new: Source) -> None:
        """Makes a draft of a file, on disk too where it is recorded."""
        self.originals.setdefault(path, old)
        self.drafts[path] = new
        if path in self.recorded and not self.dry:
            write(path, old, new)

    def judgeable(self) -> dict[str, Source]:
        """The drafts that can be linted: what is recorded has to be on disk for that."""
        own = {path: new for path, new in self.drafts.items() if not (self.dry and path in self.recorded)}
        return self.streams | own


def fix(lint: Lint, *, unsafe: bool, dry: bool) -> Fixed:
    """Applies the safe fixes of a run, and the unsafe ones where asked for, until none is left.

    A file that is only read is judged from memory and written when all is done. One that is recorded is written for
    every round, and put back where a fix does not do what it says. `dry` writes nothing; what is recorded has one round
    then, which is not linted again. Raises `UsageError` when a file cannot be written.
    """
    result = lint({})
    recorded = frozenset(target.path for target in result.targets if target.depth == "trace")
    inputs = {target.path for target in result.targets if target.kind is TargetKind.STDIN} & result.sources.keys()
    session = _Session(unsafe, dry, recorded - inputs, {path: result.sources[path] for path in inputs})
    for _ in range(MOST_ROUNDS):
        todo = _round(result, session)
        if not todo:
            break
        result = _applied(todo, result, session, lint)
    else:
        session.failures += (_failure(f, "is needed again and again") for f in _fixable(result, session))
    if not dry:
        for path in session.drafts.keys() - session.recorded - session.streams.keys():
            write(path, session.originals[path], session.drafts[path])
    return _summed_up(result, session)


def _fixable(result: Result, session: _Session) -> Iterator[Finding]:
    """The findings with a fix that may be applied now."""
    paths = {target.path for target in result.targets}
    done = session.drafts.keys() & session.recorded if session.dry else set()
    for finding in result.report.findings:
        if finding.fix is None or finding.path not in paths - done or not result.sources[finding.path].fixable:
            continue
        allowed = session.unsafe or finding.fix.applicability is Applicability.SAFE
        if allowed and (finding.path, finding.fix) not in session.refused:
            yield finding


def _round(result: Result, session: _Session) -> dict[str, list[Finding]]:
    """The findings of each file whose fixes can be applied at once."""
    groups: dict[str, list[Finding]] = {}
    for finding in _fixable(result, session):
        groups.setdefault(finding.path, []).append(finding)
    if not session.dry:
        for path in groups.keys() - session.drafts.keys() - session.streams.keys():
            check_writable(path)
    return {path: _together(result.sources[path], group) for path, group in groups.items()}


def _together(source: Source, findings: Sequence[Finding]) -> list[Finding]:
    chosen = disjoint(source, [finding.fix for finding in findings if finding.fix])
    return [finding for finding in findings if finding.fix in chosen]


def _applied(todo: dict[str, list[Finding]], before: Result, session: _Session, lint: Lint) -> Result:
    """The result behind a round; what did not do what it said is put back first."""
    for path, findings in todo.items():
        session.put(path, before.sources[path], edited(before.sources[path], _edits(findings)))
    after = lint(session.judgeable())
    failed = {
        path: found for path, findings in todo.items() if (found := _failed(path, findings, before, after, session))
    }
    session.fixed += sum(len(findings) for path, findings in todo.items() if path not in failed)
    if not failed:
        return after
    for path, found in failed.items():
        session.put(path, session.drafts[path], before.sources[path])
        session.refused |= {(path, finding.fix) for finding, _ in found if finding.fix}
        session.failures += (_failure(finding, why) for finding, why in found)
    return lint(session.judgeable())


def _failed(
    path: str, findings: list[Finding], before: Result, after: Result, session: _Session
) -> list[tuple[Finding, str]]:
    """The findings whose fixes did not take them away, or after which the file cannot be judged any more, with that."""
    if path in session.recorded and session.dry:
        return []
    if _faults(after, path) > _faults(before, path):
        return [(finding, "leaves a file that cannot be judged") for finding in findings]
    edits, were, are = _edits(findings), _said(before, path), _said(after, path)
    wanted = were - Counter(map(_words, findings))
    left = [f for f in findings if are[_words(f)] > wanted[_words(f)]]
    return [(f, "does not take it away") for f in left if _stays(f, edits, before.sources[path], after)]


def _said(result: Result, path: str) -> Counter[tuple[str, str]]:
    """How often each thing is said of a file."""
    return Counter(_words(finding) for finding in result.report.findings if finding.path == path)


def _words(finding: Finding) -> tuple[str, str]:
    return finding.code, finding.message


def _faults(result: Result, path: str) -> int:
    found = sum(finding.path == path and finding.code == SYNTAX for finding in result.report.findings)
    return found + sum(failure.path == path for failure in result.report.failures)


def _stays(finding: Finding, edits: Iterable[Edit], old: Source, after: Result) -> bool:
    """Whether the same is said at the place where a finding's text is now."""
    place = moved(old, edits, _offset(old, finding))
    new = after.sources.get(finding.path)
    return new is not None and any(
        place.start <= _offset(new, other) <= place.end
        for other in after.report.findings
        if other.path == finding.path and _words(other) == _words(finding)
    )


def _offset(source: Source, finding: Finding) -> int:
    return source.offset(source.line_of(finding.cell, finding.line), finding.column)


def _edits(findings: Iterable[Finding]) -> tuple[Edit, ...]:
    return tuple(edit for finding in findings if finding.fix for edit in finding.fix.edits)


def _failure(finding: Finding, why: str) -> Failure:
    message = f"the fix of {finding.code} {why}, so it is left out"
    return Failure(path=finding.path, code=INTERNAL, message=message, line=finding.line)


def _summed_up(result: Result, session: _Session) -> Fixed:
    pairs = ((session.originals[path], session.drafts[path]) for path in sorted(session.drafts))
    changes = tuple(Change(old, new) for old, new in pairs if old.text != new.text)
    kinds = Counter(finding.fix.applicability for finding in result.report.findings if finding.fix)
    report = result.report.model_copy(update={"failures": (*result.report.failures, *session.failures)})
    unsafe = 0 if session.unsafe else kinds[Applicability.UNSAFE]
    stream = next((session.drafts.get(path, source) for path, source in session.streams.items()), None)
    return Fixed(replace(result, report=report), changes, session.fixed, unsafe, stream)
