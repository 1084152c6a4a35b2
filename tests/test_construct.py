"""How a model of a file is built without being told how."""

from __future__ import annotations

import pathlib
import textwrap
from typing import Any

import pytest
from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.construct import construct, constructions, rebuild
from gradlint.frontends.recorder.feeding.roots import named_target
from tests.modules_of import written

HEAD = """
import argparse
import torch
from dataclasses import dataclass
from torch import nn

class Net(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.lin = nn.Linear(n_in, n_out)
    def forward(self, x):
        return self.lin(x)
"""

SHOWN = {
    "literals in the main block": "if __name__ == '__main__':\n    net = Net(7, 3)\n",
    "keywords and arithmetic": "def train():\n    width = 14\n    net = Net(n_out=1 + 2, n_in=width // 2)\n",
    "constants of the module": "N_IN, N_OUT = 7, 3\ndef train():\n    return Net(N_IN, N_OUT).train()\n",
    "a dataclass": (
        "@dataclass\nclass C:\n    i: int = 7\n    o: int = 3\ndef train():\n    c = C()\n    Net(c.i, c.o)\n"
    ),
    "a dictionary": "CFG = {'i': 7, 'o': 3}\ndef main():\n    model = Net(CFG['i'], CFG['o'])\n",
    "defaults of a command line": (
        "def main():\n    p = argparse.ArgumentParser()\n    p.add_argument('--n-in', type=int, default=7)\n"
        "    p.add_argument('--out', '-o', type=int, default=3)\n    args = p.parse_args()\n"
        "    Net(args.n_in, args.out)\n"
    ),
    "defaults through a function that parses": (
        "def get_args():\n    p = argparse.ArgumentParser()\n    p.add_argument('--i', default=7)\n"
        "    return p.parse_args()\n"
        "if __name__ == '__main__':\n    a = get_args()\n    net = Net(a.i, 3)\n"
    ),
    "a default of the function around": "def run(i=7, o=3):\n    net = Net(i, o)\n",
    "an argument of the caller": "def run(i, o):\n    net = Net(i, o)\nif __name__ == '__main__':\n    run(7, o=3)\n",
    "sizes of data": "def run():\n    x = torch.zeros(4, 7)\n    net = Net(x.shape[1], 3)\n",
}


@pytest.mark.parametrize("case", SHOWN)
def test_arguments_that_the_file_shows_are_used(case: str, tmp_path: pathlib.Path) -> None:
    file = written(tmp_path, HEAD + SHOWN[case])
    target = named_target("Net", file.tree, file.module)
    assert target is not None
    model, plan = next(constructions(target, file.shown, file.module))
    assert plan.source == "shown"
    assert (model.lin.in_features, model.lin.out_features) == (7, 3)  # type: ignore[union-attr]
    assert isinstance(rebuild(target, plan, file.module), type(model))


def test_statements_with_effects_are_not_run(tmp_path: pathlib.Path) -> None:
    mark = tmp_path / "mark"
    text = f"def size():\n    open({str(mark)!r}, 'w')\n    return 7\n"
    text += "if __name__ == '__main__':\n    net = Net(size(), 3)\n"
    file = written(tmp_path, HEAD + text)
    target = named_target("Net", file.tree, file.module)
    assert target is not None
    construct(target, file.shown, file.module)
    assert not mark.exists()


def test_settings_come_before_what_the_file_shows(tmp_path: pathlib.Path) -> None:
    file = written(tmp_path, HEAD + "def train():\n    Net(7, 3)\n")
    target = named_target("Net", file.tree, file.module)
    assert target is not None
    model = construct(target, file.shown, file.module, {"args": [5], "kwargs": {"n_out": 2}})
    assert (model.lin.in_features, model.lin.out_features) == (5, 2)  # type: ignore[union-attr]


def test_gradlint_model_comes_before_what_the_file_shows(tmp_path: pathlib.Path) -> None:
    file = written(tmp_path, HEAD + "def gradlint_model():\n    return Net(9, 1)\ndef train():\n    Net(7, 3)\n")
    target = named_target("Net", file.tree, file.module)
    assert target is not None
    assert construct(target, file.shown, file.module).lin.in_features == 9  # type: ignore[union-attr]


GUESSED = {
    "heads that divide the width": (
        "class M(nn.Module):\n    def __init__(self, d_model, num_heads, **kw):\n        super().__init__()\n"
        "        assert d_model % num_heads == 0\n        self.a = nn.MultiheadAttention(d_model, num_heads)\n"
    ),
    "a configuration of attributes": (
        "class M(nn.Module):\n    def __init__(self, cfg):\n        super().__init__()\n"
        "        self.l = nn.ModuleList(nn.Linear(cfg.model.width, cfg.model.width) for _ in range(cfg.n_layers))\n"
    ),
    "a list, a choice and a callable": (
        "class M(nn.Module):\n    def __init__(self, sizes, mode, act):\n        super().__init__()\n"
        "        if mode not in ('sum', 'cat'):\n            raise ValueError(mode)\n"
        "        self.l = nn.Sequential(*[nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])], act())\n"
    ),
    "a model in a model": (
        "class Inner(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
        "        self.width = width\n"
        "        self.l = nn.Linear(width, width)\n"
        "class M(nn.Module):\n    def __init__(self, inner):\n        super().__init__()\n        self.inner = inner\n"
        "        self.out = nn.Linear(inner.width, 2)\n"
    ),
}


@pytest.mark.parametrize("case", GUESSED)
def test_arguments_are_guessed_from_names_and_uses(case: str, tmp_path: pathlib.Path) -> None:
    file = written(tmp_path, HEAD + GUESSED[case])
    target = named_target("M", file.tree, file.module)
    assert target is not None
    assert isinstance(construct(target, file.shown, file.module), nn.Module)


@pytest.mark.parametrize("body", ["raise RuntimeError('needs a licence')", "open('/no/such/weights')"])
def test_a_model_that_cannot_be_built_says_why_and_what_to_add(body: str, tmp_path: pathlib.Path) -> None:
    text = f"class M(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n        {body}\n"
    file = written(tmp_path, HEAD + textwrap.dedent(text))
    target: Any = named_target("M", file.tree, file.module)
    with pytest.raises(TargetError, match=r"could not be built.*gradlint_model\(\)"):
        construct(target, file.shown, file.module)
