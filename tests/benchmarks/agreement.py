"""The graph that is read from source against the graph that is recorded, op by op.

    pip install transformers && pip install --no-deps torchvision==0.28.0 timm
    python -m tests.benchmarks.agreement --json agreement.json [FOLDER...]

The models are the programs of the truth benchmark (stages of torchvision, timm and transformers architectures, and
ones written out in full) and the models of the Python files in the folders that are named. Every model is compared on
one forward pass, from its parameters and inputs to its outputs. An op's entry is its canonical name, its path in the
module tree, the literal arguments of layers, and what its operands are (a parameter's name, an input, an op). Two
graphs are exact when they have the same entries as often. An op that the recorder saw and the source graph has not is
lost; it is lost in silence when the source graph calls itself complete.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gradlint import ops
from gradlint.config import Settings
from gradlint.discover import parse
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.recording import decode
from gradlint.source import read
from gradlint.tracing import job
from gradlint.worker import Limits, Worker

from .truth.cases import MODELS, sources

SECONDS, MIB = 120.0, 6000
LAYERS = frozenset({ops.Kind.CONV, ops.Kind.NORM, ops.Kind.POOL, ops.Kind.ACTIVATION, ops.Kind.DROPOUT})
"""Kinds of op whose literal arguments are compared; those of reshapes follow from the input that was made up."""

JOINS = frozenset({"phi"})
"""Nodes of the source graph that stand for a choice between values and are no ops."""

Entry = tuple[Any, ...]


@dataclass(frozen=True)
class Agreement:
    """What became of one model: "exact", "differs", "unread" (no source graph) or "unrecorded"."""

    program: str
    model: str
    outcome: str
    ops: int = 0
    lost: int = 0
    added: int = 0
    complete: bool = False
    first: str = ""

    @property
    def silent(self) -> bool:
        """Whether ops were lost though the source graph calls itself complete."""
        return self.lost > 0 and self.complete


def entries(graph: ModelGraph) -> Counter[Entry]:
    """The ops between a model's inputs and its outputs, each as a value that can be compared."""
    inside = graph.reaching(graph.model.outputs)
    names = {p.node: p.name for p in graph.model.parameters if p.node is not None}
    found = (graph.node(number) for number in inside)
    calls = {node.call: node for node in found if node.kind is NodeKind.OP and node.op not in JOINS}
    return Counter(_entry(graph, node, names) for node in calls.values())


def _entry(graph: ModelGraph, node: Node, names: dict[int, str]) -> Entry:
    operands = Counter(_operand(graph, edge.source, names) for edge in graph.incoming(node.id))
    return (node.op, node.module, _literals(node), tuple(sorted(operands.items())))


def _operand(graph: ModelGraph, number: int, names: dict[int, str]) -> str:
    node = graph.node(number)
    if number in names:
        return f"parameter {names[number]}"
    if node.op in JOINS:
        inner = sorted({_operand(graph, edge.source, names) for edge in graph.incoming(number)})
        return " or ".join(inner)
    return node.op if node.kind is NodeKind.OP else "data"


def _literals(node: Node) -> Entry:
    known = ops.facts(node.op)
    if known is None or known.kind not in LAYERS:
        return ()
    return tuple(sorted((key, repr(value)) for key, value in node.literals.items()))


def compare(program: str, recorded: ModelGraph, static: ModelGraph | None) -> Agreement:
    """One model's two graphs."""
    name = recorded.model.name
    if static is None:
        return Agreement(program, name, "unread")
    wanted, got = entries(recorded), entries(static)
    lost, added = wanted - got, got - wanted
    first = next(iter([*lost, *added]), "")
    outcome = "differs" if lost or added else "exact"
    complete = static.model.complete
    return Agreement(program, name, outcome, wanted.total(), lost.total(), added.total(), complete, str(first))


def recorded_graphs(file: Path, worker: Worker) -> list[ModelGraph]:
    """The graphs of one file's models as the recorder has them; none when it cannot."""
    settings = Settings(timeout=SECONDS, memory=MIB)
    outcome = worker.run(job(parse(str(file), settings), settings), Limits(SECONDS, MIB))
    payload = outcome.payload or {}
    return list(decode(payload["recording"]).graphs()) if "recording" in payload else []


def examine(program: str, file: Path, worker: Worker) -> Iterator[Agreement]:
    """The agreement of every model of one file."""
    graphs = [graph for graph in recorded_graphs(file, worker) if graph.model.outputs]
    if not graphs:
        yield Agreement(program, "", "unrecorded")
        return
    read_graphs = {graph.model.name: graph for graph in read_file(read(file), Project(str(file.parent))).graphs}
    for graph in graphs:
        yield compare(program, graph, read_graphs.get(graph.model.name))


def programs(folders: list[Path], scratch: Path) -> Iterator[tuple[str, Path]]:
    """Every program of the benchmark by its name, written out where it is a text."""
    operators = MODELS.parent / "torchvision_operators.py"
    (scratch / operators.name).write_text(operators.read_text())
    for name, text in sources().items():
        file = scratch / f"{name}.py"
        file.write_text(text)
        yield name, file
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            yield str(file.relative_to(folder)), file


def show(found: list[Agreement]) -> None:
    """The table as Markdown, then each model that is not exact."""
    judged = [a for a in found if a.outcome != "unrecorded"]
    exact = sum(a.outcome == "exact" for a in judged)
    silent = [a for a in judged if a.silent]
    print("| models | exact | ops | lost | lost in silence |\n|---|---|---|---|---|")
    share = 100 * exact / len(judged) if judged else 0.0
    total, lost = sum(a.ops for a in judged), sum(a.lost for a in judged)
    print(f"| {len(judged)} | {exact} ({share:.1f} %) | {total:,} | {lost:,} | {len(silent)} models |\n")
    for a in judged:
        if a.outcome != "exact":
            mark = "SILENT " if a.silent else ""
            print(f"{mark}{a.program}:{a.model} {a.outcome} lost {a.lost} added {a.added} of {a.ops}: {a.first[:200]}")


def main() -> None:
    options = argparse.ArgumentParser(description="The graph read from source against the recorded one, op by op.")
    options.add_argument("folders", nargs="*", type=Path)
    options.add_argument("--only", help="programs whose name contains this")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch, Worker() as worker:
        worker.start()
        chosen = [(n, f) for n, f in programs(given.folders, Path(scratch)) if not given.only or given.only in n]
        found = [agreement for name, file in chosen for agreement in examine(name, file, worker)]
    show(found)
    if given.json:
        given.json.write_text(json.dumps([asdict(a) for a in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
