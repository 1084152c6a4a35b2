"""Graphs as `torch.fx` code that runs, and as ONNX models that the checker accepts."""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from gradlint.frontends.recorder.live import record
from gradlint.frontends.written_graphs.fx import FACTS, fx_graph
from gradlint.frontends.written_graphs.onnx_model import DOMAIN, model_of, written
from gradlint.graph import ModelGraph
from gradlint.report.graph.onnx import kept
from gradlint.report.graph.shown import shown
from tests.command import gradlint
from tests.graph_command.building import Sketch
from tests.graph_command.test_command import NETS
from tests.graph_command.test_formats import NASTY, cut_net, named


class Attention(nn.Module):
    """Joins, splits, softmax and scalars."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Any:
        scores = torch.softmax(torch.matmul(self.query(x), self.key(x).transpose(-1, -2)) / 2, dim=-1)
        picked, _ = torch.topk(scores, 2)
        return torch.cat([self.norm(x) * self.scale, picked], dim=-1)


MODELS: list[tuple[nn.Module, Tensor]] = [
    (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 2), nn.Softmax(dim=1)), torch.randn(2, 4)),
    (
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2)),
        torch.randn(2, 1, 4, 4),
    ),
    (Attention(), torch.randn(3, 4)),
]


def recorded(model: nn.Module, batch: Tensor) -> tuple[ModelGraph, list[int]]:
    (graph,) = record(model, batch).graphs()
    return graph, kept(shown(graph))


@pytest.mark.parametrize(("model", "batch"), MODELS, ids=lambda value: type(value).__name__)
def test_fx_code_computes_what_the_model_computes(model: nn.Module, batch: Tensor) -> None:
    made = fx_graph(*recorded(model, batch))
    made.lint()
    assert torch.equal(torch.fx.GraphModule(model, made)(batch), model(batch))


def test_fx_nodes_carry_the_facts_of_their_edges() -> None:
    graph = cut_net()
    made = fx_graph(graph, kept(shown(graph)))
    (detach,) = (node for node in made.nodes if node.name == "detach")
    assert detach.meta[FACTS] == {"add_3": ("blocked", "detach")}


@given(NASTY)
@settings(deadline=None)
def test_fx_code_is_python_whatever_the_names_are(name: str) -> None:
    graph = named(name)
    compile(fx_graph(graph, kept(shown(graph))).python_code("self").src, "code", "exec")


@pytest.mark.parametrize(("model", "batch"), MODELS, ids=lambda value: type(value).__name__)
def test_onnx_models_are_valid(model: nn.Module, batch: Tensor) -> None:
    onnx.checker.check_model(model_of(*recorded(model, batch)), full_check=True)


def test_ops_of_the_standard_are_used_where_nothing_is_lost() -> None:
    made = model_of(*recorded(*MODELS[0]))
    assert [(node.domain, node.op_type) for node in made.graph.node] == [
        ("", "Gemm"),
        ("", "Relu"),
        (DOMAIN, "layer_norm"),
        ("", "Gemm"),
        ("", "Softmax"),
    ]


def test_a_number_becomes_a_constant() -> None:
    made = model_of(*recorded(MODELS[2][0], MODELS[2][1]))
    assert [node.op_type for node in made.graph.node if node.op_type in ("Constant", "Div")] == ["Constant", "Div"]


def test_facts_and_modules_are_metadata() -> None:
    graph = cut_net()
    made = model_of(graph, kept(shown(graph)))
    (detach,) = (node for node in made.graph.node if node.op_type == "detach")
    assert "blocked: detach" in [entry.value for entry in detach.metadata_props]
    assert "layers.0.up" in str(made.graph.node[1].metadata_props)


@given(NASTY)
@settings(deadline=None)
def test_onnx_is_valid_whatever_the_names_are(name: str) -> None:
    graph = named(name)
    onnx.checker.check_model(onnx.load_from_string(written(graph, kept(shown(graph)))))


def test_strange_arguments_are_written() -> None:
    sketch = Sketch()
    strange: dict[str, Any] = {"0": True, "a": 2**70, "b": [1, 2.5], "c": None, "d": [], "e": 1e400, "domain": "x"}
    graph = sketch.graph(sketch.op("mystery", sketch.input(), literals=strange))
    assert onnx.load_from_string(written(graph, kept(shown(graph)))).graph.node[0].op_type == "mystery"


def test_the_command_writes_both(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS, encoding="utf-8")
    code = gradlint(tmp_path, "graph", "nets.py:Net", "--format", "fx", "--source", "-q")
    assert code.out.startswith("def forward(self, ")
    assert not keyword.iskeyword(code.out.split("(self, ")[1].split(")")[0])
    done = gradlint(tmp_path, "graph", "nets.py:Net", "--format", "onnx", "-q", "--output", "net.onnx")
    assert (done.code, done.out, done.err) == (0, "", "")
    made = onnx.load(tmp_path / "net.onnx")
    assert [node.op_type for node in made.graph.node][-2:] == ["detach", "Gemm"]
