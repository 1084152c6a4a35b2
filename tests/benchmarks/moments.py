"""Predicted against measured gradients: plain nets, recurrent ones, and published models of three libraries.

    pip install transformers && pip install --no-deps torchvision==0.28.0 timm
    python -m tests.benchmarks.moments --resume moments.jsonl --json moments.json
    python -m tests.benchmarks.moments --set untuned --resume moments.jsonl

Measured is a backward pass from a random projection of every floating output, over three seeds, weights and inputs anew
for each. Predicted is `gradlint.analysis.moments.predict` on the recording of the first seed: once from the moments of
the real weights and once from the initialisers alone. Errors are |log10(predicted / measured)| over the weights with
two axes or more. Each model runs in a child of its own, on one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.moments_models import SETS, Case, cases, prepared

SEEDS = 3
MATRIX = 2
NOTHING = 1e-9
"""A gradient that is smaller by this factor than the largest one is rounding."""

WRONG = 6.0
"""The error of a gradient that is predicted to be there and is not, or the other way round."""

TYPICAL, WORST = math.log10(1.5), math.log10(5.0)
SICK = 2.5
SHARE_TOLERANCE = 0.1
WAYS = ("weights", "initialisers")


@dataclass
class Compared:
    """One way to predict against what was measured."""

    median: float = math.nan
    worst: float = math.nan
    worst_name: str = ""
    rank: float = math.nan
    slope: float = math.nan
    missing: int = 0


@dataclass
class Result:
    """What became of one model."""

    name: str
    reason: str = ""
    tensors: int = 0
    slope: float = math.nan
    weights: Compared = field(default_factory=Compared)
    initialisers: Compared = field(default_factory=Compared)
    unknown: list[str] = field(default_factory=list)
    record_seconds: float = 0.0
    predict_seconds: float = 0.0
    shares: int = 0
    shares_near: int = 0


def measured(case: Case) -> dict[str, float]:
    """Root mean squares of the gradients by parameter, over the seeds."""
    import torch

    squares: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model, inputs = case.build()
        model.train()
        step(model, inputs)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                gradient = parameter.grad
                squares.setdefault(name, []).append(
                    float(gradient.double().square().mean()) if gradient is not None else 0.0
                )
    return {name: math.sqrt(statistics.fmean(found)) for name, found in squares.items()}


def step(model: Any, inputs: Any) -> None:
    """One forward and one backward pass through a random projection of every floating output."""
    import torch

    from gradlint.frontends.recorder.session import outputs_of

    outputs = outputs_of(model(**inputs) if isinstance(inputs, dict) else model(*inputs))
    wanted = [one for one in outputs if one.is_floating_point() and one.requires_grad]
    torch.autograd.backward([(one * torch.randn_like(one)).sum() for one in wanted])


def recorded(case: Case) -> tuple[Any, float]:
    """The graph of a model whose initialisers were seen too, and the seconds of one recording of it."""
    import torch

    from gradlint.frontends.recorder import sources
    from gradlint.frontends.recorder.live import _given
    from gradlint.frontends.recorder.session import Session, finished

    torch.manual_seed(0)
    session = Session()
    with session.recording():
        model, inputs = case.build()
    model.train()
    job = {"path": "<benchmark>", "kind": "live"}
    start = time.perf_counter()
    found = sources.run(session, model, _given(inputs), case.name, job, trained=True)
    recording = finished(session, [found])
    return next(iter(recording.graphs())), time.perf_counter() - start


def examine(case: Case) -> Result:
    """Records, measures and predicts one model."""
    from gradlint.analysis.moments import predict

    result = Result(case.name)
    graph, result.record_seconds = recorded(case)
    truth = measured(case)
    start = time.perf_counter()
    prediction = predict(graph)
    result.predict_seconds = time.perf_counter() - start
    result.unknown = sorted(prediction.unknown)
    wanted = [one.name for one in graph.model.trainable if len(one.shape) >= MATRIX]
    result.tensors = len(wanted)
    result.weights = compared(wanted, truth, prediction.gradients)
    bare = replace(graph.model, parameters=tuple(replace(one, moments=None) for one in graph.model.parameters))
    result.initialisers = compared(wanted, truth, predict(graph.for_model(bare)).gradients)
    top = max(truth.values(), default=0.0)
    result.slope = slope([truth[name] if truth.get(name, 0.0) > top * NOTHING else 0.0 for name in wanted])
    result.shares, result.shares_near = shares(graph, prediction)
    return result


def compared(names: Sequence[str], truth: dict[str, float], found: Any) -> Compared:
    """Errors over the parameters, and how their order and their trend agree."""
    top = max(truth.values(), default=0.0)
    pairs = [(name, truth.get(name, 0.0), found.get(name)) for name in names]
    known = [
        (name, real, guess) for name, real, guess in pairs if guess is not None and not is_nothing(real, guess, top)
    ]
    errors = {name: error(real, guess, top) for name, real, guess in known}
    missing = sum(guess is None and real > top * NOTHING for _, real, guess in pairs)
    if not errors:
        return Compared(missing=missing)
    worst = max(errors, key=lambda name: errors[name])
    both = [(real, guess) for _, real, guess in pairs if guess]
    rank = spearman([real for real, _ in both], [guess for _, guess in both])
    trend = slope([guess if guess and guess > top * NOTHING else 0.0 for _, _, guess in pairs])
    return Compared(statistics.median(errors.values()), errors[worst], worst, rank, trend, missing)


def error(real: float, guess: float, top: float) -> float:
    """|log10(predicted / measured)|; where only one of them is nothing, the prediction is wrong."""
    if real <= top * NOTHING or guess <= top * NOTHING:
        return WRONG
    return abs(math.log10(guess / real))


def is_nothing(real: float, guess: float, top: float) -> bool:
    """Whether neither has a gradient, as behind a weight that begins at zero: there is nothing to compare."""
    return max(real, guess) <= top * NOTHING


def slope(sizes: Sequence[float]) -> float:
    """log10 of the first quarter over the last quarter, by the median of each; positive where gradients explode."""
    known = [math.log10(size) for size in sizes if size > 0.0]
    count = max(len(known) // 4, 1)
    return statistics.median(known[:count]) - statistics.median(known[-count:]) if known else math.nan


def spearman(one: Sequence[float], two: Sequence[float]) -> float:
    """The correlation of ranks."""
    if len(one) < 3:
        return math.nan
    ranks = [[sorted(values).index(value) for value in values] for values in (one, two)]
    try:
        return statistics.correlation([float(r) for r in ranks[0]], [float(r) for r in ranks[1]])
    except statistics.StatisticsError:
        return math.nan


def shares(graph: Any, prediction: Any) -> tuple[int, int]:
    """Activations whose dead and saturated shares were measured and predicted, and those where both are near."""
    pairs = [(node.measured, prediction.values.get(node.id)) for node in graph.nodes if node.measured is not None]
    known = [(a, b) for a, b in pairs if b is not None and None not in (a.dead, a.saturated, b.dead, b.saturated)]
    near = sum(
        abs(a.dead - b.dead) <= SHARE_TOLERANCE and abs(a.saturated - b.saturated) <= SHARE_TOLERANCE for a, b in known
    )
    return len(known), near


def verdict(trend: float) -> str:
    """Healthy, vanishing or exploding."""
    if math.isnan(trend) or abs(trend) <= SICK:
        return "healthy"
    return "exploding" if trend > 0 else "vanishing"


def in_child(case: Case, timeout: float) -> Result:
    """Examines one model in a forked child; a crash or a timeout becomes a reason."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            out.write(json.dumps(asdict(guarded(case))))
        os._exit(0)
    os.close(writer)
    text = read_until(reader, time.monotonic() + timeout)
    if text is None:
        os.kill(child, 9)
    os.waitpid(child, 0)
    return restored(json.loads(text)) if text else Result(case.name, "no answer in time")


def read_until(reader: int, deadline: float) -> str | None:
    """All that a child writes; None when it takes too long."""
    import select

    parts: list[bytes] = []
    with os.fdopen(reader, "rb", buffering=0) as file:
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([file], [], [], left)[0]:
                return None
            chunk = file.read(1 << 16)
            if not chunk:
                return b"".join(parts).decode()
            parts.append(chunk)
    return None


def guarded(case: Case) -> Result:
    try:
        return examine(case)
    except (Exception, SystemExit) as problem:
        return Result(case.name, f"{type(problem).__name__}: {str(problem)[:200]}")


def restored(found: dict[str, Any]) -> Result:
    """A result as it was written."""
    return Result(**found | {way: Compared(**found[way]) for way in WAYS})


def show(title: str, results: Sequence[Result]) -> dict[str, Any]:
    """Prints and returns the figures of some models."""
    ran = [one for one in results if one.tensors and not one.reason and not math.isnan(one.weights.median)]
    figures: dict[str, Any] = {"models": len(results), "compared": len(ran)}
    print(f"\n{title}: {len(results)} models, {len(ran)} compared")
    for way in WAYS if ran else ():
        figures[way] = figures_of([(one, getattr(one, way)) for one in ran])
        print(f"  from the {way}: " + ", ".join(f"{name} {value:.3g}" for name, value in figures[way].items()))
    if ran:
        ratio = [one.predict_seconds / one.record_seconds for one in ran if one.record_seconds]
        seen, near = sum(one.shares for one in ran), sum(one.shares_near for one in ran)
        figures |= {"time": statistics.median(ratio), "slowest": max(ratio), "shares": near / seen if seen else None}
        print(f"  prediction / recording: median {figures['time']:.3f}, worst {figures['slowest']:.3f}")
        print(f"  dead and saturated shares within {SHARE_TOLERANCE}: {near} of {seen}")
    return figures


def figures_of(pairs: Sequence[tuple[Result, Compared]]) -> dict[str, float]:
    """The shares of models that reach each goal."""
    known = [(one, way) for one, way in pairs if not math.isnan(way.median)]
    count = max(len(known), 1)
    ranks = [way.rank for _, way in known if not math.isnan(way.rank)]
    return {
        "median layer within 1.5 x": sum(way.median <= TYPICAL for _, way in known) / count,
        "worst layer within 5 x": sum(way.worst <= WORST for _, way in known) / count,
        "same verdict": sum(verdict(one.slope) == verdict(way.slope) for one, way in known) / count,
        "rank correlation": statistics.median(ranks) if ranks else math.nan,
    }


def line(one: Result) -> str:
    """One model in one line."""
    if one.reason:
        return f"{one.name}: {one.reason}"
    typical, worst = 10**one.weights.median, 10**one.weights.worst
    bare = 10**one.initialisers.median
    trend = f"{verdict(one.slope)} {one.slope:+.1f} / {one.weights.slope:+.1f}"
    unknown = f", unknown {' '.join(one.unknown)}" if one.unknown else ""
    missing = f", {one.weights.missing} missing" if one.weights.missing else ""
    return (
        f"{one.name}: median {typical:.2f} (initialisers {bare:.2f}), worst {worst:.2f} ({one.weights.worst_name}), "
        f"{trend}, {one.predict_seconds:.3f} of {one.record_seconds:.2f} s{missing}{unknown}"
    )


def load(path: Path | None) -> dict[str, Result]:
    """The results of an earlier run."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    return {result.name: result for result in (restored(json.loads(text)) for text in lines)}


def results_of(wanted: Sequence[Case], done: dict[str, Result], options: argparse.Namespace) -> Iterator[Result]:
    """The result of each case, those of an earlier run as they are."""
    for count, case in enumerate(wanted, 1):
        if case.name not in done:
            done[case.name] = in_child(case, options.timeout)
            print(f"[{count}/{len(wanted)}] {line(done[case.name])}", file=sys.stderr, flush=True)
            if options.resume:
                with options.resume.open("a") as file:
                    file.write(json.dumps(asdict(done[case.name])) + "\n")
        yield done[case.name]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, action="append", help="default: all")
    parser.add_argument("--match", default="", help="only models whose name contains this")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one model")
    parser.add_argument("--resume", type=Path, help="JSON lines, one a model: read at the start, appended to")
    parser.add_argument("--json", type=Path, help="where the figures and all results go")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    prepared()
    done = load(options.resume)
    report: dict[str, Any] = {}
    for name in options.set or SETS:
        wanted = [case for case in cases(name) if options.match in case.name]
        found = list(results_of(wanted, done, options))
        report[name] = {"figures": show(name, found), "models": [asdict(one) for one in found]}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
