"""One target through the worker: what a recording of its models shows, and the way of one parameter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from gradlint.analysis.reach import cheapest_way, reach
from gradlint.config import Settings
from gradlint.discover import Target, TargetKind, parse
from gradlint.errors import GradlintError, InternalError, TargetError, UsageError, did_you_mean
from gradlint.finding import Failure, Finding
from gradlint.frame import Frame
from gradlint.graph import Edge, ModelGraph, Parameter
from gradlint.judged import Judged
from gradlint.proving import found_in, sight, summary, unasked
from gradlint.recording import Recording, decode
from gradlint.registry import compiler_use, fault
from gradlint.rule import GraphRule, Rule
from gradlint.worker import Limits, Outcome, Worker, torch_available

ENTRY = "gradlint.frontends.recorder.capture:capture"
BROKEN_TORCH = "torch cannot be imported"

INPUTS_SNIPPET = "add `def gradlint_inputs(): return (torch.randn(2, ...),)` to the file, or pass --input SHAPE"
_REMEDIES = {
    "timeout": "give it more time with --timeout SECONDS, or smaller inputs with --input",
    "memory": "give it more memory with --memory MIB, or smaller inputs with --input",
}


def traced(target: Target, rules: tuple[Rule, ...], settings: Settings, workers: SimpleQueue[Worker]) -> Judged:
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
    return Judged(
        findings=(*found_in(recording.graphs(), rules), *_not_traced(target, failed)),
        models=tuple(summary(graph) for graph in recording.graphs()),
        sight=sight(recording.graphs(), [rule for rule in rules if isinstance(rule, GraphRule)]),
        failures=tuple(failure.model_copy(update={"path": target.path or target.text}) for failure in failed),
        remarks=tuple(unasked(recording.models)),
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
        "compile": compiler_use(settings),
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


def shown_as(recording: Recording, target: Target) -> Recording:
    """The recording with paths as the user writes them: the target's own, else relative to the working folder."""
    own = str(Path(target.path).resolve()) if target.path else ""

    def shown(path: str) -> str:
        if path == own:
            return target.path
        relative = os.path.relpath(path) if os.path.isabs(path) else path
        return path if relative.startswith(os.pardir) else relative

    return recording.with_paths(shown)


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
    recording, failures = _recording(found, settings)
    graphs = list(recording.graphs())
    for graph in graphs:
        match = next((p for p in graph.model.parameters if p.name == parameter), None)
        if match is not None:
            return _way(graph, match)
    known = [p.name for graph in graphs for p in graph.model.parameters]
    if not known:
        raise UsageError("; ".join(failures) or f"{target}: no parameter")
    raise UsageError(f'no model in {target} has a parameter "{parameter}"{did_you_mean(parameter, known)}')


def _recording(target: Target, settings: Settings) -> tuple[Recording, list[str]]:
    """The recording of a target, and why some of its models have none."""
    if target.kind is TargetKind.GRAPH:
        from gradlint.graph_files import recorded

        return recorded(target.path, settings), []
    with Worker() as worker:
        outcome = worker.run(job(target, settings), Limits(settings.timeout, settings.memory))
    if outcome.payload is None:
        raise TargetError(f"{target.text}: {outcome.message}")
    recording = shown_as(decode(outcome.payload["recording"]), target)
    return recording, [item["message"] for item in outcome.payload["failures"]]


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
