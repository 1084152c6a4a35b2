"""A sample of the truth benchmark: labels by autograd, gradlint's answers, and the transformations themselves."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import pytest

pytest.importorskip("torch")

from tests.benchmarks.truth import cases, edits, library, oracle, summary, verdict

NEEDED = ("torchvision", "timm", "transformers")
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"
)

SAMPLE = 25
LEAST_MODELS, LEAST_WAYS, LEAST_LOOKALIKES = 80, 15, 10
OWN = "mlp_"
"""Models whose name holds this import nothing but torch, which keeps the quick tests quick."""

MODEL_OF = {"parameter-unregistered": "perceiver"}

STARVED_BELOW = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Linear(2, 2), nn.Linear(2, 1)

    def forward(self, x):
        return self.high(self.low(x){cut})


model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loss = model(torch.randn(3, 2)).pow(2).mean()
loss.backward()
optimizer.step()
"""


def test_there_are_enough_models_and_ways() -> None:
    assert len(cases.sources()) >= LEAST_MODELS
    every = cases.injections()
    assert sum(not injection.harmless for injection in every) >= LEAST_WAYS
    assert sum(injection.harmless for injection in every) >= LEAST_LOOKALIKES


def test_autograd_names_what_a_detach_starves() -> None:
    whole, cut = (oracle.run(STARVED_BELOW.format(cut=text)) for text in ("", ".detach()"))
    assert whole.starved("Net") == frozenset()
    assert cut.starved("Net") == {"low.weight", "low.bias"}


def test_a_zero_gradient_is_reached_but_zero() -> None:
    outcome = oracle.run(STARVED_BELOW.format(cut=".round()"))
    assert outcome.starved("Net") == frozenset()
    assert outcome.zero["Net"] >= {"low.weight", "low.bias"}


def test_a_loss_without_a_graph_starves_everything() -> None:
    outcome = oracle.run(STARVED_BELOW.format(cut="").replace(".mean()", ".mean().detach()"))
    assert outcome.refused
    assert outcome.starved("Net") == outcome.trainable["Net"]


def test_edits_know_the_lines_they_write() -> None:
    text = "a\nb\nc\n"
    edited, blamed = edits.apply(text, [edits.Edit(0, 0, "import z\n", blamed=False), edits.Edit(2, 3, "b1\nb2")])
    assert edited == "import z\na\nb1\nb2\nc\n"
    assert blamed == {3, 4}


def test_the_same_seed_draws_the_same_programs() -> None:
    first, second = (list(cases.draw_cases(4, 7, "detach", OWN)) for _ in range(2))
    assert first == second
    assert first != list(cases.draw_cases(4, 8, "detach", OWN))


@pytest.mark.parametrize("name", [injection.name for injection in cases.injections() if not injection.harmless])
def test_every_way_starves_something_somewhere(name: str) -> None:
    drawn = list(cases.draw_cases(6, 3, name, MODEL_OF.get(name, OWN)))
    assert any(case.loses for case in drawn if case.way == name)
    assert all(case.lines for case in drawn)


@pytest.mark.slow
def test_every_model_trains_as_it_stands() -> None:
    for name in cases.sources():
        base = cases.anatomy(name).base
        assert not any(base.starved(model) for model in base.trainable if base.reached[model]), name


@pytest.mark.slow
def test_library_wrappers_are_valid_programs() -> None:
    for program in library.programs():
        assert compile(program.text, program.name, "exec")


@pytest.mark.slow
def test_gradlint_agrees_with_autograd_on_a_sample(tmp_path: pathlib.Path) -> None:
    drawn = list(cases.draw_cases(SAMPLE, seed=2, stride=5))
    judged = verdict.judge(drawn, (sys.executable, "-m", "gradlint"), tmp_path, batch=SAMPLE, jobs=1)
    assert not summary.complaints(judged)
