"""What a `.pt2` shows: parameters by their names, gradient facts, graphs inside of graphs, places, dropped weights."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export.pt2_archive._package import package_pt2

from gradlint.analysis.reach import reach
from gradlint.config import Settings
from gradlint.finding import Severity
from gradlint.frontends.exported_program.reading import read
from gradlint.graph import NodeKind, Passage, Reason
from gradlint.proving import found_in
from gradlint.registry import configured
from tests.exported_program.programs import PATH, Small, exported, graph_of, starved, without_gradient

BATCH = torch.randn(2, 4)


class Frozen(nn.Module):
    """A part under `no_grad`, with gradient switched on again inside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        h = self.first(x)
        with torch.no_grad():
            k = self.second(h)
            with torch.enable_grad():
                h = h * self.third(x)
        return h + k


class Branches(nn.Module):
    """A branch that is decided when the program runs."""

    def __init__(self) -> None:
        super().__init__()
        self.yes, self.no, self.head = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.cond(x.sum() > 0, self.open, self.shut, (x,)))

    def open(self, x: Tensor) -> Any:
        return self.yes(x)

    def shut(self, x: Tensor) -> Any:
        return self.no(x).detach()


class Views(nn.Module):
    """Writes in place through views, into values that are read later under their old names."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.extra, self.lost = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        h = torch.zeros(2, 4)
        h[:, 1:] = self.body(x)[:, 1:]
        h[:, 0].add_(self.extra(x)[:, 0])
        h.detach().copy_(self.lost(x) * 0 + h)
        return h.relu_()


class Tied(nn.Module):
    """One weight under two names, and a layer that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.table.weight
        self.spare = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))

    def forward(self, tokens: Tensor) -> Any:
        return self.head(self.table(tokens))


class Number(nn.Module):
    """A result that leaves torch as a number and comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.body = nn.Linear(4, 1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.body(x) * self.scale(x).sum().item()


class Caught(nn.Module):
    """A weight in a plain list: torch.export makes a constant of it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.kept = [torch.randn(4)]

    def forward(self, x: Tensor) -> Any:
        return self.body(x) * self.kept[0] + torch.tensor([1.0, 2.0, 3.0, 4.0])


class Counting(nn.Module):
    """A loop on tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return torch.stack([torch.tanh(row) for row in self.body(x)])


MODELS = [
    (Small(), BATCH),
    (Small(lambda h: h * h.argmax(-1, keepdim=True)), BATCH),
    (Small(lambda h: h.detach()), BATCH),
    (Small(lambda h: (h > 0).float()), BATCH),
    (Small(lambda h: h.long().float()), BATCH),
    (Small(lambda h: h + h.topk(4)[1]), BATCH),
    (Small(lambda h: h.clone().relu_()), BATCH),
    (Frozen(), BATCH),
    (Views(), BATCH),
    (Tied(), torch.randint(7, (2, 3))),
    (Number(), BATCH),
    (Caught(), BATCH),
    (Counting(), BATCH),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten()), torch.randn(2, 1, 4, 4)),
    (nn.LSTM(4, 3, num_layers=2, batch_first=True), torch.randn(2, 5, 4)),
    (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), torch.randn(2, 5, 4)),
]


@pytest.mark.parametrize(("model", "batch"), MODELS, ids=lambda value: type(value).__name__)
def test_the_same_parameters_starve_as_in_torch(model: nn.Module, batch: Tensor) -> None:
    assert starved(exported(model, batch)) == without_gradient(model, batch)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "batch"), MODELS, ids=lambda value: type(value).__name__)
def test_a_strict_export_shows_the_same(model: nn.Module, batch: Tensor) -> None:
    assert starved(exported(model, batch, strict=True)) == without_gradient(model, batch)


def test_a_rounding_has_a_zero_gradient() -> None:
    assert starved(exported(Small(torch.round), BATCH)) == {"before.weight", "before.bias"}


def test_both_branches_are_open() -> None:
    graph = graph_of(exported(Branches(), BATCH))
    assert set(reach(graph).starved) == {"no.weight", "no.bias"}
    assert [node.op for node in graph.nodes if node.op == "phi"] == ["phi"]


def test_grad_mode_blocks_inside_and_nowhere_else() -> None:
    graph = graph_of(exported(Frozen(), BATCH))
    shut = {graph.node(edge.target).module for edge in graph.edges if edge.reason is Reason.GRAD_DISABLED}
    assert shut == {"second"}
    assert {node.module for node in graph.nodes if not node.grad_enabled} == {"second"}


@pytest.mark.parametrize("strict", [False, True])
def test_weights_that_nothing_reads_are_unused(strict: bool) -> None:
    graph = graph_of(exported(Tied(), torch.randint(7, (2, 3)), strict=strict))
    names = [p.name for p in graph.model.parameters]
    assert names == ["table.weight", "spare.0.weight", "spare.0.bias", "spare.1.weight", "spare.1.bias"]
    assert {p.unused_part for p in graph.model.parameters if p.node is None} == {"spare"}


def test_frozen_parameters_and_buffers_do_not_count() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model[0].requires_grad_(False)
    graph = graph_of(exported(model, BATCH))
    assert [p.name for p in graph.model.trainable] == ["1.weight", "1.bias"]
    assert {node.name for node in graph.nodes if node.kind is NodeKind.BUFFER} >= {"1.running_mean", "1.running_var"}


def test_a_constant_is_no_parameter() -> None:
    graph = graph_of(exported(Caught(), BATCH))
    assert [p.name for p in graph.model.parameters] == ["body.weight", "body.bias"]
    assert sum(node.kind is NodeKind.CONSTANT for node in graph.nodes) == len(("kept", "literal"))


class Literal(nn.Module):
    """A constant that is spelled out where it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.body(x) * torch.tensor([1.0, 2.0, 3.0, 4.0])


def test_what_may_have_been_a_parameter_leaves_the_model_open() -> None:
    assert not graph_of(exported(Caught(), BATCH)).model.closed
    assert graph_of(exported(Literal(), BATCH)).model.closed


def test_ops_have_the_names_of_their_authors() -> None:
    graph = graph_of(exported(Small(lambda h: h.long().float().to(torch.float64).float()), BATCH))
    assert [node.op for node in graph.nodes if node.kind is NodeKind.OP] == [
        "linear",
        "long",
        "float",
        "to",
        "float",
        "linear",
    ]
    assert [e.reason for e in graph.edges if e.passage is Passage.BLOCKED][:1] == [Reason.INTEGER_CAST]


def test_values_have_modules_shapes_types_and_literals() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.25), nn.Softmax(dim=1))
    ops = {n.op: n for n in graph_of(exported(model, BATCH)).nodes if n.kind is NodeKind.OP}
    assert [node.module for node in ops.values()] == ["0", "1", "2"]
    assert {(node.dtype, node.shape) for node in ops.values()} == {("float32", (2, 6))}
    assert ops["dropout"].literals["p"] == 0.25
    assert ops["softmax"].literals["dim"] == 1


def test_a_size_that_is_not_fixed_is_not_known() -> None:
    size = torch.export.Dim("size")
    program = torch.export.export(Small(), (BATCH,), dynamic_shapes={"x": {0: size}})
    file = io.BytesIO()
    torch.export.save(program, file)
    graph = graph_of(file.getvalue())
    assert {node.shape for node in graph.nodes if node.kind is NodeKind.OP} == {None}
    assert graph.model.inputs == ("float32[?, 4]",)
    assert not reach(graph).starved


SOURCE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.before = nn.Linear(4, 4)
        self.after = nn.Linear(4, 2)

    def forward(self, x):
        h = self.before(x)
        return self.after(h.detach())
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A program whose source lies in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE, encoding="utf-8")
    scope: dict[str, Any] = {"__name__": "net"}
    exec(compile(SOURCE, str(tmp_path / "net.py"), "exec"), scope)
    return exported(scope["Net"](), BATCH)


def test_places_are_those_of_the_source(net: bytes) -> None:
    graph = graph_of(net)
    (detach,) = (node for node in graph.nodes if node.op == "detach")
    assert [(frame.path, frame.line, frame.function) for frame in detach.frames] == [
        ("net.py", 13, "forward"),
    ]
    assert graph.model.name == "Net"


def test_files_outside_of_the_working_folder_are_no_places(
    net: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    graph = graph_of(net)
    assert {frame.path for node in graph.nodes for frame in node.frames} == {PATH}


def test_several_programs_are_several_models() -> None:
    file = io.BytesIO()
    programs = {name: torch.export.export(Small(), (BATCH,)) for name in ("encode", "decode")}
    package_pt2(file, exported_programs=programs)
    models = read(PATH, file).models
    assert sorted(len(model.parameters) for model in models) == [4, 4]


@pytest.mark.parametrize("model", [Small(), Frozen(), Views()], ids=lambda value: type(value).__name__)
def test_a_decomposed_program_is_read(model: nn.Module) -> None:
    graph = graph_of(exported(model, BATCH, decompose=True))
    assert graph.model.complete
    assert {p.name for p in graph.model.parameters} == {name for name, _ in model.named_parameters()}


class Deployed(nn.Module):
    """A classifier that answers with a class, and one that goes on behind its choice."""

    def __init__(self, goes_on: bool) -> None:
        super().__init__()
        self.body = nn.Linear(4, 5)
        self.table = nn.Embedding(5, 3) if goes_on else None

    def forward(self, x: Tensor) -> Any:
        choice = self.body(x).argmax(dim=-1)
        return choice if self.table is None else self.table(choice)


@pytest.mark.parametrize(("goes_on", "severity"), [(False, Severity.NOTE), (True, Severity.ERROR)])
def test_a_choice_behind_the_last_weight_is_a_note(goes_on: bool, severity: Severity) -> None:
    graph = graph_of(exported(Deployed(goes_on), BATCH))
    (found,) = (f for f in found_in([graph], configured(Settings())) if f.code == "GL105")
    assert found.severity is severity
    assert found.parameters == ("body.weight", "body.bias")


def test_the_layout_of_older_versions_is_read() -> None:
    old = zipfile.ZipFile(io.BytesIO(exported(Small(), BATCH)))
    (program,) = (old.read(name) for name in old.namelist() if "/models/" in name)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("serialized_exported_program.json", program)
    assert [p.name for p in graph_of(file.getvalue()).model.parameters] == [
        "before.weight",
        "before.bias",
        "after.weight",
        "after.bias",
    ]


class Straight(torch.autograd.Function):
    """Rounds, and passes the gradient on as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ARG004
        return gradients[0]


def test_a_backward_that_an_export_leaves_out_is_not_held_against_the_model() -> None:
    def between(h: Tensor) -> Any:
        return Straight.apply(h)

    graph = graph_of(exported(Small(between), BATCH))
    assert not reach(graph).starved
    assert Reason.CUSTOM_FUNCTION in {edge.reason for edge in graph.edges}


def test_moments_are_those_of_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4).to(torch.float32))
    torch.nn.init.normal_(net[2].weight, std=3.0)
    file = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (torch.randn(2, 16),)), file)
    told = {p.name: p.moments for p in read(str(file)).models[0].parameters}
    for name, value in net.named_parameters():
        moments = told[name]
        assert moments is not None
        assert moments.square == pytest.approx(value.square().mean().item(), rel=1e-5)
