"""The graph that somebody asked to see: one model of a target, recorded or read from its source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradlint.discover import Target, TargetKind, load, parse
from gradlint.errors import TargetError, UsageError, did_you_mean
from gradlint.graph import ModelGraph
from gradlint.notebook import OtherLanguageError
from gradlint.source import SourceError

if TYPE_CHECKING:
    from gradlint.config import Settings


def graph_of(text: str, settings: Settings) -> ModelGraph:
    """The graph of a target's model; raises `UsageError` when it has none, or several to choose from."""
    return _chosen(parse(text, settings), graphs_of(text, settings))


def graphs_of(text: str, settings: Settings, projections: int = 1) -> Sequence[ModelGraph]:
    """The graphs of all models of a target; raises `UsageError` when it has none.

    `projections` is the number of backward passes by which the gradients of a recorded model are measured.
    """
    target = parse(text, settings)
    if target.kind is TargetKind.FOLDER:
        raise UsageError(f"{text}: a folder holds many models; name one, such as model.py:Net")
    graphs, trouble = _of(target, settings, projections)
    if not graphs:
        raise UsageError(f"{text}: no model to show{f': {trouble}' if trouble else ''}")
    return graphs


def _of(target: Target, settings: Settings, projections: int) -> tuple[Sequence[ModelGraph], str]:
    """The graphs of a target, and what went wrong on the way."""
    if target.kind is TargetKind.GRAPH:
        return _opened(target, settings), ""
    return _read(target, settings) if target.depth == "source" else _recorded(target, settings, projections)


def _opened(target: Target, settings: Settings) -> Sequence[ModelGraph]:
    """The graphs of a file that holds some."""
    from gradlint.graph_files import recorded

    return list(recorded(target.path, settings).graphs())


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


def _recorded(target: Target, settings: Settings, projections: int) -> tuple[Sequence[ModelGraph], str]:
    from gradlint.recording import decode
    from gradlint.tracing import job, shown_as
    from gradlint.worker import Limits, Worker, torch_available

    if not torch_available():
        raise UsageError("torch is not installed: pip install gradlint-nn[torch], or use --source")
    with Worker() as worker:
        told = job(target, settings) | {"projections": projections}
        outcome = worker.run(told, Limits(settings.timeout, settings.memory))
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
