"""`gradlint graph` as a user runs it: on recorded models, on source, with wrong words."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from gradlint.report.graph.document import GraphDocument
from tests.command import gradlint
from tests.exported_program.programs import Small, exported
from tests.onnx_file.models import classifier, node, weight

NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x.detach())


class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.only = nn.Linear(4, 2)

    def forward(self, x):
        return self.only(x)
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("flags", [["--source"], []])
def test_a_model_is_shown_with_its_cut(here: Path, flags: list[str]) -> None:
    done = gradlint(here, "graph", "nets.py:Net", *flags)
    assert done.code == 0
    assert "2 of 8 get a gradient" in done.out
    assert "layers.0-2 \N{MULTIPLICATION SIGN}3" in done.out
    (cut,) = [line for line in done.out.splitlines() if "detach" in line]
    assert cut.startswith("x")
    assert cut.endswith("nets.py:15:26")


def test_both_front_ends_have_the_same_ops(here: Path) -> None:
    read, recorded = (
        GraphDocument.model_validate_json(gradlint(here, "graph", "nets.py:Net", "--format", "json", *flags).out)
        for flags in (["--source"], [])
    )
    assert (read.capture, recorded.capture) == ("source", "recorded")
    ops = [[(n.op, n.module) for n in made.nodes if n.kind == "op"] for made in (read, recorded)]
    assert ops[0] == ops[1]
    starved = [[w.name for w in made.parameters if w.starved] for made in (read, recorded)]
    assert starved[0] == starved[1]
    assert len(starved[0]) == 6


def test_a_graph_goes_to_a_file(here: Path) -> None:
    done = gradlint(here, "graph", "nets.py:Net", "--source", "--format", "dot", "--output", "net.dot")
    assert (done.code, done.out) == (0, "")
    assert (here / "net.dot").read_text(encoding="utf-8").startswith('digraph "Net" {')


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nets.py", "--source"], "nets.py has 2 models (Net, Other); choose one, as nets.py:NAME"),
        (["nets.py:Nett", "--source"], 'has no model "Nett" (did you mean "Net"?)'),
        (["nets.py:Net", "--format", "jsn"], "--format jsn: one of text, dot, mermaid, json, fx, onnx"),
        (["nets.py:Net", "--depth", "-1"], "--depth -1: a number of module levels"),
        (["nets.py:Net", "--format", "onnx"], "--format onnx: its bytes are for a file; add --output FILE"),
        (["."], ".: a folder holds many models; name one, such as model.py:Net"),
        (["nix.py"], "nix.py: no such file or folder"),
        (["nets.py:Net", "--source", "--output", "no/where.txt"], "no/where.txt: cannot be written"),
    ],
)
def test_mistakes_are_told_in_one_line(here: Path, arguments: list[str], told: str) -> None:
    done = gradlint(here, "graph", *arguments, "-q")
    assert done.code == 2
    assert len(done.notes) == 1
    assert told in done.err
    assert done.out == ""


def test_a_broken_file_is_told_in_one_line(here: Path) -> None:
    (here / "broken.py").write_text("import torch\nclass Net(torch.nn.Module:\n", encoding="utf-8")
    done = gradlint(here, "graph", "broken.py", "--source", "-q")
    assert done.code == 2
    assert done.notes[0].startswith("gradlint: error: broken.py:2:")
    assert len(done.notes) == 1


def test_a_file_without_models_is_told(here: Path) -> None:
    (here / "plain.py").write_text("import torch\nx = 1\n", encoding="utf-8")
    done = gradlint(here, "graph", "plain.py", "--source", "-q")
    assert (done.code, done.notes) == (2, ["gradlint: error: plain.py: no model to show"])


LOOP = """

def train():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        loss = model(torch.randn(8, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
"""


def test_of_a_training_loop_one_pass_is_shown(here: Path) -> None:
    (here / "loop.py").write_text(NETS.partition("class Other")[0] + LOOP, encoding="utf-8")
    done = gradlint(here, "graph", "loop.py", "-q")
    assert "get a gradient from the loss" in done.out
    assert sum("detach" in line for line in done.out.splitlines() if line.startswith("x ")) == 1
    assert done.out.count("head") == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_files_that_hold_a_graph_are_shown(here: Path) -> None:
    (here / "net.pt2").write_bytes(exported(Small(lambda h: h.detach()), torch.randn(2, 4)))
    torch.onnx.export(Small(), (torch.randn(2, 4),), here / "net.onnx", dynamo=False)
    program, model = (gradlint(here, "graph", name, "-q") for name in ("net.pt2", "net.onnx"))
    assert "Small  net.pt2:1  exported" in program.out
    assert "blocked: detach" in program.out
    assert "net.onnx:1  onnx" in model.out
    assert model.out.count("linear") == len(("before", "after"))


def test_a_broken_file_with_a_graph_is_told(here: Path) -> None:
    (here / "net.pt2").write_bytes(b"PK")
    done = gradlint(here, "graph", "net.pt2", "-q")
    assert done.code == 2
    assert done.notes == ["gradlint: error: net.pt2: it is no exported program: file is not a zip file"]


def test_a_file_without_lines_is_named_by_the_number_of_the_node(tmp_path: Path) -> None:
    tail = [node("ArgMax", "scores", "best", axis=1), node("Gather", "table best", "end")]
    onnx.save(classifier(*tail, end="end", more=[weight("table", 4, 6)]), tmp_path / "model.onnx")
    done = gradlint(tmp_path, "graph", "model.onnx")
    (cut,) = [line for line in done.out.splitlines() if "argmax" in line]
    assert "model.onnx:1:4" in cut
