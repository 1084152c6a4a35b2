"""`gradlint profile` as a user runs it: the picture, JSON, event files, and words when there is nothing to show."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gradlint.analysis.verdicts import GradientEntry, Verdict, judged
from gradlint.graph import Parameter
from gradlint.report.profile.layers import lines
from tests.command import gradlint
from tests.onnx_file.models import model, node, value, weight

DEEP = """
import torch
from torch import nn


class Deep(nn.Module):
    def __init__(self, width=32, depth=9):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return x


def gradlint_inputs():
    return torch.randn(8, 32)
"""

CUT = """
import torch
from torch import nn


class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.only = nn.Linear(4, 2)

    def forward(self, x):
        return self.only(x).detach()


def gradlint_inputs():
    return torch.randn(8, 4)
"""


def written(folder: Path, text: str) -> None:
    (folder / "model.py").write_text(text)


def test_a_picture_has_a_line_for_each_layer_and_a_verdict(tmp_path: Path) -> None:
    written(tmp_path, DEEP)
    done = gradlint(tmp_path, "profile", "model.py")
    assert done.code == 0
    rows = [line for line in done.out.splitlines() if line.startswith("layers.")]
    assert [row.split()[0] for row in rows] == [f"layers.{n}.weight" for n in range(9)]
    bars = [row.count("\N{FULL BLOCK}") for row in rows]
    assert bars == sorted(bars)
    assert bars[0] < bars[-1]
    assert "vanishing" in done.out


def test_json_has_both_sizes_of_every_parameter(tmp_path: Path) -> None:
    written(tmp_path, DEEP)
    (model,) = gradlint(tmp_path, "profile", "model.py", "--format", "json").report["models"]
    profile = model["gradient_profile"]
    assert len(profile) == 18
    for entry in profile:
        assert set(entry) == {"parameter", "predicted_rms", "measured_rms"}
        assert abs(math.log10(entry["predicted_rms"] / entry["measured_rms"])) < 1


def test_the_lint_tells_the_same_profile(tmp_path: Path) -> None:
    written(tmp_path, DEEP)
    (model,) = gradlint(tmp_path, "check", "--isolated", "--output-format", "json", "model.py").report["models"]
    assert all(entry["predicted_rms"] and entry["measured_rms"] for entry in model["gradient_profile"])


def test_a_file_with_a_graph_is_predicted(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x first.weight", "hidden", transB=1), node("Tanh", "hidden", "active")]
    nodes.append(node("Gemm", "active second.weight", "scores", transB=1))
    weights = [weight("first.weight", 16, 8), weight("second.weight", 4, 16)]
    net = model(nodes, [value("x", 5, 8)], ["scores"], weights)
    (tmp_path / "net.onnx").write_bytes(net.SerializeToString())
    done = gradlint(tmp_path, "profile", "net.onnx")
    assert done.code == 0
    assert "nothing was measured" in done.out
    assert "first.weight" in done.out


def test_a_graph_without_shapes_is_no_empty_table(tmp_path: Path) -> None:
    nodes = [node("NonZero", "x", "places"), node("Cast", "places", "numbers", to=1)]
    nodes.append(node("Gemm", "numbers first.weight", "scores", transB=1))
    net = model(nodes, [value("x", 5, 8)], ["scores"], [weight("first.weight", 16, 8)])
    (tmp_path / "net.onnx").write_bytes(net.SerializeToString())
    assert "the shapes of its values are not known" in gradlint(tmp_path, "profile", "net.onnx").out


def test_what_underflows_is_told_from_what_starts_at_zero(tmp_path: Path) -> None:
    written(tmp_path, DEEP.replace("depth=9", "depth=70"))
    done = gradlint(tmp_path, "profile", "model.py")
    assert "0 exactly: too small for its dtype" in done.out
    assert "vanishing" in done.out


def test_a_model_without_a_gradient_is_no_empty_table(tmp_path: Path) -> None:
    written(tmp_path, CUT)
    done = gradlint(tmp_path, "profile", "model.py")
    assert "no parameter gets a gradient" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("profile", "model.py", "--format", "jsn"), "did you mean"),
        (("profile", "."), "a folder holds many models"),
        (("profile", "absent.py"), "absent.py"),
    ],
)
def test_wrong_words_are_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    written(tmp_path, DEEP)
    done = gradlint(tmp_path, *arguments)
    assert done.code == 2
    assert not done.out
    assert words in done.notes[-1]


def test_event_files_lie_beside_the_trainings_own(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written(tmp_path, DEEP)
    done = gradlint(tmp_path, "profile", "model.py", "--tensorboard", "runs")
    assert done.code == 0
    for run in ("gradlint_measured", "gradlint_predicted"):
        read = EventAccumulator(str(tmp_path / "runs" / run)).Reload()
        (event,) = read.Scalars("gradient_rms/layers.8.weight")
        assert event.step == 0
        assert event.value > 0.01


def test_a_missing_tensorboard_is_said(tmp_path: Path) -> None:
    (tmp_path / "tensorboard.py").write_text("raise ImportError")
    written(tmp_path, DEEP)
    done = gradlint(tmp_path, "profile", "model.py", "--tensorboard", "runs")
    assert done.code == 2
    assert "pip install" in done.err


def entry(name: str, size: float, shape: tuple[int, ...] = (8, 8)) -> GradientEntry:
    return GradientEntry(Parameter(name, shape, math.prod(shape)), None, size)


def test_repeated_layers_are_folded_where_they_are_many() -> None:
    blocks = [entry(f"blocks.{n}.{part}.weight", 10.0**-n) for n in range(20) for part in ("inner", "outer")]
    found = lines([entry("stem.weight", 1.0), *blocks, entry("head.weight", 1.0, (2, 8))])
    assert [line.name for line in found] == [
        "stem.weight",
        "blocks.{0..19}.inner.weight",
        "blocks.{0..19}.outer.weight",
        "head.weight",
    ]
    assert found[1].range(lambda one: one.measured) == (10.0**-19, 1.0)


def test_few_layers_stand_alone() -> None:
    assert len(lines([entry(f"net.{n}.weight", 1.0) for n in range(9)])) == 9


@pytest.mark.parametrize(
    ("sizes", "verdict"),
    [
        ([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0], Verdict.VANISHING),
        ([1e5, 1e4, 1e2, 1e1, 1.0], Verdict.EXPLODING),
        ([0.5, 1.0, 0.2, 0.7], Verdict.HEALTHY),
        ([1.0, 0.0, 0.9, 0.0, 1.1, 0.0, 1.0], Verdict.HEALTHY),
        ([0.0, 0.0, 1e-38, 1e-20, 1.0], Verdict.VANISHING),
        ([1.0, 1.0], Verdict.UNKNOWN),
    ],
)
def test_a_profile_is_judged_by_its_quarters(sizes: list[float], verdict: Verdict) -> None:
    assert judged(sizes).verdict is verdict
