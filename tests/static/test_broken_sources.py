"""Sources that were changed at random: whatever they say, reading them ends without a fault of gradlint's own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gradlint.config import Settings
from gradlint.judging import Judge
from tests.benchmarks.mutating import mutated

PROGRAMS = sorted((Path(__file__).parents[1] / "feeding").glob("*.py"))
CHANGES_EACH = 3


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_changed_program_is_read_without_a_fault(program: Path, tmp_path: Path) -> None:
    judge, settings = Judge(), Settings(root=str(tmp_path))
    content = program.read_bytes()
    for seed in range(CHANGES_EACH):
        mutant = tmp_path / f"mutant_{seed}.py"
        mutant.write_bytes(mutated(content, random.Random(seed)))
        assert not judge.file(str(mutant), settings).failures


def test_a_change_is_made_again_by_its_seed() -> None:
    content = PROGRAMS[0].read_bytes()
    first = mutated(content, random.Random(1))
    assert first == mutated(content, random.Random(1))
    assert first != content


CALLS = (
    "reversed()",
    "enumerate()",
    "x.split()",
    "getattr(x)",
    "torch.cat()",
    "'{}'.join()",
    "isinstance()",
    "setattr(self)",
    "range(2**70)",
    "torch.arange(2**70)",
    "torch.zeros(2**70)[1:]",
)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_python_would_refuse_is_opaque(call: str, tmp_path: Path) -> None:
    program = tmp_path / "model.py"
    program.write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return "
        + call
        + "\n\n\nNet()(torch.ones(2))\n"
    )
    judged = Judge().file(str(program), Settings(root=str(tmp_path)))
    assert not judged.failures
    assert not judged.findings
