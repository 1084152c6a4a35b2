"""Records every published model of timm, torchvision and transformers: captured share, false errors, cost, memory.

    pip install transformers && pip install --no-deps torchvision==0.28.0 timm
    python -m tests.benchmarks.zoo --family timm --jobs 2 --resume timm.jsonl --json timm.json

Each model runs in a forked child of its own, on one thread, in train mode, batch 2: first without gradlint (a model
that does not run at all eagerly does not count), then through `gradlint.check(model, inputs)`. The cost is the time of
the recording (forward and backward) divided by that of an eager forward and backward pass; `check cost` has the time of
the whole check, analyses and rules included.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FAMILIES = ("timm", "torchvision", "transformers")
MIB = 2**20
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1
REPEATS = 3
REPEAT_BELOW_SECONDS = 4.0
RECORDED = ("recorded", "exported")


@dataclass
class Result:
    """What became of one model. `stage` is the last that it reached: build, eager, record, done."""

    family: str
    name: str
    stage: str = "build"
    reason: str = ""
    inputs: str = ""
    parameters: int = 0
    meta: bool = False
    eager_seconds: float = 0.0
    record_seconds: float = 0.0
    check_seconds: float = 0.0
    eager_mib: float = 0.0
    record_mib: float = 0.0
    capture: str = ""
    trainable: int = 0
    reached: int = 0
    without_gradient: int = 0
    misjudged: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """What a resumed run knows a model by."""
        return (self.family, self.name)

    @property
    def runs(self) -> bool:
        """Whether the model ran eagerly."""
        return self.stage in ("eager", "record", "done")

    @property
    def captured(self) -> bool:
        """Whether the whole model was recorded."""
        return self.stage == "done" and self.capture in RECORDED

    @property
    def cost(self) -> float:
        """The recording's time over the eager time; 0 where either is unknown."""
        return self.record_seconds / self.eager_seconds if self.eager_seconds and self.captured else 0.0

    @property
    def check_cost(self) -> float:
        """The whole check's time over the eager time."""
        return self.check_seconds / self.eager_seconds if self.eager_seconds and self.captured else 0.0


def timed(action: Callable[[], Any]) -> float:
    """Median seconds of a few runs; one run of what takes long."""
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < REPEAT_BELOW_SECONDS:
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def resident(key: str = "VmRSS") -> float:
    """Memory of this process in MiB: `VmRSS` now, `VmHWM` at its peak since the last `forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    """Starts a new peak of resident memory (Linux, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak(action: Callable[[], Any]) -> float:
    """MiB by which an action's peak exceeds the memory before it."""
    gc.collect()
    forget_peak()
    before = resident()
    action()
    return max(0.0, resident("VmHWM") - before)


def examine(result: Result, eager_only: bool, tell: Callable[[Result], None]) -> None:
    """Runs one model eagerly, then through the recorder; tells after every stage, for children that are killed."""
    from tests.benchmarks.zoo_models import subject

    found = subject(result.family, result.name)
    result.inputs, result.parameters, result.meta = found.description, found.parameters, found.on_meta
    result.eager_mib = peak(found.step)
    result.eager_seconds = timed(found.step)
    result.stage = "eager"
    tell(result)
    if not eager_only:
        record(result, found, tell)


def record(result: Result, found: Any, tell: Callable[[Result], None]) -> None:
    import gradlint
    from gradlint.frontends.recorder.live import record as record_only

    truth = found.without_gradient()
    result.without_gradient = len(truth)
    reports: list[Any] = []
    found.model.zero_grad(set_to_none=True)
    result.stage = "record"
    tell(result)
    result.record_mib = peak(lambda: reports.append(gradlint.check(found.model, found.inputs)))
    read(result, reports[0], truth)
    result.check_seconds = timed(lambda: gradlint.check(found.model, found.inputs))
    result.record_seconds = timed(lambda: record_only(found.model, found.inputs, training=True))
    result.stage = "done"
    tell(result)


def read(result: Result, report: Any, truth: set[str]) -> None:
    """Takes over what the report says of the model; `truth`: the parameters without a gradient in eager mode."""
    model = next(iter(report.models), None)
    result.capture = model.capture if model else "none"
    result.trainable, result.reached = (model.parameters, model.reached) if model else (0, 0)
    result.misjudged = sorted(set(model.starved) ^ truth) if model else []
    lines = [(f.severity, f"{f.code} {f.path}:{f.line}:{f.column} {f.message}") for f in report.findings]
    result.errors = [line for severity, line in lines if severity == "error"]
    result.warnings = [line for severity, line in lines if severity == "warning"]
    result.reason = "; ".join(f"{failure.code} {failure.message}" for failure in report.failures)


@dataclass
class Child:
    """A running model: its process, the pipe it tells through, and when it began."""

    pid: int
    pipe: int
    result: Result
    began: float
    text: bytes = b""


def start(result: Result, eager_only: bool) -> Child:
    """Forks a child that examines one model."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        os.set_blocking(reading, False)
        return Child(pid, reading, result, time.monotonic())
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no child outlives the run
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        examine(result, eager_only, lambda told: _tell(writing, told))
    except BaseException as error:
        result.reason = reason_of(error)
        _tell(writing, result)
    os._exit(0)


def _tell(pipe: int, result: Result) -> None:
    text = (json.dumps(asdict(result)) + "\n").encode()
    while text:
        text = text[os.write(pipe, text) :]


def reason_of(error: BaseException) -> str:
    """One line: what was raised, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{place}"


def drain(child: Child) -> bool:
    """Reads what a child has told; false when it has ended."""
    try:
        while piece := os.read(child.pipe, 2**16):
            child.text += piece
    except BlockingIOError:
        return True
    return False


def excess(child: Child, seconds: float, mib: float) -> str:
    """Which limit a child broke; empty when none."""
    if time.monotonic() - child.began > seconds:
        return f"killed after {seconds:.0f} s"
    pages = int(Path(f"/proc/{child.pid}/statm").read_text().split()[1])
    return f"killed above {mib:.0f} MiB" if pages * os.sysconf("SC_PAGE_SIZE") / MIB > mib else ""


def finish(child: Child, why: str = "") -> Result:
    """Ends a child (by force when there is a reason) and hands out the last that it told."""
    if why:
        os.killpg(child.pid, signal.SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    os.close(child.pipe)
    told = child.text.decode().splitlines()
    result = Result(**json.loads(told[-1])) if told else child.result
    crash = f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) and not why else ""
    result.reason = why or crash or result.reason
    return result


def survey(wanted: list[Result], jobs: int, seconds: float, mib: float, eager_only: bool) -> Iterator[Result]:
    """Runs every model in a child of its own, `jobs` at a time; yields each as it ends."""
    waiting = list(reversed(wanted))
    running: list[Child] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(start(waiting.pop(), eager_only))
        for child in list(running):
            alive = drain(child)
            why = excess(child, seconds, mib) if alive else ""
            if why or not alive:
                running.remove(child)
                yield finish(child, why)
        time.sleep(POLL_SECONDS)


def median(values: Iterable[float], digits: int = 3) -> float | None:
    """The rounded median; None when there is none."""
    known = list(values)
    return round(statistics.median(known), digits) if known else None


def summary(results: list[Result]) -> dict[str, Any]:
    """The figures of one family; costs are of the models whose weights have values."""
    runs = [result for result in results if result.runs]
    captured = [result for result in runs if result.captured]
    real = [result for result in captured if not result.meta]
    return {
        "models": len(results),
        "run eagerly": len(runs),
        "on meta": sum(result.meta for result in runs),
        "captured": len(captured),
        "captured share": round(len(captured) / len(runs), 4) if runs else None,
        "reach as in eager mode": sum(not result.misjudged for result in captured),
        "with errors": sum(bool(result.errors) for result in runs),
        "with warnings": sum(bool(result.warnings) for result in runs),
        "median cost": median((result.cost for result in real), 2),
        "worst cost": max((round(result.cost, 2) for result in real), default=None),
        "median check cost": median((result.check_cost for result in real), 2),
        "median eager seconds": median(result.eager_seconds for result in runs),
        "median check seconds": median(result.check_seconds for result in captured),
        "median check MiB": median((result.record_mib for result in captured), 1),
        "peak check MiB": max((round(result.record_mib) for result in captured), default=None),
    }


def show(family: str, results: list[Result]) -> None:
    print(f"\n{family}")
    for name, figure in summary(results).items():
        print(f"  {name:24} {figure}")
    for result in results:
        if result.misjudged:
            print(f"  other reach than eagerly {result.name}: {len(result.misjudged)} of {result.trainable} parameters")
        if result.errors:
            print(
                f"  false error? {result.name}: {result.errors[0]}"
                + f" (+{len(result.errors) - 1})" * (len(result.errors) > 1)
            )
        elif result.runs and not result.captured and result.stage != "eager":
            print(f"  not captured {result.name} [{result.inputs}]: {result.reason or result.capture}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, action="append", help="repeatable; all when left out")
    parser.add_argument("--match", default="", help="only names that contain this text")
    parser.add_argument("--sample", type=int, help="that many models of each family, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds for one model")
    parser.add_argument("--memory", type=float, default=9000.0, help="MiB for one model")
    parser.add_argument("--eager-only", action="store_true", help="only find out which models run")
    parser.add_argument("--resume", type=Path, help="JSON lines, one a model: read at the start, appended to")
    parser.add_argument("--json", type=Path, help="where the figures and all results go")
    return parser.parse_args()


def load(path: Path | None) -> dict[tuple[str, str], Result]:
    """The results of an earlier run."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    return {result.key: result for result in (Result(**json.loads(line)) for line in lines)}


def chosen(family: str, options: argparse.Namespace) -> list[Result]:
    """The models of a family that the options ask for."""
    from tests.benchmarks.zoo_models import names

    wanted = [name for name in names(family) if options.match in name]
    if options.sample is not None and options.sample < len(wanted):
        wanted = sorted(random.Random(options.seed).sample(wanted, options.sample))
    return [Result(family, name) for name in wanted]


def run(family: str, options: argparse.Namespace, done: dict[tuple[str, str], Result]) -> list[Result]:
    """Runs a family's models, those of the resume file left out; returns the results of all."""
    from tests.benchmarks.zoo_models import prepare

    prepare(family)
    wanted = chosen(family, options)
    fresh = [result for result in wanted if result.key not in done]
    for count, result in enumerate(survey(fresh, options.jobs, options.timeout, options.memory, options.eager_only), 1):
        done[result.key] = result
        note = f"{result.cost:.1f} x" if result.cost else result.reason[:120]
        print(f"[{count}/{len(fresh)}] {result.name} {result.stage} {note}", file=sys.stderr, flush=True)
        if options.resume:
            with options.resume.open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")
    return [done[result.key] for result in wanted]


def main() -> None:
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    done = load(options.resume)
    results = {family: run(family, options, done) for family in options.family or FAMILIES}
    for family, found in results.items():
        show(family, found)
    if options.json:
        figures = {family: summary(found) for family, found in results.items()}
        models = [asdict(result) for found in results.values() for result in found]
        options.json.write_text(json.dumps({"figures": figures, "models": models}, indent=1) + "\n")


if __name__ == "__main__":
    main()
