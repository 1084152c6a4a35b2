"""From file to findings by size: `python -m tests.benchmarks.onnx_scale [NODES...]` (1,000 to 1,000,000).

Each file holds residual blocks of a linear map, a bias, a ReLU, a reshape and a sum. It is linted by the command in a
process of its own, without a cache; reported are wall and processor seconds and the largest resident set of all its
processes, and how the processor time grows from one size to the next.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.command import environment

SIZES = (1_000, 10_000, 100_000, 1_000_000)
WIDTH, BLOCK = 8, 5
WEIGHTS_PER_NODE = 20
LIMITS = ("--timeout", "1200", "--memory", "8192")


def residual(nodes: int) -> onnx.ModelProto:
    """A chain of residual blocks with so many nodes in all; one weight serves several blocks."""
    model = onnx.ModelProto(ir_version=10)
    model.opset_import.add(domain="", version=20)
    graph = model.graph
    graph.name = "residual"
    weights = max(nodes // WEIGHTS_PER_NODE, 1)
    matrix = np.zeros((WIDTH, WIDTH), np.float32)
    graph.initializer.extend(numpy_helper.from_array(matrix, f"w{n}") for n in range(weights))
    graph.initializer.extend(numpy_helper.from_array(matrix[0], f"b{n}") for n in range(weights))
    graph.initializer.append(numpy_helper.from_array(np.array([1, WIDTH]), "shape"))
    for block in range(nodes // BLOCK):
        own = block % weights
        for op_type, inputs, output in (
            ("MatMul", (f"x{block}", f"w{own}"), "m"),
            ("Add", (f"m{block}", f"b{own}"), "a"),
            ("Relu", (f"a{block}",), "r"),
            ("Reshape", (f"r{block}", "shape"), "h"),
        ):
            graph.node.add(op_type=op_type, input=inputs, output=[f"{output}{block}"], name=f"/{block}/{op_type}")
        graph.node.add(op_type="Add", input=[f"h{block}", f"x{block}"], output=[f"x{block + 1}"], name=f"/{block}/Sum")
    graph.input.append(helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1, WIDTH]))
    graph.output.append(helper.make_tensor_value_info(f"x{nodes // BLOCK}", TensorProto.FLOAT, [1, WIDTH]))
    return model


def measured(path: Path) -> tuple[float, float, int]:
    """Wall seconds, processor seconds and MiB of one run."""
    command = [sys.executable, "-m", "gradlint", path.name, "-q", "--no-cache", "--isolated", *LIMITS]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=path.parent, env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{path.name}: exit code {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    before: tuple[int, float] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for nodes in parser.parse_args().sizes:
            path = Path(folder, f"residual_{nodes}.onnx")
            path.write_bytes(residual(nodes).SerializeToString())
            wall, processor, mebibytes = measured(path)
            growth = f"{(processor / before[1]) / (nodes / before[0]):5.2f} of linear" if before else ""
            print(f"{nodes:9,} nodes {wall:7.2f} s {processor:7.2f} s cpu {mebibytes:5} MiB {growth}", flush=True)
            before = nodes, processor


if __name__ == "__main__":
    main()
