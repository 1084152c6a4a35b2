"""The graph that somebody asked to see: one model of a target, recorded or read from its source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradlint.discover import Target, TargetKind, load, parse
from gradlint.errors import TargetError, UsageError, did_you_mean
from gradlint.graph import ModelGraph
from gradlint.notebook import OtherLanguageError
from gradlint.source import SourceError

if TYPE_CHECKING:
    from gradlint.config import Settings

ENTRY = "gradlint.report.graph.asked:open_file"


def graph_of(text: str, settings: Settings) -> ModelGraph:
    """The graph of a target's model; raises `UsageError` when it has none, or several to choose from."""
    target = parse(text, settings)
    if target.kind is TargetKind.FOLDER:
        raise UsageError(f"{text}: a folder holds many models; name one, such as model.py:Net")
    graphs, trouble = _of(target, settings)
    if not graphs:
        raise UsageError(f"{text}: no model to show{f': {trouble}' if trouble else ''}")
    return _chosen(target, graphs)


def _of(target: Target, settings: Settings) -> tuple[Sequence[ModelGraph], str]:
    """The graphs of a target, and what went wrong on the way."""
    if target.kind is TargetKind.GRAPH:
        return _opened(target, settings), ""
    return _read(target, settings) if target.depth == "source" else _recorded(target, settings)


def _opened(target: Target, settings: Settings) -> Sequence[ModelGraph]:
    """The graphs of a file that holds some, read in a worker: what lies in it is other people's."""
    from gradlint.graph_files import format_of
    from gradlint.recording import decode
    from gradlint.worker import Limits, Worker

    form = format_of(target.path)
    assert form is not None
    job = {"entry": ENTRY, "file": target.path, "cwd": os.getcwd(), "settings": settings.model_dump(mode="json")}
    with Worker(form.modules) as worker:
        outcome = worker.run(job, Limits(settings.timeout, settings.memory))
    if outcome.payload is None:
        raise TargetError(f"{target.text}: {outcome.message}")
    if "broken" in outcome.payload:
        raise TargetError(f"{target.text}: {outcome.payload['broken']}")
    return list(decode(outcome.payload["recording"]).graphs())


def open_file(job: dict[str, Any]) -> dict[str, Any]:
    """Reads a file with a graph, in the worker's child: its recording, or one line that says why there is none."""
    from gradlint.config import Settings
    from gradlint.graph_files import format_of
    from gradlint.recording import encode

    form = format_of(job["file"])
    assert form is not None
    try:
        return {"recording": encode(form.reader(job["file"], Settings.model_validate(job["settings"])))}
    except TargetError as error:
        return {"broken": str(error)}


def _read(target: Target, settings: Settings) -> tuple[Sequence[ModelGraph], str]:
    from gradlint.frontends.static.project import Project
    from gradlint.frontends.static.reading import read_file

    if target.kind is TargetKind.HUB:
        raise UsageError(f"{target.text}: a model that is built from its configuration has no source to read")
    try:
        source, project = load(target), Project(settings.root)
        reading = read_file(source, project, target.symbol)
        known = read_file(source, project).graphs if target.symbol and not reading.graphs else ()
    except SourceError as error:
        raise TargetError(f"{target.path}:{error.line}:{error.column}: {error.why}") from None
    except OtherLanguageError as error:
        raise TargetError(f"{target.path}: {error.why}") from None
    if known and target.symbol:
        names = [graph.model.name for graph in known]
        raise UsageError(f'{target.path} has no model "{target.symbol}"{did_you_mean(target.symbol, names)}')
    return reading.graphs, next((gap.why for gap in reading.gaps), "")


def _recorded(target: Target, settings: Settings) -> tuple[Sequence[ModelGraph], str]:
    from gradlint.recording import decode
    from gradlint.tracing import job, shown_as
    from gradlint.worker import Limits, Worker, torch_available

    if not torch_available():
        raise UsageError("torch is not installed: pip install gradlint-nn[torch], or use --source")
    with Worker() as worker:
        outcome = worker.run(job(target, settings), Limits(settings.timeout, settings.memory))
    if outcome.payload is None:
        raise TargetError(f"{target.text}: {outcome.message}")
    if "misused" in outcome.payload:
        raise UsageError(outcome.payload["misused"])
    recording = shown_as(decode(outcome.payload["recording"]), target)
    return list(recording.graphs()), "; ".join(item["message"] for item in outcome.payload["failures"])


def _chosen(target: Target, graphs: Sequence[ModelGraph]) -> ModelGraph:
    """The model that the target names, else the only one."""
    named = {graph.model.name: graph for graph in reversed(graphs)}
    wanted = (target.symbol or "").partition("(")[0]
    if wanted in named:
        return named[wanted]
    if len(named) == 1:
        return graphs[0]
    hint = did_you_mean(wanted, named) if wanted else ""
    listed = ", ".join(sorted(named))
    raise UsageError(f"{target.text} has {len(named)} models ({listed}); choose one, as {target.path}:NAME{hint}")
