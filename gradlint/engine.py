"""Targets in, a report out: the only place where all parts meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from gradlint.analysis.reach import cheapest_way, reach
from gradlint.config import Settings
from gradlint.discover import Target, TargetKind, find, load, parse
from gradlint.errors import GradlintError, InternalError, TargetError, UsageError, did_you_mean
from gradlint.finding import Failure, Finding, GradientSize, ModelReport, Report, fingerprint
from gradlint.frame import Frame
from gradlint.graph import Edge, ModelGraph, Parameter
from gradlint.recording import Recording, decode
from gradlint.registry import configured, fault, selection
from gradlint.rule import GraphRule, Rule
from gradlint.source import Source, SourceError, read
from gradlint.suppress import apply, unknown
from gradlint.worker import Limits, Outcome, Worker, torch_available

if TYPE_CHECKING:
    from torch import nn

ENTRY = "gradlint.frontends.recorder.capture:capture"
BROKEN_TORCH = "torch cannot be imported"
INTERNAL = "internal"
"""The code of a failure that is gradlint's own."""

INPUTS_SNIPPET = "add `def gradlint_inputs(): return (torch.randn(2, ...),)` to the file, or pass --input SHAPE"
_REMEDIES = {
    "timeout": "give it more time with --timeout SECONDS, or smaller inputs with --input",
    "memory": "give it more memory with --memory MIB, or smaller inputs with --input",
}

Progress = Callable[[str], None]


def _silent(text: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Judged:
    """What was learned of one target."""

    findings: tuple[Finding, ...] = ()
    models: tuple[ModelReport, ...] = ()
    failures: tuple[Failure, ...] = ()
    source: Source | None = None


def run(texts: Sequence[str], settings: Settings, progress: Progress = _silent) -> Report:
    """Lints every target; raises `UsageError` for a mistake in the targets or the settings."""
    rules = configured(settings)
    targets = find(texts, settings)
    judged = _judge_all(targets, rules, settings, progress)
    sources = {item.source.path: item.source for item in judged if item.source is not None}
    wanted = selection(settings)
    findings = _distinct(f for item in judged for f in item.findings if wanted.shows(f))
    sources |= _other_sources(findings, sources)
    kept, suppressed = apply(findings, sources)
    return Report(
        findings=tuple(_fingerprinted(sorted(kept, key=lambda f: f.order), sources)),
        models=tuple(model for item in judged for model in item.models),
        files=len({target.path for target in targets}),
        suppressed=suppressed,
        failures=tuple(failure for item in judged for failure in item.failures),
    )


def _judge_all(
    targets: Sequence[Target], rules: tuple[Rule, ...], settings: Settings, progress: Progress
) -> list[Judged]:
    """Every target's result in the order of the targets, from as many workers as were asked for."""
    traced = sum(target.depth == "trace" for target in targets)
    width = max(1, min(settings.jobs or 1, traced))
    with ExitStack() as stack:
        workers: SimpleQueue[Worker] = SimpleQueue()
        for _ in range(width if traced else 0):
            worker = stack.enter_context(Worker())
            worker.start()
            workers.put(worker)

        def judge(target: Target) -> Judged:
            progress(target.text or target.path)
            return _safely(target, rules, settings, workers)

        if width == 1:
            return [judge(target) for target in targets]
        pool = ThreadPoolExecutor(width)
        try:
            return list(pool.map(judge, targets))
        finally:
            # The workers end first, so that an interrupted run waits for none of them.
            pool.shutdown(wait=False, cancel_futures=True)


def _safely(target: Target, rules: tuple[Rule, ...], settings: Settings, workers: SimpleQueue[Worker]) -> Judged:
    """A fault of gradlint's own on one target is reported; the other targets go on."""
    try:
        return _judge(target, rules, settings, workers)
    except UsageError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Judged(failures=(Failure(path=target.path or target.text, code=INTERNAL, message=text),))


def _judge(target: Target, rules: tuple[Rule, ...], settings: Settings, workers: SimpleQueue[Worker]) -> Judged:
    source: Source | None = None
    findings: list[Finding] = []
    if target.kind is not TargetKind.HUB:
        try:
            source = load(target)
            source.tree  # noqa: B018 - parsing is what may fail
        except SourceError as error:
            at = Frame(target.path, error.line, error.column)
            return Judged(findings=(fault("GL001", target.path, at, why=error.why),), source=source)
        findings += unknown(source)
    if target.depth == "source" or target.kind is TargetKind.STDIN:
        return Judged(findings=tuple(findings), source=source)
    traced = _traced(target, rules, settings, workers)
    return replace(traced, findings=(*findings, *traced.findings), source=source)


def _traced(target: Target, rules: tuple[Rule, ...], settings: Settings, workers: SimpleQueue[Worker]) -> Judged:
    """What a recording of a target shows."""
    if not torch_available():
        return _unjudged(target, "GL003", "torch is not installed", "pip install gradlint-nn[torch], or use --source")
    outcome = _recorded(target, settings, workers)
    if outcome.status == "failed" or outcome.payload is None:
        if outcome.status == "failed":
            raise _failure(outcome.message)
        remedy = _REMEDIES.get(outcome.status, "run the file by itself to see why, or lint it with --source")
        return _unjudged(target, "GL004", outcome.message, remedy)
    if "misused" in outcome.payload:
        raise UsageError(outcome.payload["misused"])
    recording = shown_as(decode(outcome.payload["recording"]), target)
    failed = [Failure.model_validate(item) for item in outcome.payload["failures"]]
    findings = [*_found(recording, rules), *_not_traced(target, failed)]
    return Judged(
        findings=tuple(findings),
        models=tuple(summary(graph) for graph in recording.graphs()),
        failures=tuple(failure.model_copy(update={"path": target.path or target.text}) for failure in failed),
    )


def _failure(message: str) -> GradlintError:
    """A worker that failed: torch itself is broken here, or gradlint is at fault."""
    return UsageError(message) if message.startswith(BROKEN_TORCH) else InternalError(message)


def _recorded(target: Target, settings: Settings, workers: SimpleQueue[Worker]) -> Outcome:
    worker = workers.get()
    try:
        return worker.run(job(target, settings), Limits(settings.timeout, settings.memory))
    finally:
        workers.put(worker)


def job(target: Target, settings: Settings) -> dict[str, Any]:
    """What the worker is told of a target."""
    setting = next((m for m in settings.models if m.target in (target.text, target.path)), None)
    path = str(Path(target.path).resolve()) if target.path else ""
    return {
        "entry": ENTRY,
        "file": path or target.text,
        "cwd": os.getcwd(),
        "kind": str(target.kind),
        "path": path or target.text,
        "module": target.module,
        "symbol": target.symbol,
        "inputs": list(settings.inputs or (setting.inputs if setting else ())),
        "model": setting.model_dump(mode="json") if setting else None,
        "seconds": settings.timeout,
        "memory": settings.memory,
    }


def _unjudged(target: Target, code: str, why: str, remedy: str) -> Judged:
    name = target.path or target.text
    finding = fault(code, name, model=target.symbol or Path(name).name, why=why, remedy=remedy)
    return Judged(findings=(finding,), failures=(Failure(path=name, code=code, message=why),))


def _not_traced(target: Target, failed: Iterable[Failure]) -> Iterator[Finding]:
    """One finding for every model that could not be recorded, in files that the user named."""
    if not target.named:
        return
    path = target.path or target.text
    for failure in failed:
        name, _, rest = failure.message.partition(": ")
        model, reason = (name, rest) if name.isidentifier() else (Path(path).name, failure.message)
        why, told, remedy = reason.rpartition(": add ")
        yield fault(
            "GL003",
            path,
            Frame(path, failure.line),
            model=model,
            why=why or remedy,
            remedy=f"add {remedy}" if told else INPUTS_SNIPPET,
        )


def _found(recording: Recording, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    graph_rules = [rule for rule in rules if isinstance(rule, GraphRule)]
    for graph in recording.graphs():
        for rule in graph_rules:
            yield from rule.check(graph)


def shown_as(recording: Recording, target: Target) -> Recording:
    """The recording with paths as the user writes them: the target's own, else relative to the working folder."""
    own = str(Path(target.path).resolve()) if target.path else ""

    def shown(path: str) -> str:
        if path == own:
            return target.path
        relative = os.path.relpath(path) if os.path.isabs(path) else path
        return path if relative.startswith(os.pardir) else relative

    return recording.with_paths(shown)


def summary(graph: ModelGraph) -> ModelReport:
    """A model's entry in the report."""
    model, result = graph.model, reach(graph)
    trainable, starved = model.trainable, set(result.starved)
    return ModelReport(
        name=model.name,
        path=model.path,
        line=model.line,
        capture=model.capture,
        inputs=model.inputs,
        reach_at=model.reach_at,
        parameters=len(trainable),
        reached=len(trainable) - len(starved),
        elements=sum(p.elements for p in trainable),
        elements_reached=sum(p.elements for p in trainable if p.name not in starved),
        starved=result.starved,
        unused=result.unused,
        gradient_profile=tuple(GradientSize(parameter=p.name, measured_rms=p.measured_rms) for p in trainable),
    )


def _distinct(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding a rule and position; what it does to several models is told in one."""
    best: dict[tuple[str, str, int, int], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.path, finding.line, finding.column)
        best[key] = _united(best[key], finding) if key in best else finding
    return tuple(best.values())


def _united(one: Finding, other: Finding) -> Finding:
    """Two findings of one cause: all parameters of both, in the words of the one that concerns the larger share."""
    first, second = sorted((one, other), key=lambda f: (f.severity.rank, f.parameter_share), reverse=True)
    return first.model_copy(update={"parameters": tuple(dict.fromkeys((*first.parameters, *second.parameters)))})


def _other_sources(findings: Iterable[Finding], known: dict[str, Source]) -> dict[str, Source]:
    """The sources of files that were not targets but that findings stand in."""
    found = {}
    for path in {finding.path for finding in findings} - set(known):
        try:
            found[path] = read(path)
        except GradlintError:
            continue
    return found


def _fingerprinted(findings: Iterable[Finding], sources: dict[str, Source]) -> Iterator[Finding]:
    seen: dict[tuple[str, str, str], int] = {}
    for finding in findings:
        lines = sources[finding.path].lines if finding.path in sources else ()
        text = lines[finding.line - 1] if finding.line <= len(lines) else ""
        key = (finding.code, finding.path, text.strip())
        seen[key] = seen.get(key, 0) + 1
        yield finding.model_copy(update={"fingerprint": fingerprint(finding.code, finding.path, text, seen[key])})


@dataclass(frozen=True)
class WayStep:
    """One op on a parameter's way to the loss."""

    op: str
    native: str
    frame: Frame | None
    module: str
    passage: str
    reason: str | None


@dataclass(frozen=True)
class Way:
    """A parameter's way to the loss, and where it ends."""

    parameter: str
    reached: bool
    steps: tuple[WayStep, ...]
    verdict: str


def why(target: str, parameter: str, settings: Settings) -> Way:
    """The way of one parameter; raises `UsageError` when no model of the target has it."""
    found = parse(target, settings)
    with Worker() as worker:
        outcome = worker.run(job(found, settings), Limits(settings.timeout, settings.memory))
    if outcome.payload is None:
        raise TargetError(f"{target}: {outcome.message}")
    recording = shown_as(decode(outcome.payload["recording"]), found)
    graphs = list(recording.graphs())
    for graph in graphs:
        match = next((p for p in graph.model.parameters if p.name == parameter), None)
        if match is not None:
            return _way(graph, match)
    known = [p.name for graph in graphs for p in graph.model.parameters]
    if not known:
        raise UsageError("; ".join(item["message"] for item in outcome.payload["failures"]) or f"{target}: no model")
    raise UsageError(f'no model in {target} has a parameter "{parameter}"{did_you_mean(parameter, known)}')


def _way(graph: ModelGraph, parameter: Parameter) -> Way:
    edges = cheapest_way(graph, parameter.node) if parameter.node is not None else ()
    starved = parameter.name in reach(graph).starved
    return Way(
        parameter.name, not starved, tuple(_step(graph, edge) for edge in edges), _verdict(graph, parameter, edges)
    )


def _step(graph: ModelGraph, edge: Edge) -> WayStep:
    node = graph.node(edge.target)
    reason = edge.reason.value if edge.reason else None
    place = node.grad_frame if reason == "grad-disabled" and node.grad_frame else node.at
    return WayStep(node.op, node.native, place, node.module, edge.passage.value, reason)


def _verdict(graph: ModelGraph, parameter: Parameter, edges: tuple[Edge, ...]) -> str:
    where = "the loss" if graph.model.reach_at == "loss" else "the outputs"
    if not parameter.trainable:
        return "it does not require a gradient"
    if parameter.name not in reach(graph).starved:
        return f"its gradient arrives from {where}"
    if parameter.node is None:
        return "the forward pass never uses it"
    if not edges:
        return f"{where} do not depend on it" if where.endswith("s") else f"{where} does not depend on it"
    return f"no gradient comes back from {where}"


def check(model: nn.Module, inputs: Any = None, *, training: bool = True, **options: Any) -> Report:
    """Lints a live model.

    `inputs` is a tensor, a tuple of positional or a dict of named arguments of its forward; None infers them.
    `training` says that the model is meant to be trained, `options` are settings.
    Raises `TargetError` when its forward fails.
    """
    from gradlint.frontends.recorder.live import record

    settings = Settings(**options)
    rules = configured(settings)
    recording = record(model, inputs, training=training)
    wanted = selection(settings)
    findings = _distinct(f for f in _found(recording, rules) if wanted.shows(f))
    return Report(
        findings=tuple(sorted(findings, key=lambda f: f.order)),
        models=tuple(summary(graph) for graph in recording.graphs()),
        files=0,
    )


def check_paths(paths: Iterable[str], depth: str | None = None, **options: Any) -> Report:
    """Lints files and folders as the command does; `depth` is "source" or "trace"."""
    return run(list(paths), Settings.model_validate({"depth": depth, **options}))
