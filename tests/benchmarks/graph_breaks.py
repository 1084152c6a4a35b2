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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RULES = ("GL201", "GL202", "GL203")

SNIPPETS = {
    "item": "x = x * x.abs().mean().item()",
    "float of a tensor": "x = x * float(x.abs().mean())",
    "int of a tensor": "x = x + int(x.abs().sum())",
    "tolist": "x = x * len(x[0].tolist())",
    "tolist of values": "x = x * max(x[0].tolist())",
    "branch on a sum": "x = x + 1 if x.sum() > 0 else x - 1",
    "if statement": "if x.mean() > 0.5:\n    x = x * 2",
    "if all": "if (x > 0).all():\n    x = x * 2",
    "if isnan any": "if torch.isnan(x).any():\n    x = torch.zeros_like(x)",
    "while": "while x.abs().max() > 100:\n    x = x / 2",
    "assert": "assert torch.isfinite(x).all()",
    "assert with a message": "assert x.max() < 100, f'too large: {x.max()}'",
    "elif": "if self.scale is not None:\n    x = x * 2\nelif x.norm() > 10:\n    x = x / 10",
    "comprehension": "x = x * sum([1 for row in x if row.sum() > 0])",
    "chained comparison": "x = x * 2 if 0 < x.mean() < 1 else x",
    "min of two": "x = x * min(x.max(), x.mean())",
    "round of item": "x = x * round(x.std().item(), 3)",
    "f-string": "name = f'{x.mean()}'\nx = x * len(name)",
    "raise": "if x.isnan().any():\n    raise ValueError('not a number')",
    "bool": "x = x * (2 if bool(x.any()) else 1)",
    "boolean and": "x = x * 2 if self.training and x.max() > 3 else x",
    "not": "x = x * 2 if not x.any() else x",
    "torch.equal": "if torch.equal(x, x * 2):\n    x = x + 1",
    "torch.allclose": "if torch.allclose(x, x * 2):\n    x = x + 1",
    "range of a tensor": "for _ in range(int(x.abs().max())):\n    x = x / 2",
    "boolean mask": "x = x + x[x > 0].sum()",
    "nonzero": "x = x + x.nonzero().shape[0]",
    "torch.where one argument": "x = x + torch.where(x > 0)[0].sum()",
    "masked_select": "x = x + x.masked_select(x > 0).mean()",
    "unique": "x = x + x.unique().numel()",
    "argwhere": "x = x + torch.argwhere(x > 0).numel()",
    "bincount": "x = x + torch.bincount(x.abs().long().flatten()).sum()",
    "print": "print(x.shape)",
    "print of a tensor": "print(x)",
    "logging": "log.info('mean %s', x.shape)",
    "logging of a value": "log.info('mean %s', x.mean().item())",
    "logging.warning": "logging.warning('large')",
    "warnings.warn": "warnings.warn('large')",
    "sys.stdout": "sys.stdout.write('x')",
    "open": "open(os.devnull, 'w').write('x')",
    "time.time": "x = x + 0 * time.time()",
    "time.sleep": "time.sleep(0)",
    "perf_counter": "x = x + 0 * time.perf_counter()",
    "datetime": "x = x + 0 * datetime.datetime.now().second",
    "random": "x = x * random.random()",
    "random.choice": "x = x * random.choice([1, 2])",
    "numpy random": "x = x * float(np.random.rand())",
    "uuid": "x = x + 0 * len(str(uuid.uuid4()))",
    "torch.save": "torch.save(x, io.BytesIO())",
    "json": "json.dumps({'a': x.shape[0]})",
    "data_ptr": "x = x + 0 * x.data_ptr()",
    "os.getenv": "x = x * (2 if os.getenv('SCALE') else 1)",
    "subprocess": "subprocess.run(['true'])",
    "deepcopy": "x = x + copy.deepcopy(x.detach())",
    "global": "global STEPS\nSTEPS = STEPS + 1",
    "shape": "x = x * 2 if x.shape[0] > 1 else x",
    "dimension": "if x.dim() == 2:\n    x = x.unsqueeze(1).squeeze(1)",
    "flag": "x = x * 2 if self.training else x",
    "setting": "x = x * 2 if self.scale is None else x * self.scale",
    "none": "y = None\nif y is not None:\n    x = x + y",
    "dtype": "if x.dtype == torch.float32:\n    x = x * 1.0",
    "floating": "if x.is_floating_point():\n    x = x * 1.0",
    "where": "x = torch.where(x > 0, x, -x)",
    "masked_fill": "x = x.masked_fill(x > 3, 0.0)",
    "product with a mask": "x = x * (x > 0)",
    "index by numbers": "x = x[:, [1, 0, 2, 3, 4, 5, 6, 7]]",
    "topk": "x = x + x.topk(2).values.sum()",
    "gather": "x = x + x.gather(1, x.argmax(1, keepdim=True))",
    "size": "x = x * float(x.size(0))",
    "len": "x = x * len(x)",
    "numel": "x = x * int(x.numel() / 2)",
    "range of a shape": "for i in range(x.shape[1]):\n    x = x + i",
    "isinstance": "if isinstance(x, torch.Tensor):\n    x = x * 2",
    "assert on a shape": "assert x.shape[1] == 8, 'eight wide'",
    "detach": "x = x + x.detach().mean()",
    "numpy": "x = x + torch.from_numpy(x.detach().numpy()).mean()",
    "einsum": "x = torch.einsum('bi,bi->bi', x, x)",
    "list of tensors": "x = torch.stack([x, x]).sum(0)",
    "dict": "x = {'a': x}['a'] * 2",
    "zip": "x = sum(a * b for a, b in zip((x, x), (1, 2)))",
    "try": "try:\n    x = x * {}['k']\nexcept KeyError:\n    x = x * 2",
    "format of a shape": "name = f'{x.shape[0]} rows'\nx = x * len(name)",
    "cat in a loop": "for _ in range(2):\n    x = torch.cat([x[:, :4], x[:, 4:]], dim=1)",
}

HEADER = """import copy
import datetime
import io
import json
import logging
import os
import random
import subprocess
import sys
import time
import uuid
import warnings

import numpy as np
import torch
from torch import nn

log = logging.getLogger(__name__)
STEPS = 0
"""

SHAPES = {
    "forward": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = None
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


def cases(folder: Path) -> Iterator[Case]:
    """Every snippet in every shape."""
    made = {}
    for number, (name, shape) in enumerate(itertools.product(SNIPPETS, SHAPES)):
        text, lines = program(SNIPPETS[name], shape)
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
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = list(cases(Path(folder)))
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
