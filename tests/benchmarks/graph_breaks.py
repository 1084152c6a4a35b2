"""Plants graph breaks and harmless look-alikes into models: what gradlint's source rules flag beside what Dynamo does.

    python -m tests.benchmarks.graph_breaks --json breaks.json

Truth is what Dynamo counts itself (`torch._dynamo.utils.counters`) while the compiled model runs once: a program with
one planted expression either compiles whole or does not. Every snippet is planted into several models: into forward
itself, into a helper method, into a submodule in a `Sequential`. The exit status is 1 when a share given with --real or
--found is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import itertools
import json
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.graph_break_snippets import FIRST, SECOND

RULES = ("GL201", "GL202", "GL203")
SETS = {"first": FIRST, "second": SECOND, "all": {**FIRST, **SECOND}}

HEADER = """import collections
import copy
import datetime
import functools
import gc
import inspect
import io
import json
import logging
import math
import os
import pathlib
import pprint
import random
import subprocess
import sys
import threading
import time
import traceback
import uuid
import warnings
import weakref

import numpy as np
import torch
import torch.utils.checkpoint
from torch import nn

log = logging.getLogger(__name__)
STEPS = 0


@functools.lru_cache
def cached(n):
    return n + 1


"""

SHAPES = {
    "forward": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = None
        self.steps = 0
        self.seen, self.store = [], {}
        self.probe = nn.Linear(8, 8)
        self.register_buffer("mean", torch.zeros(()))
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(8, 2)

    def forward(self, x):
        x = torch.relu(self.first(x))
{body}
        return self.last(x)
""",
    "helper": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = None
        self.steps = 0
        self.seen, self.store = [], {}
        self.probe = nn.Linear(8, 8)
        self.register_buffer("mean", torch.zeros(()))
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(8, 2)

    def change(self, x):
{body}
        return x

    def forward(self, x):
        return self.last(self.change(torch.relu(self.first(x))))
""",
    "part": """
class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = None
        self.steps = 0
        self.seen, self.store = [], {}
        self.probe = nn.Linear(8, 8)
        self.register_buffer("mean", torch.zeros(()))
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        x = torch.relu(self.inner(x))
{body}
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.Sequential(Part(), nn.Tanh())
        self.last = nn.Linear(8, 2)

    def forward(self, x):
        return self.last(self.parts(x))
""",
}

FOOTER = """

def train(steps=3):
    model = Net()
    compiled = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(compiled(torch.randn(4, 8)), torch.randint(0, 2, (4,)))
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
"""


@dataclass(frozen=True)
class Case:
    """One program: what was planted, into which shape of model, whether it breaks, which lines were flagged."""

    snippet: str
    shape: str
    breaks: bool
    reason: str
    flagged: tuple[tuple[str, int], ...]
    lines: tuple[int, ...]

    @property
    def found(self) -> bool:
        """Whether something was flagged on the planted lines."""
        return any(line in self.lines for _, line in self.flagged)


def program(snippet: str, shape: str) -> tuple[str, tuple[int, ...]]:
    """A program, and the lines of what was planted."""
    planted = textwrap.indent(snippet, " " * 8).split("\n")
    text = HEADER + "\n" + SHAPES[shape].replace("{body}", "\n".join(planted)) + FOOTER
    first = next(i for i, line in enumerate(text.split("\n"), 1) if line == planted[0])
    return text, tuple(range(first, first + len(planted)))


def truth(path: Path) -> str:
    """Why Dynamo breaks the graph of a program's model; empty where it takes it whole."""
    import torch
    from torch._dynamo.utils import counters

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch._dynamo.reset()
    counters.clear()
    with contextlib.redirect_stdout(io.StringIO()):
        torch.compile(module.Net(), backend="eager")(torch.rand(4, 8))
    reasons = [*counters["graph_break"], *counters["unimplemented"]]
    return reasons[0].strip().partition("\n")[0] if reasons else ""


def flagged(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """What gradlint flags in every file of a folder, nothing executed: code and line.

    A warning says that the graph breaks; of GL203, whose findings are always notes, all count.
    """
    command = [sys.executable, "-m", "gradlint", "check", "--source", "--isolated", "--no-cache", "--notes"]
    command += ["--exit-zero", "--select", ",".join(RULES), "--output-format", "json", "-q", str(folder)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found: dict[str, list[tuple[str, int]]] = {}
    for finding in report["findings"]:
        if finding["severity"] != "note" or finding["code"] == "GL203":
            found.setdefault(Path(finding["path"]).stem, []).append((finding["code"], finding["line"]))
    return found


def cases(folder: Path, snippets: Mapping[str, str]) -> Iterator[Case]:
    """Every snippet in every shape."""
    made = {}
    for number, (name, shape) in enumerate(itertools.product(snippets, SHAPES)):
        text, lines = program(snippets[name], shape)
        path = folder / f"case{number}.py"
        path.write_text(text)
        made[path] = (name, shape, lines)
    said = flagged(folder)
    for path, (name, shape, lines) in made.items():
        reason = truth(path)
        yield Case(name, shape, bool(reason), reason, tuple(said.get(path.stem, ())), lines)


def summary(found: list[Case]) -> dict[str, Any]:
    """The two shares: of what is flagged, what breaks; of what breaks, what is flagged."""
    hits = [case for case in found if case.flagged]
    real = [case for case in hits if case.breaks]
    broken = [case for case in found if case.breaks]
    return {
        "programs": len(found),
        "with a break": len(broken),
        "flagged": len(hits),
        "flagged and real": len(real),
        "found": sum(case.found for case in broken),
        "real share": len(real) / max(1, len(hits)),
        "found share": sum(case.found for case in broken) / max(1, len(broken)),
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--real", type=float, default=0.0, help="least share of what is flagged that breaks")
    options.add_argument("--found", type=float, default=0.0, help="least share of what breaks that is flagged")
    options.add_argument("--show", action="store_true", help="print every case in which the two disagree")
    options.add_argument("--snippets", choices=SETS, default="all", help="those that are planted")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = list(cases(Path(folder), SETS[given.snippets]))
    result = summary(found)
    print(json.dumps(result, indent=1))
    for case in found if given.show else ():
        if case.breaks != case.found:
            print(f"{case.snippet} in {case.shape}: breaks {case.breaks} ({case.reason[:90]}), flagged {case.flagged}")
    if given.json:
        given.json.write_text(json.dumps({"summary": result, "cases": [asdict(case) for case in found]}, indent=1))
    return int(result["real share"] < given.real or result["found share"] < given.found)


if __name__ == "__main__":
    raise SystemExit(main())
