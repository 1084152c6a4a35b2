"""The graph that is read from source against the graph that is recorded, op by op.

    pip install transformers && pip install --no-deps torchvision==0.28.0 timm
    python -m tests.benchmarks.agreement --json agreement.json [FOLDER...]

The models are the programs of the truth benchmark (stages of torchvision, timm and transformers architectures, and
ones written out in full) and the models of the Python files in the folders that are named. Every model is compared on
one forward pass, from its parameters and inputs to its outputs; what made the inputs, a buffer or a parameter before
is data. An op's entry is its canonical name, its path in the module tree, the literal arguments of layers, and what its
operands are (a parameter's name, data, an op). Two graphs are exact when they have the same entries as often. An op
that the recorder saw and the source graph has not is lost; it is lost in silence when the source graph calls itself
complete. A choice between values that the source graph leaves open is not exact, but hides nothing: what has one of
them as an operand counts as lost only where none of its ways is the recorded one.
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
from gradlint.graph import ModelGraph, Node, NodeKind, ValueKind
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

LAYOUT = frozenset({"contiguous"})
"""Ops that change the layout of memory and no value: they hand back the tensor itself where it is laid out so already,
and then nothing is recorded."""

OR = " or "
FORWARDS = frozenset({"forward", "__call__"})

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
    hidden: int = 0
    first: str = ""

    @property
    def silent(self) -> bool:
        """Whether ops were lost though the source graph calls itself complete."""
        return self.hidden > 0 and self.complete


@dataclass(frozen=True)
class Forward:
    """The ops of one forward pass: the values between a model's parameters and inputs and its outputs."""

    graph: ModelGraph
    names: dict[int, str]
    inside: frozenset[int]


def forward_pass(graph: ModelGraph) -> Forward:
    """The forward pass of a graph's model."""
    names = {p.node: p.name for p in graph.model.parameters if p.node is not None}
    cone = graph.reaching(graph.model.outputs, lambda edge: edge.target not in names)
    learned = graph.reached(number for number in cone if number in names)
    ops_ = (graph.node(number) for number in cone - names.keys())
    inside = frozenset(n.id for n in ops_ if n.kind is NodeKind.OP and (n.id in learned or _in_forward(n)))
    return Forward(graph, names, inside)


def _in_forward(node: Node) -> bool:
    return any(frame.function.rpartition(".")[2] in FORWARDS for frame in node.frames)


def entries(forward: Forward) -> Counter[Entry]:
    """The ops of a forward pass, each as a value that can be compared."""
    found = map(forward.graph.node, sorted(forward.inside, reverse=True))
    calls = {node.call: node for node in found if node.op not in JOINS | LAYOUT}
    return Counter(_entry(forward, node) for node in calls.values())


def _entry(forward: Forward, node: Node) -> Entry:
    """The entry of an op; a write into a view is one into its base as well, which is no operand of its own."""
    read = {edge.source for edge in forward.graph.incoming(node.id) if not _is_number(forward, edge.source)}
    bases = {edge.source for one in read for edge in forward.graph.incoming(one)} if node.inplace else set()
    sources = read - bases
    operands = Counter(_operand(forward, source) for source in sources)
    return (node.op, node.module, _literals(node), tuple(sorted(operands.items())))


def _is_number(forward: Forward, number: int) -> bool:
    """Whether an operand is a plain number from before the forward pass: a literal, wherever it was computed."""
    return number not in forward.inside and forward.graph.node(number).value not in (ValueKind.TENSOR, ValueKind.ARRAY)


def _operand(forward: Forward, number: int) -> str:
    node = forward.graph.node(number)
    if number in forward.names:
        return f"parameter {forward.names[number]}"
    if number not in forward.inside:
        return "data"
    before = next((edge.source for edge in forward.graph.incoming(number)), None)
    if node.op in LAYOUT and before is not None:
        return _operand(forward, before)
    if node.op in JOINS:
        inner = sorted({_operand(forward, edge.source) for edge in forward.graph.incoming(number)})
        return OR.join(inner)
    return node.op


def hidden(lost: Counter[Entry], added: Counter[Entry]) -> int:
    """How many lost ops none of the added ones stands for: the same op there, with all that it reads and maybe more.

    An argument that is not known stands for any, a choice for each of its options.
    """
    open_ = list(added.elements())
    count = 0
    for entry in lost.elements():
        stand_in = next((other for other in open_ if _may_be(entry, other)), None)
        count += stand_in is None
        if stand_in is not None:
            open_.remove(stand_in)
    return count


def _may_be(entry: Entry, other: Entry) -> bool:
    options = {option for operand, _ in other[3] for option in operand.split(OR)}
    same = entry[:2] == other[:2] and set(other[2]) <= set(entry[2])
    return same and {operand for operand, _ in entry[3]} <= options


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
    wanted, got = entries(forward_pass(recorded)), entries(forward_pass(static))
    lost, added = wanted - got, got - wanted
    first = next(iter([*lost, *added]), "")
    outcome = "differs" if lost or added else "exact"
    complete, unseen = static.model.complete, hidden(lost, added)
    return Agreement(program, name, outcome, wanted.total(), lost.total(), added.total(), complete, unseen, str(first))


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
    for graph in {graph.model.name: graph for graph in reversed(graphs)}.values():
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
