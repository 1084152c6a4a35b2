"""Where torch's compiler breaks a graph, as the command tells it; and what counts as a program that compiles."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradlint.config import Settings
from gradlint.errors import UsageError
from gradlint.frontends.compilers import compiles, exports
from gradlint.registry import compiler_use, configured
from tests.tree import ROOT

HEAD = "import torch\nfrom torch import nn\n\n"
NET = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(8, 2)
        self.calls = 0

    def helper(self, x):
        return x.abs().max().item()

    def forward(self, x):
        x = torch.relu(self.first(x))
{body}
        return self.last(x)


def gradlint_inputs():
    return (torch.rand(4, 8),)
"""
EXPORTED = "\n\nrun = torch.export.export\n"
COMPILED = "\n\nfast = torch.compile\n"
DISABLED = "\n@torch.compiler.disable\ndef shown(x):\n    return x * x.mean().item()\n\n\n"

PROGRAMS = {
    "helper": HEAD + NET.format(body="        x = x / self.helper(x)") + COMPILED,
    "branch": HEAD + NET.format(body="        if x.mean() > 0:\n            x = x / 2") + COMPILED,
    "again": HEAD + NET.format(body="        self.calls += 1\n        x = x * self.calls") + COMPILED,
    "whole": HEAD + NET.format(body="        x = torch.where(x > 0, x, -x)") + COMPILED,
    "disabled": HEAD + DISABLED + NET.format(body="        x = shown(x)") + COMPILED,
    "eager": HEAD + NET.format(body="        x = x / self.helper(x)"),
    "exported": HEAD
    + NET.format(body="        if x.mean() > 0:\n            x = x / 2")
    + "\n\nrun = torch.export.export\n",
}

Found = dict[str, list[dict[str, Any]]]


def run(folder: Path, *flags: str) -> Found:
    """The findings of the rules about the compiler in every program, each recorded."""
    for name, text in PROGRAMS.items():
        (folder / f"{name}.py").write_text(text)
    files = [f"{name}.py" for name in PROGRAMS]
    command = [sys.executable, "-m", "gradlint", "check", "--trace", "--isolated", "--no-cache", "--exit-zero"]
    command += ["--output-format", "json", "-q", *flags, *files]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    found: Found = {name: [] for name in PROGRAMS}
    for finding in json.loads(done.stdout)["findings"]:
        found[Path(finding["path"]).stem].append(finding)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run(tmp_path_factory.mktemp("compiled"), "--notes")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run(tmp_path_factory.mktemp("asked"), "--select", "GL2", "--notes")


def line_of(program: str, text: str) -> int:
    return next(i for i, line in enumerate(PROGRAMS[program].split("\n"), 1) if text in line)


def test_a_break_in_a_helper_is_told_there_with_the_call_that_led_to_it(found: Found) -> None:
    (finding,) = found["helper"]
    assert (finding["code"], finding["severity"]) == ("GL201", "warning")
    assert (finding["line"], finding["column"]) == (line_of("helper", ".item()"), 16)
    assert "GB0124" in finding["message"]
    assert finding["related"][0]["line"] == line_of("helper", "self.helper(x)")


def test_a_branch_is_one_finding_of_its_own_rule(found: Found) -> None:
    (finding,) = found["branch"]
    assert (finding["code"], finding["severity"]) == ("GL202", "warning")
    assert (finding["line"], finding["column"]) == (line_of("branch", "if x.mean()"), 12)


def test_what_is_compiled_anew_at_every_call_is_told(found: Found) -> None:
    (finding,) = found["again"]
    assert finding["line"] == line_of("again", "def forward")
    assert "self.calls ==" in finding["message"]


@pytest.mark.parametrize("name", ["whole", "disabled"])
def test_silence(found: Found, name: str) -> None:
    assert found[name] == []


def test_an_eager_program_gets_a_note(found: Found) -> None:
    (finding,) = found["eager"]
    assert (finding["code"], finding["severity"]) == ("GL201", "note")


def test_what_the_exporter_refuses_is_quoted_at_the_line(found: Found) -> None:
    (refusal,) = [finding for finding in found["exported"] if finding["code"] == "GL204"]
    assert refusal["line"] == line_of("exported", "if x.mean()")
    assert "data-dependent" in refusal["message"].lower()


def test_a_run_about_the_compiler_asks_it_of_every_program(asked: Found) -> None:
    assert [(f["code"], f["severity"]) for f in asked["eager"] if f["code"] == "GL201"] == [("GL201", "warning")]
    assert any(finding["code"] == "GL204" for finding in asked["branch"])


@pytest.mark.parametrize(
    "text",
    [
        "import torch\nf = torch.compile(g)",
        "import torch as T\n@T.compile\ndef f(x): return x",
        "from torch import compile as fast\nf = fast(g)",
        "import torch\nmodel.compile()",
        "import torch\nmodel.compile(mode='max-autotune')",
        "import torch._dynamo as dynamo\nf = dynamo.optimize('eager')(g)",
        "from torch.export import export\np = export(m, x)",
        "import torch\ntorch.onnx.export(m, x, 'm.onnx')",
        "import functools, torch\nf = functools.partial(torch.compile, dynamic=True)",
    ],
)
def test_programs_that_compile(text: str) -> None:
    assert compiles(text, ast.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "import re\np = re.compile('x')",
        "import torch, re\np = re.compile('x')",
        "import torch\nmodel.compile(optimizer='adam', loss='mse')",
        "import torch\ntorch.compiler.disable(f)",
        "def compile(x): return x\ncompile(1)",
        "from mylib import compile\ncompile(model)",
        "import torch\nexport = 3",
    ],
)
def test_programs_that_do_not(text: str) -> None:
    assert not compiles(text, ast.parse(text))
    assert not exports(text, ast.parse(text))


@pytest.mark.parametrize(
    ("settings", "use"),
    [
        (Settings(), "auto"),
        (Settings(compile=True), "always"),
        (Settings(select=("GL2",)), "always"),
        (Settings(extend_select=("graph-break",)), "always"),
        (Settings(select=("GL1",)), "never"),
        (Settings(ignore=("GL2",)), "never"),
        (Settings(select=("ALL",)), "auto"),
    ],
)
def test_when_the_compiler_is_asked(settings: Settings, use: str) -> None:
    assert compiler_use(settings) == use


def test_a_rule_s_own_setting_outweighs_the_run_s() -> None:
    rules = configured(Settings(compile=True, rules={"graph-break": {"compiled": False}}))
    assert {rule.code: rule.compiled for rule in rules if hasattr(rule, "compiled")} == {"GL201": False, "GL202": True}


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(UsageError, match="compiled"):
        configured(Settings(rules={"graph-break": {"compild": True}}))
