"""The fixes of the rules, in files that are written in other ways than their pages."""

from __future__ import annotations

import pytest

from gradlint.code import UnfixableError
from gradlint.finding import Applicability, Fix
from gradlint.fixes.edits import edited
from gradlint.fixes.repair import Repair
from gradlint.registry import rule
from tests.fixing import repair

ADVICE = "keep them in an nn.{}"
HEAD = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
"""


def fixed(code: str, around: Repair, **more: object) -> Fix | None:
    finding = around.finding.model_copy(update={"code": code, **more})
    return rule(code)().fix(finding, Repair(around.around, finding))


def hidden(body: str, needle: str, kind: str = "ModuleList", holder: str = "parts") -> tuple[str, Applicability]:
    """The fixed body of a constructor, and how safe that is."""
    around = repair(f"{HEAD}        {body}\n", needle)
    fix = fixed("GL110", around, module=holder, advice=ADVICE.format(kind))
    assert fix is not None
    text = edited(around.around.source, fix.edits).text
    assert text.startswith(HEAD)
    return text.removeprefix(HEAD).strip(), fix.applicability


LAYER = "nn.Linear(2, 2)"


@pytest.mark.parametrize(
    ("body", "kind", "after"),
    [
        (f"self.parts = [{LAYER}]", "ModuleList", f"self.parts = nn.ModuleList([{LAYER}])"),
        (f"self.parts = ({LAYER}, None)", "ModuleList", f"self.parts = nn.ModuleList(({LAYER}, None))"),
        (f"self.parts = {LAYER}, self.b", "ModuleList", f"self.parts = nn.ModuleList(({LAYER}, self.b))"),
        (f"self.parts = list({LAYER} for _ in a)", "ModuleList", f"self.parts = nn.ModuleList({LAYER} for _ in a)"),
        (f"self.parts = tuple([{LAYER}])", "ModuleList", f"self.parts = nn.ModuleList([{LAYER}])"),
        (
            f"self.parts = [[{LAYER} for _ in a] for _ in b]",
            "ModuleList",
            f"self.parts = nn.ModuleList([nn.ModuleList([{LAYER} for _ in a]) for _ in b])",
        ),
        (
            f'self.parts = {{"a": [{LAYER}], "b": ({LAYER})}}',
            "ModuleDict",
            f'self.parts = nn.ModuleDict({{"a": nn.ModuleList([{LAYER}]), "b": ({LAYER})}})',
        ),
        (
            f"self.parts = []\n        self.parts.append({LAYER})",
            "ModuleList",
            f"self.parts = nn.ModuleList()\n        self.parts.append({LAYER})",
        ),
        (
            f"self.parts = {{}}\n        self.parts['a'] = {LAYER}",
            "ModuleDict",
            f"self.parts = nn.ModuleDict()\n        self.parts['a'] = {LAYER}",
        ),
    ],
)
def test_containers_that_are_written_out(body: str, kind: str, after: str) -> None:
    assert hidden(body, LAYER, kind) == (after, Applicability.SAFE)


@pytest.mark.parametrize(
    ("body", "kind", "after"),
    [
        (
            f"parts = [{LAYER}]\n        self.parts = parts",
            "ModuleList",
            f"parts = [{LAYER}]\n        self.parts = nn.ModuleList(parts)",
        ),
        (f"self.parts = [{LAYER}] * 2", "ModuleList", f"self.parts = nn.ModuleList([{LAYER}] * 2)"),
        (
            f"self.parts = {{k: {LAYER} for k in a}}",
            "ModuleDict",
            f"self.parts = nn.ModuleDict({{k: {LAYER} for k in a}})",
        ),
        (f"self.parts = {{**a, 'b': {LAYER}}}", "ModuleDict", f"self.parts = nn.ModuleDict({{**a, 'b': {LAYER}}})"),
    ],
)
def test_containers_that_come_from_elsewhere(body: str, kind: str, after: str) -> None:
    assert hidden(body, LAYER, kind) == (after, Applicability.UNSAFE)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (f"self.parts = {{1: {LAYER}}}", "ModuleDict"),
        (f"self.parts = {{'a.b': {LAYER}}}", "ModuleDict"),
        (f"self.parts = {{'forward': {LAYER}}}", "ModuleDict"),
        (f"self.parts = {{'type': {LAYER}}}", "ModuleDict"),
        (f"self.parts = [{LAYER}, 3]", "ModuleList"),
        (f"self.parts = [{LAYER}, lambda x: x]", "ModuleList"),
        (f"self.parts = [{LAYER}, torch.relu]", "ModuleList"),
        (f"self.parts = [(nn.ReLU, {LAYER})]", "ModuleList"),
        (f"self.parts = [{LAYER}]\n        self.parts = []", "ModuleList"),
        (f"self.parts = [{LAYER}]\n        self.parts.sort()", "ModuleList"),
        (f"self.parts = {{'a': {LAYER}}}\n        self.parts.get('a')", "ModuleDict"),
        (f"self.others = [{LAYER}]", "ModuleList"),
    ],
)
def test_containers_that_no_fix_is_sure_of(body: str, kind: str) -> None:
    try:
        hidden(body, LAYER, kind)
    except (UnfixableError, AssertionError):
        return
    pytest.fail("a fix was made")


@pytest.mark.parametrize(
    ("head", "call", "after"),
    [
        ("from torch import nn", "nn.init.xavier_normal_(w)", 'nn.init.kaiming_normal_(w, nonlinearity="relu")'),
        ("from torch.nn import init as i", "i.xavier_uniform_(w, 1.0)", 'i.kaiming_uniform_(w, nonlinearity="relu")'),
        (
            "from torch.nn import init",
            "init.xavier_uniform_(w, gain=1)",
            'init.kaiming_uniform_(w, nonlinearity="relu")',
        ),
        (
            "import torch",
            "torch.nn.init.xavier_uniform_(\n    w,  # weight\n    generator=g,\n)",
            'torch.nn.init.kaiming_uniform_(\n    w,  # weight\n    generator=g,\n    nonlinearity="relu",\n)',
        ),
    ],
)
def test_xavier_becomes_he(head: str, call: str, after: str) -> None:
    around = repair(f"{head}\n{call}\n", call)
    fix = fixed("GL301", around)
    assert fix is not None
    assert fix.applicability is Applicability.UNSAFE
    assert edited(around.around.source, fix.edits).text == f"{head}\n{after}\n"


def test_xavier_imported_by_its_name() -> None:
    around = repair("from torch.nn.init import xavier_uniform_\nxavier_uniform_(w)\n", "xavier_uniform_(w)")
    fix = fixed("GL301", around)
    assert fix is not None
    assert edited(around.around.source, fix.edits).text == (
        'from torch.nn.init import xavier_uniform_, kaiming_uniform_\nkaiming_uniform_(w, nonlinearity="relu")\n'
    )


def test_xavier_under_a_name_that_is_not_known() -> None:
    assert fixed("GL301", repair("fill = choose()\nfill(w)\n", "fill(w)")) is None
