"""What the inference of arguments and inputs reads out of a project and out of failures, one ability at a time."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from torch import nn

from gradlint.frontends.recorder.feeding.construct import assemble, constructions
from gradlint.frontends.recorder.feeding.feed import Feed
from gradlint.frontends.recorder.feeding.limits import Unknown, time_limit
from gradlint.frontends.recorder.feeding.roots import named_target
from gradlint.frontends.recorder.loading import load_with, project, project_root
from tests.modules_of import Imported, written

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
WITH_ARGS = """
class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.lin = nn.Linear(args.width, args.classes)
    def forward(self, x):
        return self.lin(x)
"""
NESTED = """
class Net(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.lin = nn.Linear(cfg["model"]["in_width"], cfg["model"]["sizes"][-1])
    def forward(self, x):
        return self.lin(x)
"""
PLAIN = """
class Net(nn.Module):
    def __init__(self, width, words):
        super().__init__()
        self.lin = nn.Linear(width, words)
    def forward(self, x):
        return self.lin(x)
"""
PARSER = """
import argparse
def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--classes", type=int, default=7)
    return parser.parse_args()
"""
STARTED = (
    "from model_file import Net\nfrom options import options\nif __name__ == '__main__':\n    net = Net(options())\n"
)
CONFIGURED = "class Config:\n    width = 24\n    def __init__(self):\n        self.classes = 7\n"
CALLED = "from model_file import Net\nwords = open('words').read()\nnet = Net(24, len(words))\n"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def built(file: Imported, name: str = "Net") -> nn.Module:
    target = named_target(name, file.tree, file.module)
    assert target is not None
    return next(constructions(target, file.shown, file.module))[0]


def fed(folder: pathlib.Path, text: str, name: str = "Net") -> tuple[nn.Module, Feed]:
    file = written(folder, HEAD + text)
    target = named_target(name, file.tree, file.module)
    assert target is not None
    model, _, found = assemble(target, file.shown, file.module)
    model(*found.args, **found.kwargs)
    return model, found


PROJECTS: dict[str, tuple[str, dict[str, str], tuple[int, int | None]]] = {
    "a command line in another file": (WITH_ARGS, {"options.py": PARSER}, (24, 7)),
    "a call with the command line of a third file": (WITH_ARGS, {"options.py": PARSER, "run.py": STARTED}, (24, 7)),
    "a configuration class": (WITH_ARGS, {"config.py": CONFIGURED}, (24, 7)),
    "a settings file": (NESTED, {"net.json": '{"model": {"in_width": 24, "sizes": [5, 7]}}'}, (24, 7)),
    "a call that can be told in part": (PLAIN, {"train.py": CALLED}, (24, None)),
}


@pytest.mark.parametrize("case", PROJECTS)
def test_sizes_come_from_the_rest_of_the_project(case: str, tmp_path: pathlib.Path) -> None:
    text, files, (width, classes) = PROJECTS[case]
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    model: Any = built(written(tmp_path, HEAD + text))
    assert model.lin.in_features == width
    assert classes in (None, model.lin.out_features)


def test_another_class_of_the_same_name_tells_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other.py").write_text("class Net:\n    pass\nnet = Net(77, 88)\n")
    model: Any = built(written(tmp_path, HEAD + PLAIN))
    assert model.lin.in_features != 77


def test_names_that_only_the_main_block_assigns_are_known(tmp_path: pathlib.Path) -> None:
    text = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(width, len(table))
    def forward(self, x):
        return self.lin(x) * width
if __name__ == "__main__":
    words = "a few words".split()
    table = {word: i for i, word in enumerate(words)}
    width = 9
"""
    model, found = fed(tmp_path, text)
    assert (found.args[0].shape[-1], model.lin.out_features) == (9, 3)  # type: ignore[union-attr]


CHECKED = """
class Net(nn.Module):
    def __init__(self, depth, sizes, kind):
        super().__init__()
        {}
        self.lin = nn.Linear(4, 4)
    def forward(self, x):
        return self.lin(x)
"""
CHECKS = {
    "membership": "assert depth in (101, 152)",
    "arithmetic": "assert (depth - 2) % 27 == 0, 'depth should be 27n+2'",
    "a raise": "if len(sizes) != 6:\n            raise ValueError('six sizes')",
    "alternatives": "if kind == 'odd':\n            pass\n        elif kind == 'even':\n            pass\n"
    "        else:\n            raise ValueError(kind)",
    "a value computed before": "blocks = (depth - 4) / 6\n        assert blocks == 17",
    "two values": "assert len(sizes) == depth - 90",
}


@pytest.mark.parametrize("case", CHECKS)
def test_a_check_that_fails_tells_what_would_pass(case: str, tmp_path: pathlib.Path) -> None:
    assert built(written(tmp_path, HEAD + CHECKED.format(CHECKS[case])))


BUILT = {
    "arguments that are passed on": """
class Inner(nn.Module):
    def __init__(self, width, *, depth):
        super().__init__()
        self.net = nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)])
    def forward(self, x):
        return self.net(x)
def Net(**kwargs):
    return Inner(**kwargs)
""",
    "keys of the keyword arguments": """
class Net(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.emb = nn.Embedding(kwargs["vocab_size"], kwargs["dim"])
    def forward(self, ids):
        return self.emb(ids)
""",
    "a size that is left open": """
from dataclasses import dataclass
@dataclass
class Config:
    vocab_size: int = -1
    dim: int = 16
class Net(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.emb = nn.Embedding(config.vocab_size, config.dim)
    def forward(self, ids):
        return self.emb(ids)
""",
    "settings of stages": """
class Net(nn.Module):
    def __init__(self, stages):
        super().__init__()
        channels, layers = 3, []
        for out_channels, repeats, stride in stages:
            layers += [nn.Conv2d(channels, out_channels, 3, stride) for _ in range(1)] * min(repeats, 1)
            channels = out_channels
        self.net = nn.Sequential(*layers)
    def forward(self, x):
        return self.net(x)
""",
    "a list of models": """
class Net(nn.Module):
    def __init__(self, models):
        super().__init__()
        self.models = nn.ModuleList(models)
    def forward(self, x):
        return sum(model(x) for model in self.models)
""",
    "a part of two inputs": """
class Net(nn.Module):
    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser
        self.scale = nn.Parameter(torch.ones(1))
    def forward(self, images):
        return self.denoiser(images, torch.rand(len(images))) * self.scale
""",
    "a class of backbones": """
class Net(nn.Module):
    def __init__(self, base_encoder, dim=16):
        super().__init__()
        self.query = base_encoder(num_classes=dim)
        self.head = nn.Linear(dim, 2)
    def forward(self, images):
        return self.head(self.query(images))
""",
    "a table of words": """
class Net(nn.Module):
    def __init__(self, tags):
        super().__init__()
        self.moves = nn.Parameter(torch.randn(len(tags), len(tags)))
        self.moves.data[tags["<start>"], :] = -1e4
    def forward(self, scores):
        return scores @ self.moves
""",
    "own states": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnns = nn.ModuleList([nn.LSTM(8, size) for size in (8,)])
        self.top = nn.LSTM(8, 5)
        self.emb = nn.Embedding(10, 8)
    def init_hidden(self, batch):
        return [(torch.zeros(1, batch, size), torch.zeros(1, batch, size)) for size in (8, 5)]
    def forward(self, ids, hidden):
        x, first = self.rnns[0](self.emb(ids), hidden[0])
        return self.top(x, hidden[1])[0]
""",
    "inputs without names": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(10, 8)
    def forward(self, *inputs):
        return self.emb(inputs[0]) * self.emb(inputs[1])
""",
    "features by name": """
class Net(nn.Module):
    def __init__(self, channels=(8, 8)):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(one, 4, 1) for one in channels)
    def forward(self, features):
        return {k: conv(x) for conv, (k, x) in zip(self.convs, features.items())}
""",
    "marks of time": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Conv1d(7, 8, 3, padding=1)
        self.month, self.day = nn.Embedding(24, 8), nn.Embedding(3, 8)
    def forward(self, x, x_mark):
        x_mark = x_mark.long()
        return self.value(x.transpose(1, 2)).transpose(1, 2) + self.month(x_mark[:, :, 1]) + self.day(x_mark[:, :, 0])
""",
}


@pytest.mark.parametrize("case", BUILT)
def test_models_are_built_and_fed(case: str, tmp_path: pathlib.Path) -> None:
    assert fed(tmp_path, BUILT[case])


def loaded(file: pathlib.Path) -> Any:
    with project(project_root(file)) as absent:
        return load_with(absent, file)[0]


def tree(top: pathlib.Path, **files: str) -> None:
    (top / ".git").mkdir()
    for name, text in files.items():
        path = top / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def test_a_folder_without_init_may_hold_relative_imports(tmp_path: pathlib.Path) -> None:
    tree(tmp_path, parts__blocks="SIZE = 3\n", parts__net="from .blocks import SIZE\n")
    assert loaded(tmp_path / "parts" / "net.py").SIZE == 3


def test_a_programs_imports_start_at_the_repositorys_folder(tmp_path: pathlib.Path) -> None:
    tree(tmp_path, helping__sizes="SIZE = 4\n", nets__net="from helping.sizes import SIZE\n")
    assert loaded(tmp_path / "nets" / "net.py").SIZE == 4


def test_a_module_named_as_its_folder_does_not_hide_the_folder(tmp_path: pathlib.Path) -> None:
    tree(tmp_path, aids__aids="", aids__sizes="SIZE = 5\n", aids__net="from aids.sizes import SIZE\n")
    assert loaded(tmp_path / "aids" / "net.py").SIZE == 5


def test_a_time_limit_ends_code_that_catches_every_exception() -> None:
    def stubborn() -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    with pytest.raises(Unknown, match="takes too long"), time_limit(0.1):
        stubborn()
