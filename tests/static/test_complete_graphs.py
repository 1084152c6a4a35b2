"""A graph calls itself complete only where nothing that a forward pass runs can have stayed unread."""

from __future__ import annotations

import textwrap

import pytest

from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.graph import Model
from gradlint.source import Source

HEAD = """
import functools, math
import torch
import torch.nn as nn
import torch.nn.functional as F
import mystery
from elsewhere import wrap, Base
"""

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.parts = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    {decorator}
    def forward(self, x{arguments}):
        {body}
"""


def model(body: str, arguments: str = "", decorator: str = "", after: str = "") -> Model:
    inner = textwrap.dedent(body).strip().replace("\n", "\n        ")
    text = HEAD + NET.format(body=inner, arguments=arguments, decorator=decorator) + textwrap.dedent(after)
    (found,) = [g.model for g in read_file(Source("file.py", text), Project("")).graphs if g.model.name == "Net"]
    return found


WHOLE = {
    "ops and layers": "return F.relu(self.a(x)).mean()",
    "a loop over parts": "for part in self.parts: x = part(x)\nreturn x",
    "a loop over a known range": "for _ in range(5): x = self.a(x)\nreturn x",
    "a condition on data, each way of which is read": "return self.a(x) if x.sum() > 0 else self.parts[0](x)",
    "a handler of arguments that do not fit": """
        try:
            return nn.GELU(inplace=True)(self.a(x))
        except TypeError:
            return nn.GELU()(self.a(x))
    """,
}


@pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE.keys())
def test_what_is_read_is_complete(body: str) -> None:
    found = model(body)
    assert found.complete
    assert found.closed


UNREAD = {
    "a function of a library that is not known": "return self.a(mystery.act(x))",
    "a name of the project that is not there": "return self.a(wrap(x))",
    "an op that the facts do not list": "return self.a(torch.brand_new_op(x))",
    "a loop over a size that is not known": "for _ in range(x.size(1)): x = self.a(x)\nreturn x",
    "a loop over something that is not known": "for part in mystery.parts(): x = self.a(x)\nreturn x",
    "a loop whose end hangs on data": "while x.sum() > 0: x = self.a(x)\nreturn x",
    "a long loop": "for _ in range(1000): x = self.a(x)\nreturn x",
    "a list of which the length is not known": "return torch.stack([self.a(x) for _ in range(x.size(1))]).sum(0)",
    "a method of what is not known": "return self.a(mystery.scale(x).rotate())",
    "a context's own op": "return self.a(mystery.Thing()(x))",
}


@pytest.mark.parametrize("body", UNREAD.values(), ids=UNREAD.keys())
def test_what_is_not_read_is_not_complete(body: str) -> None:
    assert not model(body).complete


def test_a_function_by_a_name_that_is_not_known() -> None:
    assert not model("return self.a(getattr(F, kind)(x))", ", kind").complete


def test_a_loop_of_unknown_length_hides_no_parameter() -> None:
    found = model("for _ in range(x.size(1)): x = self.a(x)\nreturn x")
    assert found.closed


def test_an_attribute_that_nothing_sets_may_hold_a_part() -> None:
    found = model("extra = self.extra\nreturn self.a(extra(x))")
    assert not found.complete
    assert not found.closed


@pytest.mark.parametrize("decorator", ["@wrap", "@wrap(3)", "@mystery.faster"])
def test_a_decorator_that_cannot_be_read_may_change_a_forward(decorator: str) -> None:
    assert not model("return self.a(x)", decorator=decorator).complete


@pytest.mark.parametrize("decorator", ["@torch.no_grad()", "@functools.lru_cache", "@torch.jit.export"])
def test_a_decorator_that_computes_nothing(decorator: str) -> None:
    assert model("return self.a(x)", decorator=decorator).complete


def test_a_library_that_is_patched_may_compute_anything() -> None:
    found = model("return self.a(x)", after="def other(self, x): return x\nnn.Linear.forward = other\n")
    assert not found.complete
    assert not found.closed


def test_a_setting_of_a_library_patches_nothing() -> None:
    assert model("return self.a(x)", after="torch.backends.cudnn.benchmark = True\n").complete


def test_gradients_with_a_graph_stand_for_a_whole_backward_pass() -> None:
    after = """
        net = Net()
        x = torch.randn(2, 4, requires_grad=True)
        slope = torch.autograd.grad(net(x).sum(), x, create_graph=True)[0]
        (net(x).sum() + slope.norm()).backward()
    """
    assert not model("return self.a(x)", after=after).complete


def test_a_step_of_a_part_is_no_training() -> None:
    """A loop that calls `self.cell.step(x)` in a forward is run to its end, as it trains nothing."""
    text = HEAD + textwrap.dedent("""
        class Cell(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(4, 4)
            def step(self, x):
                return self.a(x)
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.cell = Cell()
            def forward(self, x):
                for _ in range(5):
                    x = self.cell.step(x)
                return x
    """)
    (graph,) = [g for g in read_file(Source("file.py", text), Project("")).graphs if g.model.name == "Net"]
    assert sum(node.native == "linear" for node in graph.nodes) == 5
    assert graph.model.complete
