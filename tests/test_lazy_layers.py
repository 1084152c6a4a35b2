"""Layers that get their shapes from the first input are recorded like any others."""

from pathlib import Path

import gradlint

HEAD = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(4)

    def forward(self, x):
        return self.last({hidden})
"""
WHOLE = "torch.relu(self.norm(self.first(x))).flatten(1)"
BEFORE = ["first.weight", "first.bias", "norm.weight", "norm.bias"]


def test_a_cut_starves_what_lies_before_it(tmp_path: Path) -> None:
    for name, hidden in (("right", WHOLE), ("cut", f"{WHOLE}.detach()")):
        (tmp_path / f"{name}.py").write_text(HEAD.format(hidden=hidden))
    report = gradlint.check_paths([str(tmp_path / "right.py"), str(tmp_path / "cut.py")], depth="trace")
    assert [(Path(f.path).name, f.code) for f in report.findings] == [("cut.py", "GL101")]
    assert {Path(m.path).name: list(m.starved) for m in report.models} == {"right.py": [], "cut.py": BEFORE}
    assert all(m.capture == "recorded" for m in report.models)
