"""Where a model's inputs come from, that they fit, and that trying them leaves the model as it was."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import torch
from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.construct import construct
from gradlint.frontends.recorder.feeding.feed import Feed, feed
from gradlint.frontends.recorder.feeding.roots import named_target
from gradlint.inputs import parse_input
from tests.modules_of import written

HEAD = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(7, 3)
    def forward(self, x):
        return self.lin(x)
"""

GIVEN = {
    "a function with a tuple": ("def gradlint_inputs():\n    return (torch.ones(5, 7),)\n", "gradlint_inputs", (5, 7)),
    "a function with a dictionary": (
        "def gradlint_inputs():\n    return {'x': torch.ones(4, 7)}\n",
        "gradlint_inputs",
        (4, 7),
    ),
    "a function with a tensor": ("def gradlint_inputs():\n    return torch.ones(3, 7)\n", "gradlint_inputs", (3, 7)),
    "a call in the main block": (
        "if __name__ == '__main__':\n    net = Net()\n    x = torch.randn(6, 7)\n    print(net(x).shape)\n",
        "shown",
        (6, 7),
    ),
    "a training loop over a loader": (
        "from torch.utils.data import DataLoader, TensorDataset\n"
        "def main():\n    data = TensorDataset(torch.randn(20, 7), torch.zeros(20))\n"
        "    loader = DataLoader(data, batch_size=5)\n"
        "    net = Net().train()\n    for i, (xb, yb) in enumerate(loader):\n        net(xb)\n",
        "shown",
        (5, 7),
    ),
    "a helper of the file": (
        "def batch(n):\n    return torch.randn(n, 7), torch.zeros(n)\n"
        "def fit(model, steps=2):\n    for _ in range(steps):\n        x, y = batch(9)\n"
        "        model(x).sum().backward()\n"
        "if __name__ == '__main__':\n    fit(Net())\n",
        "shown",
        (9, 7),
    ),
    "a docstring": (
        "class Other:\n    '''\n    >>> net = Net()\n    >>> net(torch.zeros(8, 7)).shape\n    '''\n",
        "shown",
        (8, 7),
    ),
    "nothing": ("", "inferred", (2, 7)),
}


def fed(folder: pathlib.Path, text: str, **options: Any) -> tuple[nn.Module, Feed]:
    """The model `Net` of the source `text`, and its inputs."""
    file = written(folder, text)
    target = named_target("Net", file.tree, file.module)
    assert target is not None
    model = construct(target, file.shown, file.module).train()
    return model, feed(model, file.shown, **options)


def shape_of(found: Feed) -> tuple[int, ...]:
    """The shape of the only input."""
    (value,) = (*found.args, *found.kwargs.values())
    return tuple(value.shape)


@pytest.mark.parametrize("case", GIVEN)
def test_inputs_come_from_the_most_trusted_place(case: str, tmp_path: pathlib.Path) -> None:
    text, source, shape = GIVEN[case]
    _, found = fed(tmp_path, HEAD + text)
    assert (found.source, shape_of(found)) == (source, shape)
    assert found.description == (f"float32{list(shape)}",) or found.description == (f"x: float32{list(shape)}",)


def test_the_users_own_inputs_come_before_the_files(tmp_path: pathlib.Path) -> None:
    text = HEAD + "def gradlint_inputs():\n    return torch.ones(3, 7)\n"
    _, found = fed(tmp_path, text, explicit=[parse_input("x=11x7")])
    assert (found.source, shape_of(found)) == ("--input", (11, 7))
    _, found = fed(tmp_path, text, configured=torch.ones(12, 7))
    assert (found.source, shape_of(found)) == ("configuration", (12, 7))


@pytest.mark.parametrize(("text", "part"), [("2x8", "cannot be multiplied"), ("y=2x7", "no parameter `y`")])
def test_inputs_on_which_the_model_fails_are_not_replaced_by_others(
    text: str, part: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(TargetError, match=part):
        fed(tmp_path, HEAD, explicit=[parse_input(text)])


def test_too_many_inputs_are_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TargetError, match="takes 1 inputs"):
        fed(tmp_path, HEAD, explicit=[parse_input("2x7"), parse_input("2x7")])


def test_example_input_array_is_taken() -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    model.example_input_array = torch.ones(13, 4)  # type: ignore[assignment]
    found = feed(model)
    assert (found.source, shape_of(found)) == ("example_input_array", (13, 4))


class Stateful(nn.Module):
    """Changes everything that a forward can change."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.lin = nn.Linear(6, 2)
        self.register_buffer("seen", torch.zeros(1))
        self.calls = 0
        self.history: list[int] = []
        self.cache: torch.Tensor | None = None

    def forward(self, x: torch.Tensor, scale: float) -> torch.Tensor:
        self.calls += 1
        self.history.append(len(x))
        self.cache = x
        self.extra = x
        self.seen += 1
        with torch.no_grad():
            self.lin.weight.mul_(0.5)
        return torch.as_tensor(self.lin(self.norm(x)) * scale * torch.rand(1))


def test_trials_leave_the_model_and_the_random_state_as_they_were() -> None:
    model = Stateful().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    feed(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert (model.calls, model.history, model.cache, hasattr(model, "extra")) == (0, [], None, False)
    assert model.training


def test_the_same_model_gets_the_same_inputs_every_time() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    first, second = feed(model), feed(model)
    assert torch.equal(first.args[0], second.args[0])
    assert nn.parameter.is_lazy(model[2].weight)


def test_a_model_on_the_meta_device_gets_meta_inputs() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 4))
    (ids,) = feed(model).args
    assert (ids.device.type, ids.dtype) == ("meta", torch.int64)


def test_floats_have_the_dtype_of_the_parameters() -> None:
    (x,) = feed(nn.Linear(5, 2).double()).args
    assert x.dtype is torch.float64


def test_a_batch_is_never_one_sample_where_batch_norm_trains() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)).train()
    assert feed(model).args[0].shape[0] > 1


def test_indices_stay_inside_of_the_table() -> None:
    (ids,) = feed(nn.Sequential(nn.Embedding(3, 8), nn.Linear(8, 4))).args
    assert 0 <= int(ids.min()) <= int(ids.max()) < 3


class Impossible(nn.Module):
    """Fails on everything."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 2)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"the sensor is not connected: {signal is None}")


def test_a_model_that_cannot_be_fed_says_why_and_what_to_add() -> None:
    with pytest.raises(TargetError) as caught:
        feed(Impossible())
    message = str(caught.value)
    assert "the sensor is not connected" in message
    assert "def gradlint_inputs(): return dict(signal=torch.randn(...))" in message
    assert "\n" not in message


def test_a_model_without_forward_is_told() -> None:
    with pytest.raises(TargetError, match="no `forward`"):
        feed(nn.ModuleList([nn.Linear(2, 2)]))
