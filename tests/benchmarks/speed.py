"""How fast gradlint reads source, beside TorchFix, ruff, flake8, pylint and semgrep on the same files.

    python -m tests.benchmarks.speed FOLDER... --peers /path/to/venv --json speed.json
    python -m tests.benchmarks.speed FOLDER... --scaling

The peers run from a virtual environment of their own; a missing one is made there first (torchfix pins libcst). Every
program runs as a whole process on one core, each after the others in turn, so that a drift of the machine's speed meets
all. Figures are medians: user CPU seconds of the process with its children (their own accounting, `wait4`), wall-clock
seconds, and the largest resident set of one process. `--scaling` measures gradlint alone on growing copies.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("torchfix==0.7.0", "ruff", "flake8", "pylint", "semgrep")
RUNS = 3
MIB_OF_KIB = 1 / 1024
SLOW_PEER_LINES = 10_000
"""Lines on which the slow peers are measured: on everything they need hours."""
SCALES = (1_000, 10_000, 100_000, 1_000_000)
GRADLINT = (sys.executable, "-m", "gradlint", "check", "--source", "--exit-zero", "-q", "-j", "1")
SEMGREP_RULES = """rules:
  - {id: detach, languages: [python], severity: WARNING, message: detach, pattern: $X.detach()}
  - {id: item, languages: [python], severity: WARNING, message: item, pattern: $X.item()}
  - {id: no-grad, languages: [python], severity: WARNING, message: no_grad, pattern: "with torch.no_grad(): ..."}
"""


@dataclass(frozen=True)
class Cost:
    """What one run of a program took. `peak` is in MiB."""

    user: float
    system: float
    wall: float
    peak: float
    code: int


@dataclass(frozen=True)
class Row:
    """The medians of one program over some lines."""

    program: str
    lines: int
    user: float
    wall: float
    peak: float

    @property
    def speed(self) -> float:
        """Lines per second of user CPU time."""
        return self.lines / self.user if self.user else 0.0


def cost(command: list[str], folder: Path) -> Cost:
    """One run of a command; raises `SystemExit` when it cannot start."""
    began = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "SEMGREP_SEND_METRICS": "off"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    child = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=_on_one_core,
    )  # fmt: skip
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    return Cost(used.ru_utime, used.ru_stime, wall, used.ru_maxrss * MIB_OF_KIB, child.returncode)


def _on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def row(program: str, lines: int, costs: list[Cost]) -> Row:
    """The medians of several runs; raises `SystemExit` when a run failed by itself."""
    if any(found.code not in (0, 1) for found in costs) and program.startswith("gradlint"):
        raise SystemExit(f"{program} ended with {[found.code for found in costs]}")
    user, wall, peak = (statistics.median(getattr(c, key) for c in costs) for key in ("user", "wall", "peak"))
    return Row(program, lines, round(user, 3), round(wall, 3), round(peak, 1))


def files_below(folders: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """All Python files below some folders, in order, and where each lies below them: imports must go on to work."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*.py") if path.is_file()):
            yield path, Path(folder.name, path.relative_to(folder))


def copy(files: Iterable[tuple[Path, Path]], into: Path, most: int | None = None) -> int:
    """Copies files to their places below `into`, up to about `most` lines; the number of lines."""
    lines = 0
    for path, place in files:
        if most is not None and lines >= most:
            break
        target = into / place
        target.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        target.write_bytes(data)
        lines += data.count(b"\n")
    return lines


def peers(folder: Path) -> Path:
    """The `bin` folder of the peers' environment, made when it is missing."""
    if not (folder / "bin" / "torchfix").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", *PEERS], check=True)
    return folder / "bin"


def commands(tools: Path, rules: Path) -> dict[str, list[str]]:
    """What each program is called with: all rules, no cache, one process."""
    ruff = "check --select ALL --no-cache --exit-zero --isolated ."
    semgrep = "--metrics off --disable-version-check -j 1 ."
    return {
        "gradlint": [*GRADLINT, "--no-cache", "."],
        "ruff --select ALL": [f"{tools}/ruff", *ruff.split()],
        "TorchFix": [f"{tools}/torchfix", "--select", "ALL", "."],
        "flake8": [f"{tools}/flake8", "-j", "1", "--isolated", "--exit-zero", "."],
        "pylint": [f"{tools}/pylint", "-j", "1", "--exit-zero", "--recursive", "y", "."],
        "semgrep (3 patterns)": [f"{tools}/semgrep", "-f", f"{rules}", *semgrep.split()],
    }  # fmt: skip


SLOW = ("TorchFix", "flake8", "pylint", "semgrep (3 patterns)")


def compare(folders: list[Path], tools: Path, runs: int) -> list[Row]:
    """Every program on the same files; slow ones on a part of them, with gradlint on that part beside them."""
    with tempfile.TemporaryDirectory() as scratch:
        everything, part, rules = Path(scratch, "all"), Path(scratch, "part"), Path(scratch, "rules.yaml")
        rules.write_text(SEMGREP_RULES)
        files = list(files_below(folders))
        lines, few = copy(files, everything), copy(files, part, SLOW_PEER_LINES)
        called = commands(tools, rules)
        quick = {name: command for name, command in called.items() if name not in SLOW}
        return [*turns(quick, everything, lines, runs), *turns(called, part, few, runs), *warm(everything, lines, runs)]


def turns(called: dict[str, list[str]], folder: Path, lines: int, runs: int) -> list[Row]:
    """Some runs of every program, in turn, each started once before: an installed program has its bytecode at hand."""
    costs: dict[str, list[Cost]] = {name: [] for name in called}
    with tempfile.TemporaryDirectory() as nothing:
        for command in called.values():
            cost(command, Path(nothing))
    for _ in range(runs):
        for name, command in called.items():
            costs[name].append(cost(command, folder))
    return [row(name, lines, found) for name, found in costs.items()]


def warm(folder: Path, lines: int, runs: int) -> Iterator[Row]:
    """gradlint with its cache filled."""
    command = [*GRADLINT, "."]
    cost(command, folder)
    yield row("gradlint, warm", lines, [cost(command, folder) for _ in range(runs)])


def scaling(folders: list[Path], runs: int) -> Iterator[Row]:
    """gradlint on growing numbers of lines: the same files over and over."""
    files = list(files_below(folders))
    for size in SCALES:
        with tempfile.TemporaryDirectory() as scratch:
            lines = copy(_repeated(files), Path(scratch), size)
            command = [*GRADLINT, "--no-cache", "."]
            yield row(f"gradlint, {size:,} lines", lines, [cost(command, Path(scratch)) for _ in range(runs)])


def _repeated(files: list[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    for copy_number in itertools.count() if files else ():
        yield from ((path, Path(f"copy{copy_number}", place)) for path, place in files)


def show(rows: list[Row]) -> None:
    """The table as Markdown."""
    print("| program | lines | user CPU s | wall s | peak MiB | lines / CPU s |\n|---|---|---|---|---|---|")
    for found in rows:
        figures = f"{found.lines:,} | {found.user:.2f} | {found.wall:.2f} | {found.peak:.0f} | {found.speed:,.0f}"
        print(f"| {found.program} | {figures} |")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folders", nargs="+", type=Path)
    options.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir(), "gradlint-peers"))
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--scaling", action="store_true")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    rows = (
        list(scaling(given.folders, given.runs))
        if given.scaling
        else compare(given.folders, peers(given.peers), given.runs)
    )
    show(rows)
    if given.json:
        given.json.write_text(json.dumps([asdict(found) for found in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
