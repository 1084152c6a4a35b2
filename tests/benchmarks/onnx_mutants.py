"""Mutated ONNX files against gradlint: `python -m tests.benchmarks.onnx_mutants [FILE...] [-n 10000] [--seed 0]`.

Real files (those of the onnx package, and all that are named) are changed at random, and each mutant goes the way of
every target: into a worker with limits. Counted is how each ended: judged, a GL001 in one line, a limit (GL004), or a
failure of gradlint's own, which must not happen.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import onnx

from gradlint.config import Settings
from gradlint.errors import InternalError
from gradlint.graph_files import Readers
from tests.onnx_file.mutants import MOST_BYTES, mutants

LIMITS = Settings(timeout=20.0, memory=512)


def sources(named: Sequence[str]) -> list[Path]:
    """The files that are mutated."""
    own = Path(onnx.__file__).parent / "backend" / "test" / "data"
    found = [*map(Path, named), *sorted(own.rglob("*.onnx"))]
    return [path for path in found if path.stat().st_size <= MOST_BYTES]


def outcome(readers: Readers, path: Path) -> tuple[str, str]:
    """How a file ended, and what was said of it."""
    try:
        judged = readers.judged(str(path), LIMITS)
    except InternalError as error:
        return "internal", str(error)
    codes = {finding.code: finding.message for finding in judged.findings}
    for code in ("GL001", "GL004"):
        if code in codes:
            return code, codes[code]
    return "judged", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*")
    parser.add_argument("-n", "--number", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    files = sources(chosen.files)
    streams = [mutants(path.read_bytes(), chosen.seed + number) for number, path in enumerate(files)]
    counts: Counter[str] = Counter()
    said: Counter[str] = Counter()
    slowest, started = 0.0, time.monotonic()
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        readers = Readers(stack)
        path = Path(folder, "mutant.onnx")
        for number in range(chosen.number):
            path.write_bytes(next(streams[number % len(streams)]))
            before = time.monotonic()
            how, why = outcome(readers, path)
            slowest = max(slowest, time.monotonic() - before)
            counts[how] += 1
            said[f"{how}: {why[:60]}"] += 1
            if how in ("internal", "GL004"):
                print(number, files[number % len(files)].parent.name, how, why, file=sys.stderr)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "files": len(files),
                "mutants": chosen.number,
                **counts,
                "seconds": round(time.monotonic() - started, 1),
                "slowest": round(slowest, 2),
                "most MiB": usage.ru_maxrss // 1024,
            }
        )
    )
    print("\n".join(f"{count:6} {text}" for text, count in said.most_common(20)))
    return 1 if counts["internal"] else 0


if __name__ == "__main__":
    sys.exit(main())
