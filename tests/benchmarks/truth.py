"""Injects gradient losses and harmless look-alikes into models, and compares gradlint with autograd.

    python tests/benchmarks/truth.py --cases 630 --seed 0 --json truth.json
    python tests/benchmarks/truth.py --cases 630 --seed 0 --source --labels labels.json

Needs torch, torchvision, timm and transformers. The exit status is 1 when a share given with --starved, --lines,
--proved or --alarms is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.benchmarks.truth import cases, labels, summary, verdict


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--cases", type=int, default=630)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--only", help="only ways whose name holds this")
    ask.add_argument("--model", help="only models whose name holds this")
    ask.add_argument("--jobs", type=int, default=1, help="gradlint processes at a time")
    ask.add_argument("--batch", type=int, default=20, help="files of one gradlint process")
    ask.add_argument("--gradlint", default=f"{sys.executable} -m gradlint", help="the command, split at spaces")
    ask.add_argument("--show", action="store_true", help="print every case that is not right")
    ask.add_argument("--json", type=pathlib.Path, help="where to write the summary")
    ask.add_argument("--keep", type=pathlib.Path, help="a folder in which the programs stay")
    ask.add_argument("--source", action="store_true", help="gradlint reads the programs and runs none of them")
    ask.add_argument("--labels", type=pathlib.Path, help="where the labelled cases are kept for the next run")
    ask.add_argument("--truth-only", action="store_true", help="draw and label, without gradlint")
    ask.add_argument("--starved", type=float, default=0.0, help="least share of exact starved sets")
    ask.add_argument("--lines", type=float, default=0.0, help="least share of right lines among lossy cases")
    ask.add_argument("--proved", type=float, default=0.0, help="least share of the lost parameters called starved")
    ask.add_argument("--alarms", type=float, default=1.0, help="largest share of cases with an unjustified error")
    return ask.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 0 when every bar is met."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    drawn = _drawn(arguments)
    if arguments.truth_only:
        sys.stdout.write(summary.labels(drawn) + "\n")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or pathlib.Path(scratch)
        depth = "--source" if arguments.source else "--trace"
        judged = verdict.judge(drawn, arguments.gradlint.split(), folder, arguments.batch, arguments.jobs, depth)
    if arguments.show:
        sys.stdout.write("".join(f"{line}\n" for line in summary.complaints(judged)))
    if arguments.json:
        arguments.json.write_text(json.dumps(summary.as_json(judged, arguments.seed), indent=1) + "\n")
    sys.stdout.write(summary.table(judged) + "\n")
    return int(not _passes(summary.row("all", judged), arguments))


def _drawn(arguments: argparse.Namespace) -> list[cases.Case]:
    """The labelled cases, from the file of an earlier run with the same arguments where there is one."""
    asked = (arguments.cases, arguments.seed, arguments.only, arguments.model)
    kept: pathlib.Path | None = arguments.labels
    found = labels.read(kept.read_text(), asked) if kept and kept.exists() else None
    drawn = list(cases.draw_cases(*asked)) if found is None else found
    if kept and found is None:
        kept.write_text(labels.written(drawn, asked))
    return drawn


def _passes(total: summary.Row, arguments: argparse.Namespace) -> bool:
    return (
        total.failed == 0
        and total.exact >= arguments.starved * total.cases
        and total.line >= arguments.lines * total.lossy
        and total.proved >= arguments.proved * total.lost
        and total.alarms <= arguments.alarms * total.cases
    )


if __name__ == "__main__":
    sys.exit(main())
