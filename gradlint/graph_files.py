"""Targets that are files with a graph inside: read and judged in a worker's child, nothing of them is executed.

What a file says is other people's; broken, hostile or huge ones cost their own process and nothing else.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlint.config import Settings
from gradlint.errors import InternalError, TargetError, UsageError
from gradlint.finding import Failure, Finding
from gradlint.frame import Frame
from gradlint.judged import Judged
from gradlint.registry import fault
from gradlint.worker import Limits, Outcome, Worker

if TYPE_CHECKING:
    from gradlint.graph import ModelGraph, Node
    from gradlint.recording import Fault, Recording

Reader = Callable[[str, Settings], "Recording"]
"""From a path to its graph; raises `TargetError` with one line when the file holds none that can be read."""

ENTRY, RECORD = "gradlint.graph_files:perform", "gradlint.graph_files:record"
_REMEDIES = {
    "timeout": "give it more time with --timeout SECONDS",
    "memory": "give it more memory with --memory MIB",
}


@dataclass(frozen=True)
class Format:
    """One kind of file: its reader, and what a worker imports once before the first one."""

    reader: Reader
    modules: tuple[str, ...]


def _onnx(path: str, _settings: Settings) -> Recording:
    from gradlint.frontends.onnx_file.reading import read

    return read(path)


def _exported(path: str, _settings: Settings) -> Recording:
    from gradlint.frontends.exported_program.reading import read

    return read(path)


_JUDGING = ("gradlint.graph_files", "gradlint.proving", "gradlint.recording")
FORMATS: Mapping[str, Format] = {
    ".onnx": Format(_onnx, (*_JUDGING, "gradlint.frontends.onnx_file.reading")),
    ".pt2": Format(_exported, (*_JUDGING, "gradlint.frontends.exported_program.reading")),
}
"""Every format by the ending of its files' names."""


def format_of(path: str) -> Format | None:
    """The format of a file by its name; None for sources."""
    return FORMATS.get(os.path.splitext(path)[1].lower())


class Readers:
    """The workers of a run, started when the first file of a kind needs one, ended with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._idle: dict[tuple[str, ...], list[Worker]] = {}

    @contextmanager
    def lent(self, modules: tuple[str, ...]) -> Iterator[Worker]:
        """A worker that has imported some modules, for one job."""
        idle = self._idle.setdefault(modules, [])
        worker = idle.pop() if idle else self._stack.enter_context(Worker(modules))
        try:
            yield worker
        finally:
            idle.append(worker)

    def judged(self, path: str, settings: Settings) -> Judged:
        """What the rules find in a file's graph."""
        form = format_of(path)
        assert form is not None
        with self.lent(form.modules) as worker:
            outcome = worker.run(job(path, settings), Limits(settings.timeout, settings.memory))
        if outcome.status == "failed":
            raise InternalError(outcome.message)
        if outcome.payload is None:
            return _killed(path, outcome)
        if "misused" in outcome.payload:
            raise UsageError(outcome.payload["misused"])
        if "broken" in outcome.payload:
            return Judged(findings=(fault("GL001", path, why=outcome.payload["broken"]),))
        return Judged.model_validate(outcome.payload["judged"])


def job(path: str, settings: Settings) -> dict[str, Any]:
    """What the worker is told of a file."""
    told = settings.model_dump(mode="json", by_alias=True)
    return {"entry": ENTRY, "file": path, "cwd": os.getcwd(), "settings": told}


def perform(job: dict[str, Any]) -> dict[str, Any]:
    """Reads and judges one file, in the worker's child: its verdict, or one line that says why there is none."""
    settings = Settings.model_validate(job["settings"])
    # The process ends with the job: what is unreachable by then is not worth looking for.
    gc.disable()
    try:
        return {"judged": judge(job["file"], settings).model_dump(mode="json")}
    except UsageError as error:
        return {"misused": str(error)}
    except TargetError as error:
        return {"broken": str(error)}


def record(job: dict[str, Any]) -> dict[str, Any]:
    """Reads one file, in the worker's child: its recording, or one line that says why there is none."""
    from gradlint.recording import encode

    form = format_of(job["file"])
    assert form is not None
    try:
        return {"recording": encode(form.reader(job["file"], Settings.model_validate(job["settings"])))}
    except TargetError as error:
        return {"broken": str(error)}


def recorded(path: str, settings: Settings) -> Recording:
    """The recording of a file, read in a worker; nodes without a source stand in its first line, at their number.

    Raises `TargetError` when the file holds no graph that can be read within the limits.
    """
    from gradlint.recording import decode

    form = format_of(path)
    assert form is not None
    with Worker(form.modules) as worker:
        told = job(path, settings) | {"entry": RECORD}
        outcome = worker.run(told, Limits(settings.timeout, settings.memory))
    if outcome.payload is None or "broken" in outcome.payload:
        raise TargetError(f"{path}: {outcome.message if outcome.payload is None else outcome.payload['broken']}")
    recording = decode(outcome.payload["recording"])
    return replace(recording, nodes=tuple(_at_number(node, path) for node in recording.nodes))


def _at_number(node: Node, path: str) -> Node:
    places = tuple(
        replace(place, line=1, column=max(place.line - 1, 1)) if place.path == path else place for place in node.frames
    )
    return replace(node, frames=places)


def judge(path: str, settings: Settings) -> Judged:
    """The verdict of one file in this very process; raises `TargetError` when it cannot be read."""
    from gradlint.proving import found_in, sight, summary
    from gradlint.registry import configured
    from gradlint.rule import GraphRule

    form = format_of(path)
    assert form is not None
    rules = configured(settings)
    recording = form.reader(path, settings)
    graphs = list(recording.graphs())
    labels = labels_of(graphs[0], path) if graphs else {}
    unrunnable = (placed(_unrunnable(one, path), path, {}) for one in recording.faults)
    return Judged(
        findings=(*unrunnable, *(placed(finding, path, labels) for finding in found_in(graphs, rules))),
        models=tuple(map(summary, graphs)),
        sight=sight(graphs, [rule for rule in rules if isinstance(rule, GraphRule)]),
    )


def _unrunnable(one: Fault, path: str) -> Finding:
    """The finding of what is wrong with a graph as a program, at the number of its node."""
    name = Path(path).name
    found = fault("GL003", path, Frame(path, one.number + 1), model=name, why=one.why, remedy=one.remedy)
    return found.model_copy(update={"message": f"`{name}` {one.why}"})


def labels_of(graph: ModelGraph, path: str) -> dict[int, str]:
    """The names of nodes by the lines of `path` that stand for them; of several at one place that of the first."""
    found: dict[int, str] = {}
    for node in graph.nodes:
        place = node.at
        if place is not None and place.path == path and node.name:
            found.setdefault(place.line, node.name)
    return found


def placed(finding: Finding, path: str, labels: Mapping[int, str]) -> Finding:
    """A finding in a file that has no lines: in its first line, at the number of the node, which is named.

    Front-ends give the n-th node the line n + 1, and leave the first one to the file as a whole.
    """
    related = tuple(
        place.model_copy(update={"line": 1, "column": max(place.line - 1, 1)}) if place.path == path else place
        for place in finding.related
    )
    if finding.path != path:
        return finding.model_copy(update={"related": related})
    column, label = max(finding.line - 1, 1), labels.get(finding.line, "")
    named = not label or f"({label})" in finding.message
    message = finding.message if named else f"{finding.message} (node `{label}`)"
    where = {"line": 1, "column": column, "end_line": 1, "end_column": column}
    return finding.model_copy(update={**where, "message": message, "related": related})


def _killed(path: str, outcome: Outcome) -> Judged:
    remedy = _REMEDIES.get(outcome.status, "check the file with the program that made it")
    finding = fault("GL004", path, model=Path(path).name, why=outcome.message, remedy=remedy)
    return Judged(findings=(finding,), failures=(Failure(path=path, code="GL004", message=outcome.message),))
