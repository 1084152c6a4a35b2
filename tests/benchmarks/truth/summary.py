"""The table of a run, one row a way, and its machine-readable form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .cases import Case
from .verdict import Verdict

_COLUMNS = (
    f"{'way':28}{'cases':>7}{'lossy':>7}{'starved':>9}{'line':>7}{'alarms':>8}{'failed':>8}{'s/case':>8}"
    f"{'lost':>8}{'proved':>8}{'false':>7}{'models':>8}{'graphs':>8}"
)


@dataclass(frozen=True)
class Row:
    """The figures of one way.

    `lossy` cases starve something (or freeze or hide everything); `line` counts these where the blame is right,
    `exact` all cases whose starved sets are right, `alarms` cases with an error that nothing justifies. Of the
    parameters, `lost` counts those that the injections starve, `proved` those of them that are called starved and
    `false` those that are called so though a gradient reaches them; `models` counts the root models, `graphs` those
    of them that are reported.
    """

    way: str
    harmless: bool
    cases: int
    lossy: int
    exact: int
    line: int
    alarms: int
    failed: int
    seconds: float
    lost: int
    proved: int
    false: int
    models: int
    graphs: int


def row(way: str, verdicts: Sequence[Verdict]) -> Row:
    """The figures of some verdicts."""
    return Row(
        way=way,
        harmless=all(v.case.harmless for v in verdicts),
        cases=len(verdicts),
        lossy=sum(v.case.loses for v in verdicts),
        exact=sum(v.exact for v in verdicts),
        line=sum(v.line for v in verdicts if v.case.loses),
        alarms=sum(bool(v.alarms) for v in verdicts),
        failed=sum(v.failure is not None for v in verdicts),
        seconds=sum(v.seconds for v in verdicts),
        lost=sum(len(names) for v in verdicts for names in v.case.newly.values()),
        proved=sum(v.proved for v in verdicts),
        false=sum(len(v.added) for v in verdicts),
        models=sum(len(v.case.starved) for v in verdicts),
        graphs=sum(v.graphs for v in verdicts),
    )


def rows(verdicts: Sequence[Verdict]) -> list[Row]:
    """One row a way in the order of their first cases, then the ways, the look-alikes and all together."""
    ways = list(dict.fromkeys(v.case.way for v in verdicts))
    each = [row(way, [v for v in verdicts if v.case.way == way]) for way in ways]
    lossy = [v for v in verdicts if not v.case.harmless]
    harmless = [v for v in verdicts if v.case.harmless]
    return [*each, row("= ways of losing", lossy), row("= look-alikes", harmless), row("= all", verdicts)]


def table(verdicts: Sequence[Verdict]) -> str:
    """The rows as text."""
    lines = [
        f"{r.way:28}{r.cases:7}{r.lossy:7}{r.exact:9}{r.line:7}{r.alarms:8}{r.failed:8}"
        f"{r.seconds / max(r.cases, 1):8.2f}{r.lost:8}{r.proved:8}{r.false:7}{r.models:8}{r.graphs:8}"
        for r in rows(verdicts)
    ]
    return "\n".join([_COLUMNS, *lines])


def labels(cases: Sequence[Case]) -> str:
    """How many cases each way has, and in how many of them autograd loses something."""
    ways = list(dict.fromkeys(case.way for case in cases))
    lines = []
    for way in ways:
        here = [case for case in cases if case.way == way]
        lines.append(f"{way:28}{len(here):7}{sum(case.loses for case in here):7}")
    return "\n".join([f"{'way':28}{'cases':>7}{'lossy':>7}", *lines])


def complaints(verdicts: Sequence[Verdict]) -> list[str]:
    """One line for each case that is not right: what was expected, what was said."""
    return [_complaint(v) for v in verdicts if not v.right]


def _complaint(verdict: Verdict) -> str:
    case = verdict.case
    faults = [
        word
        for word, wrong in (
            ("FAILED", verdict.failure is not None),
            ("STARVED", not verdict.exact),
            ("LINE", case.loses and not verdict.line),
            ("ALARM", bool(verdict.alarms)),
        )
        if wrong
    ]
    lines = _ranges(sorted(case.lines)) if case.loses else "nothing"
    count = sum(len(names) for names in case.newly.values())
    said = verdict.failure or verdict.said or "nothing"
    return f"{'+'.join(faults)} {case.way} {case.name}: expected {lines} [{count}], said {said}"


def _ranges(lines: list[int]) -> str:
    shown = ",".join(str(line) for line in lines[:8])
    return shown + (",..." if len(lines) > 8 else "")


def as_json(verdicts: Sequence[Verdict], seed: int) -> dict[str, object]:
    """The run as JSON-able data."""
    return {
        "seed": seed,
        "models": len({v.case.model for v in verdicts}),
        "rows": [asdict(r) for r in rows(verdicts)],
        "wrong": complaints(verdicts),
    }
