"""Programs in which something is not known: what follows from the unknown is not said."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradlint.analysis.reach import reach
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import Reading, read_file
from gradlint.source import read
from gradlint.training import EventKind

HEAD = "import argparse, math, torch\nfrom torch import nn\nimport torch.nn.functional as F\n"

FROZEN_IN_ONE_CHOICE = """
class Fixed(nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.table = nn.Embedding(size, width)
        self.table.weight = nn.Parameter(torch.zeros(size, width), requires_grad=False)

    def forward(self, x):
        return self.table(x).detach()


class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        kind = Fixed if config.embed == "fixed" else nn.Embedding
        self.embed = kind(4, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.embed(x))
"""

DETACHED_BY_OPTION = """
parser = argparse.ArgumentParser()
parser.add_argument("--train-embedding", action="store_true")
args = parser.parse_args()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        h = self.embed(x)
        if not args.train_embedding:
            h = h.detach()
        return self.head(h)
"""

REGISTERED_UNDER_UNKNOWN_NAME = """
class Net(nn.Module):
    def __init__(self, strides):
        super().__init__()
        self.stages = []
        for stride in strides:
            layers = [nn.Linear(8, 8), nn.ReLU()] if stride > 1 else []
            layers.append(nn.Linear(8, 8))
            stage = nn.Sequential(*layers)
            self.add_module(f"stage_{int(math.log2(stride))}", stage)
            self.stages.append(stage)

    def forward(self, x):
        return [stage(x) for stage in self.stages]
"""

PUT_INTO_EVALUATION = """
class Vocoder(nn.Module):
    def __init__(self, checkpoint):
        super().__init__()
        self.model = nn.Linear(8, 1)
        self.model.load_state_dict(torch.load(checkpoint))

    def forward(self, x):
        return self.model.eval()(x).detach()
"""


def reading(folder: Path, text: str) -> Reading:
    file = folder / "program.py"
    file.write_text(HEAD + text)
    return read_file(read(file), Project(str(folder)))


def reported(found: Reading) -> list[str]:
    """Everything that some model is said to lose or to hide."""
    lost = [
        p.name for g in found.graphs for cause in reach(g).causes for p in cause.parameters if p.optimized is not False
    ]
    return lost + [hidden.holder for g in found.graphs for hidden in g.model.hidden]


@pytest.mark.parametrize(
    "text", [FROZEN_IN_ONE_CHOICE, DETACHED_BY_OPTION, REGISTERED_UNDER_UNKNOWN_NAME, PUT_INTO_EVALUATION]
)
def test_nothing_is_said_of_what_another_setting_repairs(tmp_path: Path, text: str) -> None:
    found = reading(tmp_path, text)
    assert found.graphs
    assert reported(found) == []


def test_a_cut_that_no_option_takes_away_is_found(tmp_path: Path) -> None:
    text = DETACHED_BY_OPTION.replace("if not args.train_embedding:", "if True:")
    assert reported(reading(tmp_path, text)) == ["embed.weight", "embed.bias"]


PROGRESS_BAR = """
from somewhere import Bar

model = nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
bar = Bar(range(10))
for x in bar:
    optimizer.zero_grad()
    loss = model(x).sum()
    loss.backward()
    bar.desc = loss
    optimizer.step()
"""


def test_an_object_that_is_not_read_hands_no_graph_to_the_next_step(tmp_path: Path) -> None:
    graph = next(iter(reading(tmp_path, PROGRESS_BAR).graphs))
    passes = graph.training.of(EventKind.BACKWARD) if graph.training else ()
    assert passes
    assert not any(event.error for event in passes)


def test_packages_whose_modules_import_each_other_know_their_names(tmp_path: Path) -> None:
    package = tmp_path / "models"
    package.mkdir()
    (package / "__init__.py").write_text("from .base import *\nfrom .first import *\nfrom .second import *\n")
    (package / "base.py").write_text("from torch import nn\n\n\nclass Base(nn.Module):\n    pass\n")
    for name in ("first", "second"):
        body = f"class {name.title()}(Base):\n    def __init__(self):\n        super().__init__()\n"
        layer = "        self.layer = nn.Linear(4, 2)\n\n    def forward(self, x):\n        return self.layer(x)\n"
        (package / f"{name}.py").write_text(f"from models import Base\nfrom torch import nn\n\n\n{body}{layer}")
    found = read_file(read(package / "first.py"), Project(str(tmp_path)))
    assert [p.name for graph in found.graphs for p in graph.model.parameters] == ["layer.weight", "layer.bias"]
