"""Runs gradlint on labelled programs and compares what it says with what autograd does."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .cases import Case
from .library import OPERATORS_MODULE

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
OPTIONS = ("--isolated", "--no-cache", "--notes", "--output-format", "json")
SECONDS_A_RUN, SECONDS_A_FILE = 60, 30
JUDGED = (0, 1)
"""Exit codes of a run that judged its files."""

Report = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """How gradlint did on one case.

    `exact`: the starved parameters of every root model are right. `line`: a finding that covers the newly starved
    parameters stands on an accepted line. `alarms`: errors that point elsewhere, or at all on a harmless program.
    `proved` counts the newly starved parameters that are called starved, `added` names those that are wrongly called
    so, `graphs` counts the root models that are reported at all.
    """

    case: Case
    exact: bool
    line: bool
    alarms: tuple[str, ...]
    seconds: float
    said: str
    proved: int = 0
    added: tuple[str, ...] = ()
    graphs: int = 0
    failure: str | None = None

    @property
    def right(self) -> bool:
        """Whether nothing is to be complained of."""
        return self.failure is None and self.exact and not self.alarms and (self.line or not self.case.loses)


def judge(
    cases: Sequence[Case],
    command: Sequence[str],
    folder: pathlib.Path,
    batch: int,
    jobs: int,
    depth: str = "--trace",
) -> list[Verdict]:
    """Writes the cases into `folder`, runs gradlint on `batch` files at a time and judges each case.

    `depth` is gradlint's option that says whether the programs are run or only read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(pathlib.Path(__file__).with_name(f"{OPERATORS_MODULE}.py"), folder)
    for case in cases:
        (folder / f"{case.name}.py").write_text(case.text)
    parts = [cases[start : start + batch] for start in range(0, len(cases), batch)]
    with ThreadPoolExecutor(jobs) as pool:
        asked = (*command, "check", depth, *OPTIONS)
        return [verdict for part in pool.map(lambda p: _judge_part(p, asked, folder), parts) for verdict in part]


def _judge_part(cases: Sequence[Case], command: Sequence[str], folder: pathlib.Path) -> list[Verdict]:
    begun = time.perf_counter()
    report, failure = _lint(command, folder, [f"{case.name}.py" for case in cases])
    seconds = (time.perf_counter() - begun) / len(cases)
    if failure is not None and len(cases) > 1:
        half = len(cases) // 2
        return [v for part in (cases[:half], cases[half:]) for v in _judge_part(part, command, folder)]
    return [_compare(case, report, seconds, failure) for case in cases]


def _lint(command: Sequence[str], folder: pathlib.Path, files: Sequence[str]) -> tuple[Report, str | None]:
    """gradlint's report of some files, and why there is none."""
    paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [*command, *files],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=SECONDS_A_RUN + SECONDS_A_FILE * len(files),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, "timeout"
    broken = None if done.returncode in JUDGED else f"exit {done.returncode}: {done.stderr.strip()[-300:]}"
    try:
        return json.loads(done.stdout), broken
    except json.JSONDecodeError as error:
        return {}, broken or f"no JSON: {error}: {done.stdout[:100]}"


def _compare(case: Case, report: Report, seconds: float, failure: str | None) -> Verdict:
    findings = [finding for finding in report.get("findings", ()) if _of(finding, case)]
    entries = [model for model in report.get("models", ()) if _of(model, case)]
    models = {model["name"]: model for model in sorted(entries, key=lambda m: m.get("reach_at") == "loss")}
    failures = [f["message"] for f in report.get("failures", ()) if _of(f, case)]
    if failures and not set(case.starved) <= set(models):
        failure = failure or failures[0]
    said = {name: _said(models[name]) if name in models else None for name in case.starved}
    exact = all(_agrees(case, name, said[name]) for name in case.starved)
    return Verdict(
        case=case,
        exact=exact and failure is None,
        line=_covered(case, findings),
        alarms=tuple(_alarms(case, findings)),
        seconds=seconds,
        said="; ".join(_short(finding) for finding in findings if finding["severity"] != "note") + _gaps(case, said),
        proved=sum(len(case.newly[name] & (said[name] or frozenset())) for name in case.newly),
        added=tuple(sorted(name for model in case.starved for name in _added(case, model, said[model]))),
        graphs=sum(found is not None for found in said.values()),
        failure=failure,
    )


def _of(entry: dict[str, Any], case: Case) -> bool:
    return pathlib.PurePath(entry["path"]).name == f"{case.name}.py"


def _said(model: dict[str, Any]) -> frozenset[str]:
    return frozenset(model["starved"]) | frozenset(model["unused"])


def _agrees(case: Case, model: str, said: frozenset[str] | None) -> bool:
    return said is not None and case.starved[model] <= said and not _added(case, model, said)


def _added(case: Case, model: str, said: frozenset[str] | None) -> frozenset[str]:
    """The parameters that are called starved though a gradient reaches them."""
    return (said or frozenset()) - case.starved[model] - case.optional[model]


def _covered(case: Case, findings: list[dict[str, Any]]) -> bool:
    levels = ("error", "warning") if case.soft else ("error",)
    here = [f for f in findings if f["line"] in case.lines and f["severity"] in levels]
    named = frozenset(name for finding in here for name in finding["parameters"])
    wanted = frozenset(name for names in case.newly.values() for name in names)
    return bool(here) and wanted <= named


def _alarms(case: Case, findings: list[dict[str, Any]]) -> Iterator[str]:
    for finding in findings:
        here = finding["line"] in case.lines and (case.loses or finding["name"] in case.tolerated)
        if finding["severity"] == "error" and not here:
            yield _short(finding)


def _short(finding: dict[str, Any]) -> str:
    share = f" [{len(finding['parameters'])}]" if finding["parameters"] else ""
    return f"{finding['name']}:{finding['line']} {finding['severity']}{share}"


def _gaps(case: Case, said: dict[str, frozenset[str] | None]) -> str:
    """Where the starved parameters differ, in words."""
    words = []
    for name, truth in case.starved.items():
        got = said[name]
        if got is None:
            words.append(f"{name} not reported")
        elif not _agrees(case, name, got):
            words.append(f"{name} misses {sorted(truth - got)[:4]} adds {sorted(_added(case, name, got))[:4]}")
    return (" | " + ", ".join(words)) if words else ""
