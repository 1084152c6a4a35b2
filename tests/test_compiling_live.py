"""Where torch's compiler breaks the graph of a model that the caller holds, and where it could not be asked."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gradlint
from gradlint.finding import Finding, Report
from tests.command import gradlint as command

BATCH = torch.rand(4, 8)


class Scaled(nn.Module):
    """Takes a number out of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(torch.relu(self.first(x)))
        x = x * x.abs().max().item()
        last: torch.Tensor = self.last(x)
        return last


class Branching(nn.Module):
    """Decides by the value of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.only(x) if x.sum() > 1 else x
        return made


class Outer(nn.Module):
    """A model of which one part is compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.compile(Scaled(), backend="eager")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.inner(x)
        return made


LINE = Scaled.forward.__code__.co_firstlineno + 2
LARGE = """import torch
from torch import nn


class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 50_000), nn.ReLU(), nn.Linear(50_000, 50_000), nn.Linear(50_000, 2))

    def forward(self, x):
        return self.layers(x)


fast = torch.compile
"""


def breaks(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == "GL201"]


@pytest.mark.parametrize("options", [{"compile": True}, {"select": ("GL2",)}])
def test_the_compiler_is_asked_where_the_caller_wants_it(options: dict[str, Any]) -> None:
    (found,) = breaks(gradlint.check(Scaled(), BATCH, **options))
    assert (found.path, found.line, found.severity) == (__file__, LINE, "warning")
    assert "GB0124" in found.message
    assert "2 graphs" in found.message


def test_a_compiled_model_is_asked_about_by_itself() -> None:
    model: Any = torch.compile(Scaled(), backend="eager")
    report = gradlint.check(model, BATCH)
    (found,) = breaks(report)
    assert "GB0124" in found.message
    assert report.models[0].name == "Scaled"
    assert report.models[0].parameters == len(list(model.parameters()))


def test_a_model_with_a_compiled_part() -> None:
    model = Scaled()
    model.compile(backend="eager")
    for compiled in (model, Outer()):
        assert [found.line for found in breaks(gradlint.check(compiled, BATCH))] == [LINE]


def test_an_eager_model_is_not_compiled() -> None:
    report = gradlint.check(Scaled(), BATCH, notes=True)
    assert all("GB0" not in found.message for found in report.findings)


def test_what_torch_refuses_to_export() -> None:
    (found,) = gradlint.check(Branching(), BATCH, select=("GL204",)).findings
    assert found.line == Branching.forward.__code__.co_firstlineno + 1
    assert "data-dependent" in found.message.lower()


def test_a_compiled_model_stays_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    model = Scaled()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    level = logging.getLogger("torch._dynamo").level
    with caplog.at_level(logging.WARNING):
        gradlint.check(model, BATCH, compile=True)
    assert not [one for one in caplog.records if "Graph break" in one.getMessage()]
    assert logging.getLogger("torch._dynamo").level == level
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_too_large_for_values_is_told(tmp_path: Path) -> None:
    (tmp_path / "large.py").write_text(LARGE)
    done = command(tmp_path, "large.py", "--no-cache", "--memory", "2000")
    (line,) = [line for line in done.notes if "compiler was not asked" in line]
    assert "Large" in line
    assert "--memory" in line
    quiet = command(tmp_path, "large.py", "--no-cache", "--memory", "2000", "--select", "GL1")
    assert not [line for line in quiet.notes if "compiler" in line]
