"""Targets in, a report out: the only place where all parts meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlint import baseline
from gradlint.config import Settings
from gradlint.discover import Target, TargetKind, find, load
from gradlint.errors import UsageError
from gradlint.finding import Finding, Report, Skipped
from gradlint.judged import NOTHING, Judged, Marked
from gradlint.merging import distinct, marked, placed, sources_of
from gradlint.notebook import OtherLanguageError
from gradlint.registry import Selection, selection
from gradlint.source import Source, SourceError
from gradlint.source_run import judge_files

if TYPE_CHECKING:
    from queue import SimpleQueue

    from torch import nn
    from torch.export import ExportedProgram

    from gradlint.graph_files import Readers
    from gradlint.judging import Judge
    from gradlint.listing import SettingsAt
    from gradlint.worker import Worker

Progress = Callable[[str], None]


def _silent(text: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Inputs:
    """All that a run without a worker has read: files (also those looked for in vain) and folders."""

    files: frozenset[str]
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """A report, the sources that its findings stand in by path, today's findings beside the baseline's, the targets."""

    report: Report
    sources: Mapping[str, Source]
    comparison: baseline.Comparison
    targets: tuple[Target, ...]
    inputs: Inputs | None = None


def run(texts: Sequence[str], settings: Settings, progress: Progress = _silent) -> Report:
    """Lints every target; raises `UsageError` for a mistake in the targets or the settings."""
    return lint(texts, settings, progress).report


def lint(
    texts: Sequence[str],
    settings: Settings,
    progress: Progress = _silent,
    settings_at: SettingsAt | None = None,
    drafts: Mapping[str, Source] | None = None,
) -> Result:
    """Lints every target. `settings` say how the run is done, `settings_at` what holds for the files of a folder.

    `drafts` are sources to be judged in the place of the files (or the standard input) of the same path.

    Raises `UsageError` for a mistake in the targets or the settings.
    """
    plan = _plan(texts, settings, settings_at or (lambda folder: settings))
    held = dict(drafts or {})
    judged = _judge_all(plan, held, progress)
    findings = distinct(f for target, item in judged for f in item.findings if plan.wanted(target.path).shows(f))
    commented = (target.path for target, item in judged if item.comments)
    sources = sources_of({*(finding.path for finding in findings), *commented}, held)
    kept, suppressed = _unsilenced(findings, judged, sources, plan)
    comparison = _compared(marked(kept, sources, settings.root), plan)
    report = Report(
        findings=tuple(placed(item.finding, sources) for item in _changed(comparison.new, settings, sources)),
        models=tuple(model for _, item in judged for model in item.models),
        files=len({target.path for target in plan.targets}),
        suppressed=suppressed,
        baselined=len(comparison.known),
        stale=len(comparison.stale),
        failures=tuple(failure for _, item in judged for failure in item.failures),
        skipped=(
            *plan.skipped,
            *(Skipped(path=t.path or t.text, why=item.skipped) for t, item in judged if item.skipped),
        ),
        remarks=tuple(remark for _, item in judged for remark in item.remarks),
    )
    return Result(report, sources, comparison, plan.targets, _inputs(texts, judged, sources))


def _inputs(
    texts: Sequence[str], judged: Sequence[tuple[Target, Judged]], sources: Mapping[str, Source]
) -> Inputs | None:
    """What a run rests on; None when more than files decided, or something went wrong."""
    kinds = (TargetKind.FILE, TargetKind.SYMBOL, TargetKind.GRAPH)
    if not all(target.kind in kinds and _is_read(target) and not item.failures for target, item in judged):
        return None
    behind = (name for target, item in judged for name in (target.path, *item.dependencies))
    return Inputs(frozenset((*behind, *sources)), tuple(text for text in texts if os.path.isdir(text)))


@dataclass(frozen=True)
class _Plan:
    """What a run looks at. `settings` say how, `settings_at` what holds in a folder."""

    targets: tuple[Target, ...]
    skipped: tuple[Skipped, ...]
    settings: Settings
    settings_at: SettingsAt
    wanted: Callable[[str], Selection]


def _plan(texts: Sequence[str], settings: Settings, settings_at: SettingsAt) -> _Plan:
    skipped: list[Skipped] = []
    targets = find(texts, settings_at, lambda path, why: skipped.append(Skipped(path=path, why=why)))
    known: dict[int, tuple[Settings, Selection]] = {}

    def wanted(path: str) -> Selection:
        own = settings_at(os.path.dirname(path))
        if id(own) not in known:
            known[id(own)] = (own, selection(own))
        return known[id(own)][1]

    wanted("")
    return _Plan(targets, tuple(skipped), settings, settings_at, cache(wanted))


def _judge_all(plan: _Plan, held: dict[str, Source], progress: Progress) -> list[tuple[Target, Judged]]:
    """Every target with its verdict, in their order; sources that cannot be read again are put into `held`."""
    plain = [target.path for target in plan.targets if _is_plain(target, held) and target.path]
    verdicts = judge_files(list(dict.fromkeys(plain)), plan.settings, plan.settings_at, progress)
    deep = [target for target in plan.targets if not _is_plain(target, held)]
    plain_ones = [target for target in plan.targets if _is_plain(target, held)]
    verdict = dict(zip(deep, _judge_deep(deep, plan, held, progress), strict=True)) if deep else {}
    verdict |= {target: verdicts.pop(target.path, NOTHING) for target in plain_ones}
    return [(target, verdict[target]) for target in plan.targets]


def _is_read(target: Target) -> bool:
    """Whether a verdict rests on files alone."""
    return target.kind is TargetKind.GRAPH or _is_plain(target, {})


def _is_plain(target: Target, held: Mapping[str, Source]) -> bool:
    """Whether a target is a file that is only read, and that has no draft."""
    whole = target.kind not in (TargetKind.STDIN, TargetKind.GRAPH) and target.symbol is None
    return target.depth == "source" and whole and target.path not in held


def _judge_deep(targets: Sequence[Target], plan: _Plan, held: dict[str, Source], progress: Progress) -> list[Judged]:
    """The verdicts of standard input and of targets that are recorded, from as many workers as were asked for."""
    from concurrent.futures import ThreadPoolExecutor
    from queue import SimpleQueue

    from gradlint.graph_files import Readers
    from gradlint.judging import Judge
    from gradlint.worker import Worker

    several = sum(target.depth == "trace" for target in targets)
    graphs = sum(target.kind is TargetKind.GRAPH for target in targets)
    width = max(1, min(plan.settings.jobs or 1, several + graphs))
    judge = Judge()
    with ExitStack() as stack:
        workers: SimpleQueue[Worker] = SimpleQueue()
        readers = Readers(stack)
        for _ in range(min(width, several)):
            worker = stack.enter_context(Worker())
            worker.start()
            workers.put(worker)

        def one(target: Target) -> Judged:
            progress(target.text or target.path)
            own = plan.settings_at(os.path.dirname(target.path))
            return _safely(target, partial(_deep, target, judge, own, workers, readers, held))

        if width == 1:
            return [one(target) for target in targets]
        pool = ThreadPoolExecutor(width)
        try:
            return list(pool.map(one, targets))
        finally:
            # The workers end first, so that an interrupted run waits for none of them.
            pool.shutdown(wait=False, cancel_futures=True)


def _safely(target: Target, judged: Callable[[], Judged]) -> Judged:
    """A fault of gradlint's own on one target is reported; the other targets go on."""
    from gradlint.judging import failed

    try:
        return judged()
    except UsageError:
        raise
    except Exception as error:
        return failed(target.path or target.text, error)


def _deep(
    target: Target,
    judge: Judge,
    settings: Settings,
    workers: SimpleQueue[Worker],
    readers: Readers,
    held: dict[str, Source],
) -> Judged:
    from gradlint.judging import mended, read_source, unreadable, with_source
    from gradlint.tracing import traced

    if target.kind is TargetKind.GRAPH:
        return readers.judged(target.path, settings)
    if target.kind is TargetKind.HUB and target.depth == "source":
        return Judged(skipped="a model that is built from its configuration has no source to read")
    if target.kind is TargetKind.HUB:
        return traced(target, judge.rules(settings), settings, workers)
    try:
        source = held[target.path] = held.get(target.path) or load(target)
    except SourceError as error:
        return Judged(findings=(unreadable(target.path, error),))
    except OtherLanguageError as error:
        return Judged(skipped=error.why)
    if target.kind is TargetKind.STDIN or target.depth == "source":
        return judge.source(source, settings, target.symbol)
    read = read_source(source)
    if read.findings and read.findings[0].code == "GL001":
        return read
    rules = judge.rules(settings)
    recorded = traced(target, rules, settings, workers)
    united = with_source(recorded, source, rules, judge.project(settings), target.symbol)
    shown = mended(united, source, rules, judge.wanted(settings))
    return shown.model_copy(update={"findings": (*read.findings, *shown.findings), "comments": read.comments})


def _unsilenced(
    findings: Sequence[Finding], judged: list[tuple[Target, Judged]], sources: Mapping[str, Source], plan: _Plan
) -> tuple[tuple[Finding, ...], int]:
    """The findings that no comment silences, those about idle comments too, and how many were silenced."""
    if not findings and not any(item.comments for _, item in judged):
        return (), 0
    from gradlint.finishing import finished

    return finished(findings, [(target.path, item) for target, item in judged], sources, plan.wanted)


def _compared(items: Iterable[Marked], plan: _Plan) -> baseline.Comparison:
    """Today's findings beside the baseline's; a run that looks at changes only cannot say what is gone."""
    settings = plan.settings
    graph_kind = TargetKind.GRAPH
    depths = {os.path.abspath(t.path): "trace" if t.kind is graph_kind else t.depth for t in plan.targets}

    def looked_for(path: str, code: str, needs_trace: bool) -> bool:
        deep_enough = depths.get(path) == "trace" if needs_trace else path in depths
        return deep_enough and settings.diff_base is None and code in plan.wanted(path).codes

    file = Path(settings.root, settings.baseline) if settings.baseline else None
    return baseline.compare(list(items), file, looked_for)


def _changed(items: Sequence[Marked], settings: Settings, sources: Mapping[str, Source]) -> Iterator[Marked]:
    """The findings on lines that were changed since `diff_base`; all of them without one."""
    if settings.diff_base is None:
        yield from items
        return
    from gradlint.changes import since

    changes = since(settings.diff_base)
    for item in items:
        finding = item.finding
        if changes.touch(finding.path, finding.line, finding.end_line, sources.get(finding.path)):
            yield item


def check(model: nn.Module | ExportedProgram, inputs: Any = None, *, training: bool = True, **options: Any) -> Report:
    """Lints a live model, or a program that torch.export made of one.

    `inputs` is a tensor, a tuple of positional or a dict of named arguments of its forward; None infers them.
    `training` says that the model is meant to be trained, `options` are settings. What has no line of a source (the
    nodes of a graph) stands in the first line of `<live>`, at its number, and is named.
    Where the model is compiled, or `compile=True` or `select=["GL2"]` asks for it, torch's compiler is asked where it
    breaks the graph; this resets what Dynamo has compiled in this process.
    Raises `TargetError` when its forward fails.
    """
    from gradlint.frontends.recorder.generated import SHOWN
    from gradlint.frontends.recorder.live import record
    from gradlint.graph_files import labels_of
    from gradlint.graph_files import placed as at_number
    from gradlint.proving import found_in, summary, unasked
    from gradlint.registry import compiler_use, configured

    settings = Settings(**options)
    rules = configured(settings)
    use = compiler_use(settings)
    recording = record(model, inputs, training=training, use=use, seconds=settings.timeout)
    labels = labels_of(next(recording.graphs()), SHOWN)
    wanted = selection(settings)
    found = (at_number(finding, SHOWN, labels) for finding in found_in(recording.graphs(), rules))
    findings = distinct(f for f in found if wanted.shows(f))
    return Report(
        findings=tuple(sorted(findings, key=lambda f: f.order)),
        models=tuple(summary(graph) for graph in recording.graphs()),
        remarks=tuple(unasked(recording.models)),
        files=0,
    )


def check_paths(paths: Iterable[str], depth: str | None = None, **options: Any) -> Report:
    """Lints files and folders as the command does; `depth` is "source" or "trace"."""
    return run(list(paths), Settings.model_validate({"depth": depth, **options}))
