"""Reads sources that were never meant to be read: whole libraries as they are, and files that were broken at random.

    python -m tests.benchmarks.robustness --json libraries.json site-packages/torch lib/python3.11
    python -m tests.benchmarks.robustness --mutants 20000 --seed 1 FOLDER...

Every file goes through what `gradlint check --source` does with it, in a child that is replaced when it dies or takes
too long. With `--mutants` the files are drawn at random and changed, half of them in their bytes, half in their syntax
tree (so that they still parse): statements deleted, doubled and exchanged, expressions put in the place of others,
arguments dropped, constants changed. A fault is an internal error, a death or a timeout; a syntax error is an answer.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from gradlint.config import Settings
from gradlint.judging import INTERNAL, Judge

from .mutating import mutated

LARGEST_MUTANT = 60_000
"""Bytes of a file that is still drawn for a mutant."""

BATCH = 200
"""Files that one child reads before its memory is given back."""

SLOWEST = 10


@dataclass(frozen=True)
class Answer:
    """What became of one file: "ok", "syntax", or a fault: "internal", "died", "timeout"."""

    name: str
    outcome: str
    seconds: float
    lines: int = 0
    findings: int = 0
    why: str = ""

    @property
    def fault(self) -> bool:
        """Whether gradlint failed on the file."""
        return self.outcome not in ("ok", "syntax")


@dataclass(frozen=True)
class Task:
    """A file, and the seed of the change that is made to it (None: read as it is)."""

    path: str
    seed: int | None = None

    @property
    def name(self) -> str:
        """How a report names the task."""
        return self.path if self.seed is None else f"{self.path} mutated by seed {self.seed}"


def read(task: Task, judge: Judge, settings: Settings, scratch: Path) -> Answer:
    """Judges one file, changed first where the task says so."""
    path = Path(task.path)
    content = path.read_bytes()
    if task.seed is not None:
        content = mutated(content, random.Random(task.seed))
        path = scratch / "mutant.py"
        path.write_bytes(content)
    began = time.process_time()
    judged = judge.file(str(path), settings)
    seconds = time.process_time() - began
    broken = [failure.message for failure in judged.failures if failure.code == INTERNAL]
    outcome = "internal" if broken else "syntax" if any(f.code == "GL001" for f in judged.findings) else "ok"
    return Answer(task.name, outcome, seconds, content.count(b"\n"), len(judged.findings), "; ".join(broken))


def serve(tasks: Sequence[Task], root: str, pipe: Connection) -> None:
    """Reads one batch in a child of its own; imports are looked for below `root`."""
    judge = Judge()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(root=root or folder)
        for task in tasks:
            pipe.send(read(task, judge, settings, Path(folder)))
    pipe.close()


def answers(tasks: Sequence[Task], root: str, limit: float) -> Iterator[Answer]:
    """The answer of every task; a child that dies or takes over `limit` seconds for a file is replaced."""
    context = multiprocessing.get_context("fork")
    at = 0
    while at < len(tasks):
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=serve, args=(tasks[at : at + BATCH], root, there))
        child.start()
        there.close()
        end = min(at + BATCH, len(tasks))
        while at < end:
            answer = _next(here, tasks[at], limit)
            yield answer
            at += 1
            if answer.outcome in ("died", "timeout"):
                break
        child.kill()
        child.join()


def _next(pipe: Connection, task: Task, limit: float) -> Answer:
    if not pipe.poll(limit):
        return Answer(task.name, "timeout", limit)
    try:
        found: Answer = pipe.recv()
    except EOFError:
        return Answer(task.name, "died", 0.0)
    return found


def files(folders: Iterable[Path]) -> list[str]:
    """All Python files below the folders, hidden ones and ignored ones too."""
    return sorted(str(path) for folder in folders for path in folder.rglob("*.py") if path.is_file())


def tasks_of(paths: Sequence[str], mutants: int, seed: int) -> list[Task]:
    """Every file as it is, or that many changed ones."""
    if not mutants:
        return [Task(path) for path in paths]
    draw = random.Random(seed)
    small = [path for path in paths if os.path.getsize(path) <= LARGEST_MUTANT]
    return [Task(draw.choice(small), draw.getrandbits(32)) for _ in range(mutants)]


def table(found: Sequence[Answer]) -> str:
    """The figures of a run."""
    faults = sum(answer.fault for answer in found)
    lines, seconds = sum(answer.lines for answer in found), sum(answer.seconds for answer in found)
    broken = sum(answer.outcome == "syntax" for answer in found)
    return (
        "| files | lines | that do not parse | faults | CPU s |\n|---|---|---|---|---|\n"
        f"| {len(found):,} | {lines:,} | {broken:,} | {faults} | {seconds:,.0f} |"
    )


def main() -> None:
    """Prints the faults as they come, then the slowest files and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--mutants", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one file")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: list[Answer] = []
    tasks = tasks_of(files(options.folders), options.mutants, options.seed)
    root = "" if options.mutants else str(options.folders[0].resolve().parent)
    for answer in answers(tasks, root, options.timeout):
        found.append(answer)
        if answer.fault:
            print(f"{answer.outcome}: {answer.name}: {answer.why}", flush=True)
    for answer in sorted(found, key=lambda answer: -answer.seconds)[:SLOWEST]:
        print(f"{answer.seconds:6.1f} s {answer.lines:6} lines  {answer.name}")
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps([asdict(answer) for answer in found]), encoding="utf-8")


if __name__ == "__main__":
    main()
