"""What tells of ONNX files what: gradlint, `polygraphy check lint` and `onnx.checker` on real and broken ones.

    python -m tests.benchmarks.onnx_peers [FILE...] [--python VENV/bin/python]

Real files are those that are named; to each set of faults that is planted into a small model belongs the fault's name.
Every tool runs in a process of its own. Reported are what it finds, its wall seconds and its largest resident set, and
at the end how many of the planted faults each one says anything of (notes aside), its median seconds and most memory.
polygraphy runs where `--python` has it: `pip install polygraphy onnx-graphsurgeon onnxruntime`.
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
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from tests.command import environment
from tests.onnx_file.models import classifier, constant, model, node, value, weight

CHECKER = "import sys, onnx; onnx.checker.check_model(sys.argv[1], full_check=True)"

MOST_SHOWN = 3
"""Findings of a tool that are printed for one file."""

SOUND = "sound"
"""The model without a fault."""


@dataclass(frozen=True)
class Ran:
    """What a tool said of a file, how long it took and what it held in memory."""

    tool: str
    file: str
    found: tuple[str, ...]
    seconds: float
    mebibytes: int


def planted() -> Iterator[tuple[str, onnx.ModelProto]]:
    """Models with one fault each, and one without."""
    table, last = weight("table", 4, 6), weight("last", 6, 2)
    yield SOUND, classifier()
    yield (
        "argmax between weights",
        classifier(
            node("ArgMax", "scores", "best", axis=1, keepdims=0),
            node("Gather", "table best", "chosen"),
            node("MatMul", "chosen last", "end"),
            end="end",
            more=[table, last],
        ),
    )
    casts = [node("Cast", "scores", "whole", to=TensorProto.INT32), node("Cast", "whole", "back", to=TensorProto.FLOAT)]
    yield (
        "integer cast between weights",
        classifier(*casts, node("MatMul", "back narrow", "end"), end="end", more=[weight("narrow", 4, 2)]),
    )
    yield (
        "rounding between weights",
        classifier(
            node("Round", "scores", "back"),
            node("MatMul", "back narrow", "end"),
            end="end",
            more=[weight("narrow", 4, 2)],
        ),
    )
    yield "log of softmax", classifier(node("Softmax", "scores", "p"), node("Log", "p", "end"), end="end")
    yield "dead branch", classifier(node("MatMul", "hidden spare", "nowhere"), more=[weight("spare", 16, 2)])
    yield "saturating stack", _stack("Sigmoid", 8)
    yield "unknown operator", classifier(node("Mystery", "scores", "end"), end="end")
    yield "input that nothing makes", classifier(node("Add", "scores nothing", "end"), end="end")
    yield "circle", model([node("Relu", "b", "a"), node("Relu", "a", "b")], [value("x", 1)], ["b"])
    yield (
        "shapes that do not fit",
        classifier(node("MatMul", "scores table", "end"), end="end", more=[weight("table", 7, 6)]),
    )
    yield "operator of a later opset", _earlier(classifier(node("Gelu", "scores", "end"), end="end"))
    yield (
        "types that do not fit",
        classifier(node("Add", "scores whole", "end"), end="end", more=[weight("whole", 4, dtype=np.int64)]),
    )
    contradicting = classifier()
    contradicting.graph.value_info.append(value("hidden", "batch", 17))
    yield "shape that it says is another", contradicting
    yield "division by zero", classifier(node("Div", "scores zero", "end"), end="end", more=[constant("zero", 0.0)])


def _earlier(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model as one of an opset before the newest of its operators."""
    proto.opset_import[0].version = 17
    return proto


def _stack(op_type: str, layers: int) -> onnx.ModelProto:
    nodes = []
    for n in range(layers):
        nodes += [node("MatMul", f"h{n} w{n}", f"m{n}"), node(op_type, f"m{n}", f"h{n + 1}")]
    return model(nodes, [value("h0", 1, 8)], [f"h{layers}"], [weight(f"w{n}", 8, 8) for n in range(layers)])


def _typed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the type of its outputs, which the other tools ask for."""
    for one in proto.graph.output:
        one.type.tensor_type.elem_type = TensorProto.FLOAT
        one.type.tensor_type.shape.dim.add(dim_param="rows")
        one.type.tensor_type.shape.dim.add(dim_param="columns")
    return proto


def timed(tool: str, command: Sequence[str], path: Path, read: Callable[[str, int], tuple[str, ...]]) -> Ran:
    """Runs a tool on a file."""
    started = time.monotonic()
    env = environment() if tool != "polygraphy" else {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    process = subprocess.Popen(command, cwd=path.parent, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    said = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    found = read(said, os.waitstatus_to_exitcode(status))
    return Ran(tool, path.name, found, round(seconds, 2), usage.ru_maxrss // 1024)


def by_gradlint(path: Path) -> Ran:
    out = path.with_suffix(".gradlint.json")
    command = [sys.executable, "-m", "gradlint", path.name, "-q", "--notes", "--no-cache", "--isolated"]

    def read(_said: str, _code: int) -> tuple[str, ...]:
        findings = json.loads(out.read_text())["findings"]
        return tuple(f"{one['code']} {one['severity']} {one['name']}" for one in findings)

    return timed("gradlint", [*command, "--output", f"json:{out}"], path, read)


def by_checker(path: Path) -> Ran:
    def read(said: str, code: int) -> tuple[str, ...]:
        lines = [line for line in said.splitlines() if line.strip()]
        return () if code == 0 else (next((line for line in lines if "Error" in line), "failed")[:100],)

    return timed("onnx.checker", [sys.executable, "-c", CHECKER, path.name], path, read)


def by_polygraphy(path: Path, python: str) -> Ran:
    out = path.with_suffix(".polygraphy.json")
    command = [str(Path(python).parent / "polygraphy"), "check", "lint", path.name, "-o", str(out)]

    def read(said: str, code: int) -> tuple[str, ...]:
        if not out.is_file():
            return () if code == 0 else (f"failed: {said.strip().splitlines()[-1][:100]}",)
        entries = json.loads(out.read_text())["lint_entries"]
        return tuple(f"{one['level']} {one['source']}: {' '.join(one['message'].split())[:80]}" for one in entries)

    return timed("polygraphy", command, path, read)


def compared(path: Path, python: str | None) -> Iterator[Ran]:
    """What every tool says of one file."""
    yield by_gradlint(path)
    yield by_checker(path)
    if python is not None:
        yield by_polygraphy(path, python)


def summary(tool: str, own: Sequence[Ran], real: Container[str]) -> str:
    """How many of the planted faults a tool found, what it said of files without one, and what it cost."""
    loud = {ran.file for ran in own if any(" note " not in said for said in ran.found)}
    faulty = [ran.file for ran in own if ran.file not in real and ran.file != f"{SOUND}.onnx"]
    clean = [ran.file for ran in own if ran.file not in faulty]
    found, said = len(loud.intersection(faulty)), len(loud.intersection(clean))
    seconds = statistics.median(ran.seconds for ran in own)
    cost = f"{seconds:.2f} s in the median, {max(ran.mebibytes for ran in own)} MiB at most"
    return f"{tool}: {found} of {len(faulty)} faults, something said of {said} of {len(clean)} other files, {cost}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--python", help="a Python that has polygraphy, onnx-graphsurgeon and onnxruntime")
    parser.add_argument("--json", type=Path, help="where all results are written")
    chosen = parser.parse_args()
    every: list[Ran] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, proto in planted():
            paths.append(Path(folder, f"{name.replace(' ', '_')}.onnx"))
            onnx.save(_typed(proto), paths[-1])
        for path in chosen.files:
            paths.append(Path(folder, path.name))
            paths[-1].symlink_to(path.resolve())
        for path in paths:
            for ran in compared(path, chosen.python):
                every.append(ran)
                said = "; ".join(ran.found[:MOST_SHOWN]) or "-"
                print(f"{ran.file:32} {ran.tool:13} {ran.seconds:6.2f} s {ran.mebibytes:5} MiB  {said}", flush=True)
    for tool in dict.fromkeys(ran.tool for ran in every):
        print(summary(tool, [ran for ran in every if ran.tool == tool], {path.name for path in chosen.files}))
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(ran) for ran in every], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
