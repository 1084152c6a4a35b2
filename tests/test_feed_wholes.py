"""What the makers of a class tell of it, and what lists, arrays, volumes and failing lines tell of its arguments."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from gradlint.errors import TargetError
from gradlint.frontends.recorder.feeding.construct import Construction, assemble, rebuild
from gradlint.frontends.recorder.feeding.feed import Feed
from gradlint.frontends.recorder.feeding.hints import named
from gradlint.frontends.recorder.feeding.involved import involved
from gradlint.frontends.recorder.feeding.recipes import TensorRecipe
from gradlint.frontends.recorder.feeding.roots import named_target
from gradlint.frontends.recorder.loading import load_with, project, project_root
from gradlint.frontends.recorder.session import Session, import_file
from tests.modules_of import imported, written

HEAD = "import numpy as np\nimport torch\nfrom torch import nn\nimport torch.nn.functional as F\n"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def assembled(folder: pathlib.Path, text: str, name: str = "Net") -> tuple[nn.Module, Construction, Feed]:
    file = written(folder, HEAD + text)
    target = named_target(name, file.tree, file.module)
    assert target is not None
    model, plan, fed = assemble(target, file.shown, file.module)
    model(*fed.args, **fed.kwargs)
    again = rebuild(target, plan, file.module)
    assert type(again) is type(model)
    again(*fed.args, **fed.kwargs)
    return model, plan, fed


COMPLETED = """
class Net(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.first = nn.Linear(width, 5)
    def forward(self, x):
        return self.last(self.first(x))
def net(width=12, pretrained="imagenet"):
    model = Net(width)
    if pretrained is not None:
        model.load_state_dict(torch.hub.load_state_dict_from_url("http://nowhere.invalid/" + pretrained))
    model.last = nn.Linear(5, 2)
    return model
"""


def test_a_factory_completes_the_class_and_loads_nothing(tmp_path: pathlib.Path) -> None:
    model, plan, _ = assembled(tmp_path, COMPLETED)
    assert plan.maker is not None
    assert plan.kwargs == {"pretrained": None}
    assert isinstance(model.last, nn.Linear)


STACK = """
class Stack(nn.Module):
    def __init__(self, layers, norm=None):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm
    def forward(self, x, facts):
        for layer in self.layers:
            x, kept = layer(x, facts["bias"], scale=facts["scale"])
        return self.norm(x) if self.norm is not None else x
"""
STACKED = """
import a_library_that_is_not_installed
import torch
from torch import nn
from model_file import Stack

class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.lin = nn.Linear(width, width)
    def forward(self, x, bias, scale):
        return self.lin(x) * scale + bias, x

class Whole(nn.Module):
    def __init__(self, words=50, width=24):
        super().__init__()
        self.emb = nn.Embedding(words, width)
        self.stack = Stack([Layer(width), Layer(width)], nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(width))
    def forward(self, ids):
        return self.stack(self.emb(ids), {"bias": self.bias.detach(), "scale": 0.5})
"""


def test_a_part_is_built_and_fed_as_the_whole_of_another_file_does(tmp_path: pathlib.Path) -> None:
    (tmp_path / "whole.py").write_text(STACKED)
    path = tmp_path / "model_file.py"
    path.write_text(HEAD + STACK)
    with project(tmp_path) as absent:
        import_file(Session(), path, absent)
        file = imported(path)
        target = named_target("Stack", file.tree, file.module)
        assert target is not None
        model: Any
        model, _, fed = assemble(target, file.shown, file.module)
    assert type(model) is file.module.Stack
    assert model.norm.normalized_shape == (24,)
    assert fed.args[0].shape[-1] == 24
    assert fed.args[1]["scale"] == 0.5


BUILT = {
    "a list for which a size is wrong": """
class Net(nn.Module):
    def __init__(self, embed_dims):
        super().__init__()
        self.lin = nn.Linear(embed_dims, 3)
    def forward(self, x):
        return self.lin(x)
""",
    "an item of a dictionary that is checked": """
class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.lin = nn.Linear(config["width"], 3)
        self.kind = config["kind"]
        assert self.kind in (1, 2)
    def forward(self, x):
        return self.lin(x)
SETTINGS = {"width": 4, "kind": None}
def start():
    return Net(SETTINGS)
""",
    "a dataclass with a name that is not there": """
from dataclasses import dataclass
@dataclass
class Sizes:
    width: "int"
    rank: "Unheard[int, str]" = "auto"
    def __post_init__(self):
        self.rank = self.width // 8 if self.rank == "auto" else self.rank
class Net(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.lin = nn.Linear(sizes.width, sizes.rank + 1)
    def forward(self, x):
        return self.lin(x)
""",
    "an object whose class is abstract": """
class Data:
    @property
    def n_users(self):
        raise NotImplementedError
class Net(nn.Module):
    def __init__(self, data: Data):
        super().__init__()
        self.emb = nn.Embedding(data.n_users, 8)
    def forward(self, users):
        return self.emb(users)
""",
    "the adjacency of a graph": """
def normalised(graph):
    assert graph.shape[0] == graph.shape[1]
    return graph / np.maximum(graph.sum(1, keepdims=True), 1)
class Net(nn.Module):
    def __init__(self, width, graph_mx):
        super().__init__()
        self.register_parameter("mix", nn.Parameter(torch.from_numpy(normalised(graph_mx)).float()))
        self.lin = nn.Linear(width, 2)
    def forward(self, x):
        return self.lin(x)
""",
    "lengths as an array": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(9, 4)
    def forward(self, batch):
        sent, sent_len = batch
        order = np.argsort(-sent_len)
        sent = sent.index_select(1, torch.from_numpy(order))
        packed = nn.utils.rnn.pack_padded_sequence(sent, sent_len[order].copy())
        return nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0])[0]
""",
    "ids as an array": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.place = nn.Embedding(30, 4), nn.Embedding(99, 4)
    def forward(self, log_seqs, pos_seqs):
        places = np.tile(np.arange(1, log_seqs.shape[1] + 1), [log_seqs.shape[0], 1])
        places *= log_seqs != 0
        seen = self.emb(torch.LongTensor(log_seqs)) + self.place(torch.LongTensor(places))
        return (seen * self.emb(torch.LongTensor(pos_seqs))).sum(-1)
""",
    "the last of a list of features": """
class Net(nn.Module):
    def __init__(self, count=1):
        super().__init__()
        self.squeeze, self.out = nn.Conv2d(16, 8, 1), nn.Conv2d(8 * count, 6, 1)
    def forward(self, input_features):
        x = torch.cat([self.squeeze(one[-1]) for one in input_features], 1)
        return self.out(x).mean(3).mean(2)
""",
    "more features than were thought of": """
class Net(nn.Module):
    def __init__(self, widths=(4, 8, 16)):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(one, 4, 1) for one in widths)
    def forward(self, feats):
        x = self.convs[0](feats[0])
        for i in range(1, 3):
            x = x + F.interpolate(self.convs[i](feats[i]), x.shape[-2:])
        return x
""",
    "a volume that pooling makes small": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(3, 4, 3, stride=(2, 8, 8), padding=1)
        self.pool = nn.AvgPool3d((2, 7, 7), stride=1)
        self.head = nn.Conv3d(4, 5, 1)
    def forward(self, x):
        n, c, t, h, w = x.shape
        return self.head(self.pool(self.stem(F.pad(x, (1, 1, 1, 1, 0, 0)))))
""",
}

BUILT |= {
    "an image that is not square": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(*[nn.Conv2d(i, o, 3, 2, 1) for i, o in ((3, 4), (4, 4), (4, 4), (4, 16))])
        self.head = nn.Linear(16 * 7 * 6, 5)
    def forward(self, x):
        return self.head(self.net(x).flatten(1))
""",
    "an image for a wide pooling layer": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(*[nn.Conv2d(3, 3, 3, 2, 1) for _ in range(5)], nn.AvgPool2d(7, stride=1))
        self.head = nn.Linear(3, 5)
    def forward(self, x):
        return self.head(self.net(x).flatten(1))
""",
    "a whole size that a check tells": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 8, 3)
    def forward(self, x):
        size = x.shape[2:]
        assert tuple(size) == (160, 64), f"expected (160, 64) but got {tuple(size)}"
        return self.net(x).mean((2, 3))
""",
    "a state that is copied into a place": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(12, 12, 2)
    def forward(self, x, hc):
        hid, cell = hc
        z = torch.zeros(x.size(0), 12, x.size(2) + 1)
        z[:, :, :1] = hid.repeat(1, 1, 1)
        return self.conv(z) + cell.repeat(1, 1, 1)
""",
    "a text that a loop runs over the end of": """
class Net(nn.Module):
    def __init__(self, steps=26):
        super().__init__()
        self.steps, self.cell, self.emb = steps, nn.GRUCell(4, 4), nn.Embedding(9, 4)
    def forward(self, text):
        state = torch.zeros(text.size(0), 4)
        for i in range(self.steps):
            state = self.cell(self.emb(text[:, i]), state)
        return state
""",
    "a count of layers that are called affine": """
class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        num_affine = config.num_affine
        self.net = nn.Sequential(nn.Linear(6, num_affine), nn.Linear(num_affine, config.target_class))
    def forward(self, x):
        return self.net(x)
""",
    "a width that is divided away": """
class Net(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        mid, inner = out_channels // 4, out_channels // 64
        sizes = ((in_channels, mid), (mid, inner), (inner, out_channels))
        self.a, self.b, self.c = (nn.Conv2d(i, o, 1) for i, o in sizes)
    def forward(self, x):
        return self.c(self.b(self.a(x)))
""",
}
STRICT = """
from dataclasses import dataclass
@dataclass
class Sizes:
    width: int = 5
    rank: object = "auto"
    def __post_init__(self):
        if self.rank == "auto":
            self.rank = 3
        if not isinstance(self.rank, int):
            raise ValueError("a rank is a number")
class Net(nn.Module):
    def __init__(self, sizes: Sizes, table):
        super().__init__()
        self.lin = nn.Linear(sizes.width, sizes.rank)
        raise TypeError(f"'int' object has no attribute 'shape': {table}")
"""


def test_a_configuration_that_refuses_other_fields_ends_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TargetError, match="could not be built"):
        assembled(tmp_path, STRICT)


BRANCHED = """
from torch import nn
from model_file import Deep
class Layer(nn.Linear):
    def measured(self):
        return self.out_features
class Whole(nn.Module):
    def __init__(self, config):
        super().__init__()
        if config.kind == "wide":
            self.body = nn.Linear(config.width, config.width)
        elif config.kind == "deep":
            self.body = Deep([Layer(config.width, 4), Layer(4, 7)], scales=(2.0, 3.0))
        self.kind = config.kind
    def forward(self, x):
        return self.body(x)
"""
DEEP = """
class Deep(nn.Module):
    def __init__(self, parts, scales):
        super().__init__()
        self.parts, self.scales = nn.ModuleList(parts), [one * 0.5 for one in scales]
        self.last = nn.Linear(parts[-1].measured(), 1)
    def forward(self, x):
        for part, scale in zip(self.parts, self.scales):
            x = part(x) * scale
        return self.last(x)
"""


def test_the_branch_of_the_whole_is_taken_that_makes_the_part(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "whole.py").write_text(BRANCHED)
    model: Any
    model, plan, _ = assembled(tmp_path, DEEP, "Deep")
    assert plan.maker is not None
    assert model.last.in_features == 7


def test_a_file_beside_is_no_missing_library(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "nets"
    folder.mkdir()
    (folder / "helping.py").write_text("def scaled(x):\n    return x * 2\n")
    (folder / "other.py").write_text("from .helping import scaled\n")
    (folder / "net.py").write_text("from helping import scaled\nTWICE = scaled(4)\n")
    with project(project_root(folder / "net.py")) as absent:
        assert load_with(absent, folder / "net.py")[0].TWICE == 8


@pytest.mark.parametrize("case", BUILT)
def test_models_are_built_and_fed(case: str, tmp_path: pathlib.Path) -> None:
    assembled(tmp_path, BUILT[case])


def test_arrays_are_described_as_such(tmp_path: pathlib.Path) -> None:
    _, _, fed = assembled(tmp_path, BUILT["lengths as an array"])
    assert isinstance(fed.args[0][1], numpy.ndarray)
    assert any(line.startswith("numpy int64") for line in fed.description)


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("pos_seqs", (2, 8), "int64"),
        ("image_ids", (2, 8), "int64"),
        ("src_mask", (2, 8), "bool"),
        ("token_lengths", (2,), "int64"),
    ],
)
def test_the_last_word_of_a_name_counts_most(name: str, shape: tuple[int, ...], dtype: str) -> None:
    first = named(name)[0]
    assert isinstance(first, TensorRecipe)
    assert (first.shape, first.dtype) == (shape, dtype)


def test_the_names_on_failing_lines_are_told_innermost_first(tmp_path: pathlib.Path) -> None:
    text = "def inner(size):\n    return torch.zeros([size])\ndef outer(config):\n    return inner(config.width)\n"
    file = written(tmp_path, HEAD + text)
    with pytest.raises(TypeError) as caught:
        file.module.outer(type("Config", (), {"width": "wide"}))
    names = involved(caught.value)
    assert names.index("size") < names.index("width")
    assert "zeros" in names


def test_a_folder_may_be_named_like_a_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model.py").mkdir()
    file = tmp_path / "net.py"
    file.write_text("")
    assert project_root(file) == tmp_path


def test_nothing_is_imported_that_does_more_than_define(tmp_path: pathlib.Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "train.py").write_text(
        f"from model_file import Net\nopen({str(mark)!r}, 'w').close()\ndef build():\n    return Net(3)\n"
    )
    assembled(
        tmp_path,
        "class Net(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
        "        self.lin = nn.Linear(n, n)\n    def forward(self, x):\n        return self.lin(x)\n",
    )
    assert not mark.exists()
    assert torch.is_grad_enabled()
