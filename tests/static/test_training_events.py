"""Training steps read from source: which events a loop gives, in which order, about what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from gradlint.frame import Frame
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.recording import mapped_training
from gradlint.source import Source
from gradlint.training import Condition, Event, EventKind, TrainingStep

HEAD = """\
import torch
from torch import nn
from torch.nn import functional as F
"""

TRAINER = """
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def clear(self):
        self.optimizer.zero_grad()

    def update(self, loss):
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def fit(self, batches, epochs=5):
        for epoch in range(epochs):
            self.model.train()
            for x, y in batches:
                self.clear()
                self.update(F.mse_loss(self.model(x), y))


if __name__ == "__main__":
    Trainer(nn.Linear(3, 1)).fit([(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(8)])
"""

UNKNOWN = """
def train(model, loader, optimizer, scheduler, every):
    for index, (x, y) in enumerate(loader):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        if (index + 1) % every == 0:
            optimizer.step()
            optimizer.zero_grad()
    scheduler.step()
"""

GAN = """
def train(steps=10):
    maker, judge = nn.Linear(2, 2), nn.Linear(2, 1)
    first = torch.optim.Adam(maker.parameters(), lr=1e-4)
    second = torch.optim.Adam(judge.parameters(), lr=1e-4)
    for _ in range(steps):
        fake = maker(torch.randn(4, 2))
        first.zero_grad()
        judge(fake).mean().backward()
        first.step()
        second.zero_grad()
        judge(fake.detach()).mean().backward()
        second.step()


train()
"""

CLOSURE = """
def fit(steps=5):
    net = nn.Linear(2, 1)
    optimizer = torch.optim.LBFGS(net.parameters())
    x = torch.randn(8, 2)

    def closure():
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


fit()
"""

LIGHTNING = """
import lightning


class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def training_step(self, batch, index):
        x, y = batch
        return {"loss": F.mse_loss(self.layer(x), y)}

    def configure_optimizers(self):
        return torch.optim.Adam(self.layer.parameters(), lr=1e-3)
"""


def steps(text: str, tmp_path: Path) -> tuple[TrainingStep, ...]:
    return read_file(Source("program.py", HEAD + text), Project(str(tmp_path))).steps


def loop(text: str, tmp_path: Path) -> TrainingStep:
    (found,) = [step for step in steps(text, tmp_path) if step.loop is not None]
    return found


def kinds(events: tuple[Event, ...]) -> list[str]:
    return [str(event.kind) for event in events]


def test_methods_stand_inlined_in_their_order(tmp_path: Path) -> None:
    step = loop(TRAINER, tmp_path)
    first = tuple(e for e in step.events if e.iteration == (0, 0))
    assert kinds(first) == ["zero-grad", "forward", "backward", "clip", "step"]
    assert {len(e.loop) for e in first} == {2}
    assert kinds(step.of(EventKind.TRAIN)) == ["train", "train"]


def test_a_loop_is_there_with_two_passes(tmp_path: Path) -> None:
    step = loop(TRAINER, tmp_path)
    assert {e.iteration for e in step.of(EventKind.STEP)} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_the_optimizer_is_one_through_all_methods(tmp_path: Path) -> None:
    step = loop(TRAINER, tmp_path)
    (built,) = step.anywhere(EventKind.OPTIMIZER)
    subjects = {e.subject for e in step.of(EventKind.STEP, EventKind.ZERO_GRAD)}
    assert subjects == {built.subject}
    assert built.facts["lr"] == 0.1
    assert set(built.parameters or ()) == set(step.of(EventKind.BACKWARD)[0].facts["trainable"])


def test_parameters_of_a_function_are_known_again(tmp_path: Path) -> None:
    step = loop(UNKNOWN, tmp_path)
    assert len({e.subject for e in step.of(EventKind.STEP, EventKind.ZERO_GRAD)}) == 1
    assert step.of(EventKind.STEP)[0].parameters is None


def test_an_undecided_test_is_kept_with_its_events(tmp_path: Path) -> None:
    step = loop(UNKNOWN, tmp_path)
    stepped, zeroed, back = (step.of(k)[0] for k in (EventKind.STEP, EventKind.ZERO_GRAD, EventKind.BACKWARD))
    assert stepped.maybe
    assert stepped.whenever(zeroed)
    assert not stepped.whenever(back)
    assert back.whenever(stepped)


def test_several_optimizers_are_told_apart(tmp_path: Path) -> None:
    step = loop(GAN, tmp_path)
    first, second = step.anywhere(EventKind.OPTIMIZER)
    both, judged = step.of(EventKind.BACKWARD)[:2]
    assert first.subject != second.subject
    assert both.concerns(first.parameters)
    assert both.concerns(second.parameters)
    assert not judged.concerns(first.parameters)


def test_a_closure_backpropagates_before_its_step(tmp_path: Path) -> None:
    first = tuple(e for e in loop(CLOSURE, tmp_path).events if e.iteration == (0,))
    assert kinds(first) == ["zero-grad", "forward", "backward", "step"]


def test_lightning_backpropagates_what_training_step_returns(tmp_path: Path) -> None:
    (step,) = steps(LIGHTNING, tmp_path)
    assert step.origin == "framework"
    (back,), (built,) = step.of(EventKind.BACKWARD), step.of(EventKind.OPTIMIZER)
    assert set(back.facts["trainable"]) == set(built.parameters or ())


@pytest.mark.parametrize("text", ["x = 1\n", "def f(x):\n    return nn.Linear(3, 1)(x)\n"])
def test_programs_that_do_not_train_give_no_steps(text: str, tmp_path: Path) -> None:
    assert steps(text, tmp_path) == ()


def test_events_of_opposite_branches_exclude_each_other() -> None:
    one = Event(EventKind.STEP, conditions=(Condition("amp", True),))
    other = Event(EventKind.STEP, conditions=(Condition("amp", False), Condition("late", True)))
    assert one.excludes(other)
    assert not one.excludes(replace(other, conditions=(Condition("late", True),)))


def test_every_frame_of_a_step_is_renamed_and_survives_the_wire() -> None:
    place = Frame("/a.py", 3)
    event = Event(
        EventKind.STEP, place, written=place, loop=(place,), iteration=(0,), conditions=(Condition("t", True, place),)
    )
    step = TrainingStep((event,), loop=place, around=(event,))
    renamed = mapped_training(step, lambda frame: frame and replace(frame, path="b.py"))
    adapter = TypeAdapter(TrainingStep)
    assert "/a.py" not in json.dumps(adapter.dump_python(renamed, mode="json"))
    assert adapter.validate_python(adapter.dump_python(renamed, mode="json")) == renamed
