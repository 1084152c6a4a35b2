"""How long gradlint takes to say its version, to check a small file, and to check a config of Llama-3-70B's shape.

    pip install transformers
    python -m tests.benchmarks.startup --json startup.json

Times are medians of wall-clock seconds of whole processes, memory is the peak of the proportional set size of a process
with all its descendants (Linux, /proc). "Beyond torch" has the same figure of `python -c "import torch"` taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
SAMPLE_SECONDS = 0.02
VERSION_RUNS = 10
FILE_RUNS = 5
CONFIG_RUNS = 3
WORKER_JOBS, WORKER_MIB = 40, 4096
TIMEOUT_SECONDS = 300

SMALL_FILE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))
"""

LLAMA_70B = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
}

LLAMA_70B_ELEMENTS = 69_000_000_000


PARTS = ("version", "worker", "file", "llama")


class CommandError(Exception):
    """A measured command failed, or did not record its model."""


@dataclass(frozen=True)
class Cost:
    """Median wall-clock seconds and peak MiB of a command, and its last exit code."""

    seconds: float
    mib: float
    code: int = 0

    def beyond(self, base: Cost) -> dict[str, float]:
        """What is left when the cost of another command is taken off."""
        return {"seconds": round(self.seconds - base.seconds, 3), "MiB": round(self.mib - base.mib, 1)}


def family(pid: int) -> Iterator[int]:
    """A process and all its living descendants."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in file.read_text().split():
            yield from family(int(child))


def proportional(pid: int) -> float:
    """MiB of one process, each page divided by the number of processes that share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def footprint(pid: int) -> float:
    """MiB of a process with its descendants; 0 when it has just ended."""
    try:
        return sum(proportional(member) for member in family(pid))
    except (OSError, StopIteration):
        return 0.0


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def watched(command: list[str], folder: str, good: tuple[int, ...]) -> Cost:
    """One run with its memory sampled; sampling costs time, so `measure` times other runs."""
    with tempfile.TemporaryFile() as sink:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=sink, stderr=sink)
        start, most = time.perf_counter(), 0.0
        while process.poll() is None and time.perf_counter() - start < TIMEOUT_SECONDS:
            most = max(most, footprint(process.pid))
            time.sleep(SAMPLE_SECONDS)
        process.kill()
        code = process.wait()
        sink.seek(0)
        if code not in good:
            raise CommandError(f"{' '.join(command)} ended with {code}: {sink.read().decode().strip()[-400:]}")
        return Cost(time.perf_counter() - start, most, code)


def measure(command: list[str], runs: int, folder: str = ".", good: tuple[int, ...] = (0,)) -> Cost:
    """The cost of a command: its memory from one run, its time from `runs` more."""
    memory = watched(command, folder, good)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment(), capture_output=True, timeout=TIMEOUT_SECONDS)
        seconds.append(time.perf_counter() - start)
    return Cost(statistics.median(seconds), memory.mib, memory.code)


def gradlint(*arguments: str) -> list[str]:
    return [PYTHON, "-m", "gradlint", *arguments]


def imported(*arguments: str) -> set[str]:
    """Names of the modules that a run of Python imports."""
    command = [PYTHON, "-X", "importtime", *arguments]
    lines = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")} - {"imported package"}


def version() -> dict[str, object]:
    bare = measure([PYTHON, "-c", "pass"], VERSION_RUNS)
    own = measure(gradlint("--version"), VERSION_RUNS)
    extra = imported("-m", "gradlint", "--version") - imported("-c", "pass")
    return {"seconds": round(own.seconds, 3), "beyond python": own.beyond(bare), "modules": sorted(extra)}


def checked(target: str, runs: int, folder: str, least: int) -> Cost:
    """The cost of checking a target; `CommandError` unless a model of at least so many elements was recorded."""
    command = gradlint("check", "--isolated", "--no-cache", "--output-format", "json", target)
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_SECONDS
    )
    models = json.loads(done.stdout)["models"] if done.returncode in (0, 1) else []
    if not any(model["capture"] == "recorded" and model["elements"] >= least for model in models):
        raise CommandError(f"{target} was not recorded: {done.stdout[-400:]} {done.stderr[-400:]}")
    return measure(command, runs, folder, good=(0, 1))


def small_file(base: Cost, folder: str) -> dict[str, object]:
    Path(folder, "model.py").write_text(SMALL_FILE)
    cost = checked("model.py", FILE_RUNS, folder, least=1)
    return {"seconds": round(cost.seconds, 3), "beyond torch": cost.beyond(base), "exit code": cost.code}


def idle(job: dict[str, object]) -> dict[str, object]:
    """An entry for the worker that does nothing, so that what is left is its set-up."""
    return {"done": bool(job)}


def worker() -> dict[str, object]:
    """Milliseconds from a job's handing over to its result, in a server that has imported torch."""
    from gradlint.worker import Limits, Worker

    taken = []
    with Worker() as server:
        server.start()
        for _ in range(WORKER_JOBS):
            began = time.perf_counter()
            outcome = server.run(
                {"entry": "tests.benchmarks.startup:idle", "cwd": str(ROOT)}, Limits(TIMEOUT_SECONDS, WORKER_MIB)
            )
            taken.append(1000 * (time.perf_counter() - began))
            if outcome.payload != {"done": True}:
                raise CommandError(f"the worker ended with {outcome.status}: {outcome.message}")
    taken = sorted(taken[1:])
    return {"median ms": round(statistics.median(taken), 1), "worst ms": round(taken[-1], 1), "jobs": len(taken)}


def llama(base: Cost, folder: str) -> dict[str, object]:
    Path(folder, "config.json").write_text(json.dumps(LLAMA_70B))
    cost = checked("hf:./config.json", CONFIG_RUNS, folder, least=LLAMA_70B_ELEMENTS)
    model = measure([PYTHON, "-c", "import torch, transformers.models.llama.modeling_llama"], CONFIG_RUNS)
    figures = {"seconds": round(cost.seconds, 3), "MiB": round(cost.mib, 1), "exit code": cost.code}
    return figures | {"beyond torch": cost.beyond(base), "beyond torch and transformers": cost.beyond(model)}


def tried(part: Callable[[Cost, str], dict[str, object]], base: Cost, folder: str) -> dict[str, object]:
    """The figures of one part, or why there are none; the other parts are still measured."""
    try:
        return part(base, folder)
    except CommandError as error:
        return {"failed": str(error)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    wanted = options.only or PARTS
    figures: dict[str, object] = {"version": version()} if "version" in wanted else {}
    if "worker" in wanted:
        figures["worker set-up"] = worker()
    if {"file", "llama"} & set(wanted):
        base = measure([PYTHON, "-c", "import torch"], FILE_RUNS)
        figures["import torch"] = {"seconds": round(base.seconds, 3), "MiB": round(base.mib, 1)}
        with tempfile.TemporaryDirectory() as folder:
            figures |= {"small file": tried(small_file, base, folder)} if "file" in wanted else {}
            figures |= {"llama 70b config": tried(llama, base, folder)} if "llama" in wanted else {}
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
