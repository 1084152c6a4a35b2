"""Which backward passes are certain to raise, and which constructors register nothing, by source alone."""

from __future__ import annotations

import textwrap

import pytest

from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import Reading, read_file
from gradlint.frontends.static.steps.backward_errors import LEAF_WRITTEN, OVERWRITTEN, SECOND_TIME
from gradlint.source import Source

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))
        self.state = torch.zeros(4)

    def forward(self, x):
{body}

net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    opt.zero_grad()
    loss = net(torch.randn(2, 4)).square().mean()
    loss.backward()
    opt.step()
"""

BODIES = {
    "plain": ("return self.b(torch.tanh(self.a(x)))", set()),
    "a saved result is overwritten": ("g = torch.sigmoid(self.a(x))\ng.mul_(2)\nreturn self.b(g)", {OVERWRITTEN}),
    "a saved factor is overwritten": (
        "g = self.a(x)\ny = g * self.b(x)\ng += 1\nreturn y + g",
        {OVERWRITTEN},
    ),
    "a result that nobody saves": ("g = self.a(x)\ng += 1\nreturn self.b(g)", set()),
    "in-place relu behind a linear layer": ("return self.b(torch.relu_(self.a(x)))", set()),
    "a detached copy is overwritten": (
        "g = torch.sigmoid(self.a(x))\nh = g.detach().clone()\nh.mul_(2)\nreturn self.b(g)",
        set(),
    ),
    "one of two results of a call is kept": (
        "out, kept = torch.tanh(self.a(x) + self.state).chunk(2)\nself.state = kept\nreturn self.b(out)",
        {SECOND_TIME},
    ),
    "a parameter is written": ("self.scale.mul_(0.9)\nreturn self.a(x) * self.scale", {LEAF_WRITTEN}),
    "a parameter is written without gradient": (
        "with torch.no_grad():\n    self.scale.mul_(0.9)\nreturn self.a(x) * self.scale",
        set(),
    ),
    "state is carried": ("self.state = torch.tanh(self.a(x) + self.state)\nreturn self.b(self.state)", {SECOND_TIME}),
    "state is carried detached": (
        "y = torch.tanh(self.a(x) + self.state)\nself.state = y.detach()\nreturn self.b(y)",
        set(),
    ),
}


def read(text: str) -> Reading:
    return read_file(Source("file.py", textwrap.dedent(text)), Project())


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case)
def test_what_backward_raises(case: str) -> None:
    body, wanted = BODIES[case]
    (graph,) = read(NET.format(body=textwrap.indent(body, " " * 8))).graphs
    assert graph.training is not None
    assert {event.error for event in graph.training.events if event.error} == wanted


CONSTRUCTORS = {
    "misspelt": ("def _init_(self):\n    super().__init__()\n    self.a = nn.Linear(2, 2)", "misspelt"),
    "early": ("def __init__(self):\n    self.a = nn.Linear(2, 2)\n    super().__init__()", "early"),
    "in order": ("def __init__(self):\n    super().__init__()\n    self.a = nn.Linear(2, 2)", ""),
    "a number first": ("def __init__(self):\n    self.n = int(2)\n    super().__init__()", ""),
}


@pytest.mark.parametrize("case", CONSTRUCTORS, ids=lambda case: case)
def test_constructors_that_register_nothing(case: str) -> None:
    body, wanted = CONSTRUCTORS[case]
    head = "from torch import nn\n\nclass Net(nn.Module):\n"
    forward = "\n    def forward(self, x):\n        return x\n"
    reading = read(head + textwrap.indent(body, "    ") + forward)
    found = {hidden.holder for graph in reading.graphs for hidden in graph.model.hidden if hidden.kind == "unready"}
    assert found == ({wanted} if wanted else set())
