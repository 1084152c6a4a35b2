"""The recorder on live models: facts, positions, and a model that is left as it was."""

from __future__ import annotations

import copy
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import gradlint
from gradlint.finding import Finding
from gradlint.frontends.recorder.live import record
from gradlint.frontends.recorder.session import Session
from gradlint.frontends.recorder.taint import origins, tracked
from gradlint.graph import Passage


class Cutting(nn.Module):
    """A linear layer before and one after a step that tests choose."""

    def __init__(self, step: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.before, self.after, self.step = nn.Linear(4, 4), nn.Linear(4, 2), step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.step(self.before(x)))


def errors(step: Callable[[torch.Tensor], torch.Tensor]) -> list[Finding]:
    """The errors on a model with this step in its middle."""
    found = gradlint.check(Cutting(step), torch.randn(3, 4)).findings
    return [finding for finding in found if finding.severity == "error"]


def through_numpy(x: torch.Tensor) -> torch.Tensor:
    rows = [np.tanh(row) for row in x.detach().numpy()]
    return torch.from_numpy(np.stack(rows))


@torch.no_grad()
def without_gradient(x: torch.Tensor) -> torch.Tensor:
    return x * 2


CUTS: list[tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = [
    ("detached-tensor", lambda x: x.detach()),
    ("detached-tensor", lambda x: x.data * 2),
    ("numpy-round-trip", through_numpy),
    ("rewrapped-tensor", lambda x: torch.tensor(x.tolist())),
    ("rewrapped-tensor", lambda x: torch.as_tensor(np.ones(1)).float() * torch.tensor([list(r) for r in x])),
    ("non-differentiable-op", lambda x: (x > 0).float()),
    ("non-differentiable-op", lambda x: nn.functional.one_hot(x.argmax(1), 4).float()),
    ("integer-cast", lambda x: x.long().float()),
    ("integer-cast", lambda x: x.to(torch.int32).to(x.dtype)),
    ("zero-gradient", lambda x: x.round()),
    ("zero-gradient", lambda x: x.sign() * 3),
    ("zero-gradient", lambda x: x * 0.0),
    ("gradient-disabled", without_gradient),
]


@pytest.mark.parametrize(("name", "step"), CUTS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(CUTS)])
def test_a_cut_is_named_and_starves_the_layer_before_it(
    name: str, step: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    (error,) = errors(step)
    assert error.name in (name, "scalar-round-trip" if name == "rewrapped-tensor" else name)
    assert error.parameters == ("before.weight", "before.bias")


NUMBERS = """
import math

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        total = sum(float(value) for value in self.before(x).flatten())
        return self.after(x * math.tanh(total))


def gradlint_inputs():
    return torch.randn(3, 4)
"""


def test_numbers_are_followed_through_python(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "numbers_net.py"
    file.write_text(NUMBERS)
    (error,) = gradlint.check_paths([str(file)], depth="trace").findings
    assert (error.name, error.line, error.column) == ("scalar-round-trip", 14, 21)
    assert error.parameters == ("before.weight", "before.bias")


HARMLESS: list[Callable[[torch.Tensor], torch.Tensor]] = [
    lambda x: x + (x.round() - x).detach(),
    lambda x: torch.where(x > 0, x, 0.1 * x),
    lambda x: x * x.detach().norm(),
    lambda x: x.gather(1, x.argsort(1)),
    lambda x: x.clamp(-1, 1),
    lambda x: x / (x.max().item() + 5),
    lambda x: torch.zeros_like(x).copy_(x),
    lambda x: x.view_as(torch.empty(3, 4)).contiguous(),
    lambda x: x.double().float(),
    lambda x: torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=False),
    lambda x: torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=True),
]


@pytest.mark.parametrize("step", HARMLESS, ids=map(str, range(len(HARMLESS))))
def test_what_keeps_a_way_open_is_no_error(step: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert errors(step) == []


def test_a_position_is_the_expression_of_the_user() -> None:
    (error,) = errors(lambda x: x.detach())
    line = pathlib.Path(error.path).read_text(encoding="utf-8").splitlines()[error.line - 1]
    assert line[error.column - 1 : error.end_column - 1] == "x.detach()"


def test_a_checked_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())
    model.eval()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    gradlint.check(model, torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(part.training for part in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_inplace_writes_make_new_versions() -> None:
    graph = next(record(Cutting(lambda x: x.mul_(2).add_(1)), torch.randn(3, 4)).graphs())
    writes = [node for node in graph.nodes if node.inplace]
    assert [node.op for node in writes] == ["mul", "add"]
    assert all(edge.source < edge.target for edge in graph.edges)
    assert all(edge.passage is Passage.FLOWS for node in writes for edge in graph.incoming(node.id))


@pytest.mark.parametrize("compute", [np.mean, np.exp, np.stack, lambda a: a[0] + a[1], lambda a: (a * 2).max()])
def test_arrays_remember_their_origin(compute: Callable[[object], object]) -> None:
    array = tracked(np.ones((2, 3), dtype=np.float32), frozenset({7}))
    assert origins([compute(array)]) == {7}


def test_failures_of_the_forward_are_told() -> None:
    with pytest.raises(Exception, match="forward pass failed"):
        gradlint.check(nn.Linear(3, 2), torch.randn(4, 7))


@pytest.mark.parametrize(("copied", "linked"), [(True, True), (False, False)])
def test_a_filled_copy_is_tied_to_what_it_copies(copied: bool, linked: bool) -> None:
    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.only(x)

    session = Session()
    with session.recording():
        model = Filled()
        weight = model.only.weight.data
        (weight.clone() if copied else weight).normal_()
    filled = next(number for number, node in enumerate(session.tape.nodes) if node.native == "normal_")
    assert bool(session.tape.sources.get(filled)) is linked
