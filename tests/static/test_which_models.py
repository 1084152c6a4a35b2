"""Which models of a file are run that nothing of it trains: roots, parts that no root builds, what factories build."""

from pathlib import Path

import pytest

from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.source import Source

HEAD = """
import torch
from torch import nn

class Block(nn.Module):
    '''A block of Net.'''
    def __init__(self, width, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride)
    def forward(self, x):
        return self.conv(x).relu()

class Wide(Block):
    '''Used by Net too.'''
    def __init__(self, width):
        super().__init__(width)
        self.more = nn.Conv2d(width, width, 1)
    def forward(self, x):
        return self.more(super().forward(x))
"""
NET = """
class Net(nn.Module):
    def __init__(self, block{default}, depth=2):
        super().__init__()
        self.blocks = nn.Sequential(*[block(8) for _ in range(depth)])
    def forward(self, x):
        return self.blocks(x)
"""
PARTS = {"blocks.0.conv", "blocks.1.conv"}


def models(text: str) -> list[tuple[str, set[str]]]:
    """The models that are found, with the names of their layers."""
    found = read_file(Source("nets.py", text), Project(Path("."))).graphs
    return [(g.model.name, {p.name.rpartition(".")[0] for p in g.model.parameters}) for g in found]


def test_the_texts_of_parts_do_not_hide_a_model() -> None:
    assert ("Net", PARTS) in models(HEAD + NET.format(default="=Block"))


def test_a_part_that_its_model_does_not_build_is_run_by_itself() -> None:
    assert ("Wide", {"conv", "more"}) in models(HEAD + NET.format(default="=Block"))


@pytest.mark.parametrize(
    "factories",
    [
        "def net(pretrained=False, **kwargs):\n    return Net(Block, **kwargs)\n",
        "def make(block, **given):\n    return Net(block, **given)\n\ndef net():\n    return make(Block)\n",
        "def unknown(width):\n    return Net(width)\n\ndef net(depth=2):\n    return Net(Block, depth)\n",
    ],
)
def test_a_model_that_needs_arguments_is_built_as_its_factory_does(factories: str) -> None:
    assert ("Net", PARTS) in models(HEAD + NET.format(default="") + factories)


def test_models_of_other_parts_are_kept_apart() -> None:
    other = "\nclass Map(nn.Conv2d):\n    def __init__(self, width):\n        super().__init__(width, width, 1)\n"
    both = "def net():\n    return Net(Block)\n\ndef flat():\n    return Net(Map)\n"
    base = HEAD[: HEAD.index("class Wide")]
    found = [layers for name, layers in models(base + other + NET.format(default="") + both) if name == "Net"]
    assert found == [PARTS, {"blocks.0", "blocks.1"}]


def test_an_annotation_is_no_part() -> None:
    user = "\nclass Trainer:\n    def __init__(self, net: Net) -> None:\n        self.net = net\n"
    assert ("Net", PARTS) in models(HEAD + NET.format(default="=Block") + user)


@pytest.mark.parametrize("line", ["model = Net()\n", "model = Net(depth=2).train()\n", "models = {'a': Net()}\n"])
def test_a_model_that_is_built_and_never_called_is_run(line: str) -> None:
    text = HEAD + NET.format(default="=Block") + line
    found = read_file(Source("nets.py", text), Project(Path("."))).graphs
    (net,) = [graph for graph in found if graph.model.name == "Net"]
    assert {p.name for p in net.model.parameters if p.node is not None} == {
        f"blocks.{n}.conv.{kind}" for n in range(2) for kind in ("weight", "bias")
    }
