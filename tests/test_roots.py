"""Which classes and factories of a file are models of their own."""

from __future__ import annotations

import pathlib
import textwrap

import pytest

from gradlint.frontends.recorder.feeding.roots import named_target, root_targets
from tests.modules_of import written

HEAD = "import torch\nfrom torch import nn\n"
PARTS = """
class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)
    def forward(self, x):
        return self.lin(x)
class Whole(nn.Module):
    def __init__(self, part=None):
        super().__init__()
        self.part = part or Part()
    def forward(self, x):
        return self.part(x)
"""


def roots(folder: pathlib.Path, text: str) -> list[tuple[str, str]]:
    """Name and kind of every root of the source `text`."""
    file = written(folder, HEAD + textwrap.dedent(text))
    return [(one.name, one.kind) for one in root_targets(file.tree, file.module)]


CASES = {
    "a part of another model": (PARTS, [("Whole", "class")]),
    "a part that is trained on its own too": (
        PARTS + "def train():\n    m = Part()\n    m(torch.ones(2))\n",
        [("Part", "class"), ("Whole", "class")],
    ),
    "an instance given to another model's constructor": (
        PARTS + "def train():\n    p = Part()\n    m = Whole(p)\n    m(torch.ones(2))\n",
        [("Whole", "class")],
    ),
    "a base class": (PARTS + "class Child(Whole):\n    pass\n", [("Child", "class")]),
    "a class that a factory makes": (PARTS + "def build():\n    return Whole().eval()\n", [("build", "factory")]),
    "a factory of torch's own layers": (
        "def make_mlp():\n    return nn.Sequential(nn.Linear(2, 2))\n",
        [("make_mlp", "factory")],
    ),
    "a factory by annotation": (
        "def thing() -> nn.Module:\n    layers = [nn.Linear(2, 2)]\n    return layers[0]\n",
        [("thing", "factory")],
    ),
    "a training function that returns its model": (
        PARTS + "def fit():\n    m = Whole()\n    m(torch.ones(2)).sum().backward()\n    return m\n",
        [("Whole", "class")],
    ),
    "a criterion without parameters": (
        "class DiceLoss(nn.Module):\n    def forward(self, a, b):\n        return (a - b).mean()\n",
        [],
    ),
    "a criterion that holds torch's": (
        "class MixLoss(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.ce = nn.CrossEntropyLoss()\n"
        "    def forward(self, a, b):\n        return self.ce(a, b)\n",
        [],
    ),
    "a model with a bare tensor that should be a parameter": (
        "class Scale(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = torch.randn(2, requires_grad=True)\n"
        "    def forward(self, x):\n        return x * self.w\n",
        [("Scale", "class")],
    ),
    "a module made at import": ("net = nn.Sequential(nn.Linear(2, 2))\n", [("net", "instance")]),
    "a dataset": ("class Data(torch.utils.data.Dataset):\n    def __len__(self):\n        return 1\n", []),
}


@pytest.mark.parametrize("case", CASES)
def test_roots_are_models_of_their_own(case: str, tmp_path: pathlib.Path) -> None:
    text, expected = CASES[case]
    assert roots(tmp_path, text) == expected


def test_a_part_can_be_named(tmp_path: pathlib.Path) -> None:
    file = written(tmp_path, HEAD + PARTS)
    found = named_target("Part", file.tree, file.module)
    assert found is not None
    assert (found.kind, found.object.__name__) == ("class", "Part")
    assert named_target("Absent", file.tree, file.module) is None
