"""Ways of losing a gradient, and what only looks like one, as the source alone shows them."""

from __future__ import annotations

import pytest

from gradlint.analysis.reach import reach
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.graph import ModelGraph, Reason
from gradlint.source import Source

HEAD = "import torch\nfrom torch import nn\n\n"

NET = """
class Net(nn.Module):
    def __init__(self, rounds):
        super().__init__()
        self.rounds = rounds
        self.low, self.high = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, graph):
        x = self.low(x)
        {body}
        return self.high(x)
"""

LOW = ("low.weight", "low.bias")


def graphs(text: str) -> dict[str, ModelGraph]:
    found = read_file(Source("file.py", HEAD + text), Project(".")).graphs
    return {graph.model.name: graph for graph in found}


def starved(body: str, before: str = "") -> tuple[str, ...]:
    return reach(graphs(before + NET.format(body=body))["Net"]).starved


CUTS = {
    "a product with a zero": "x = 0.0 * x",
    "a zero written into": "x = x + 1; x.mul_(0)",
    "torch.mul": "x = torch.mul(x, 0)",
    "weights that are detached for one call": ("x = torch.func.functional_call(nn.Identity(), {}, (x.detach(),))"),
}

KEPT = {
    "a factor that is a setting": "scale = self.rounds or 0; x = x * scale",
    "a sum with a product": "x = x + 0.0 * x",
    "an object that is unread": "graph.ndata['h'] = x; graph.update_all('copy'); x = graph.ndata['h']",
    "an attribute of one": "graph.state.hidden = x; x = graph.state.hidden",
    "a method of a part": "graph.srcdata.update({'h': x}); graph.update_all(); x = graph.dstdata['h']",
    "an attribute of a tensor": "graph.hidden = x; x = graph.mean(0)",
    "a function that is handed over": "graph.apply(lambda nodes: {'h': nodes.h + x}); x = graph.ndata['h']",
    "a key that is not known": "h = {}; h[self.rounds] = x; x = h['a']",
    "a key overwritten perhaps": "h = {'a': 1}; h[self.rounds] = x; x = h['a']",
}


@pytest.mark.parametrize("body", CUTS.values(), ids=CUTS)
def test_starved(body: str) -> None:
    assert starved(body) == LOW


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_not_starved(body: str) -> None:
    assert starved(body) == ()


IN_A_LOOP = """for _ in range(self.rounds):
            x = x + 1
            half = self.low(x)
            x = torch.zeros(4, 16)
            x[:, ::2] = half"""


def test_what_is_made_in_a_pass_keeps_what_is_written_into_it() -> None:
    assert starved(IN_A_LOOP) == ()


FUNCTION = """
class Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return {forward}

    @staticmethod
    def backward(ctx, gradient):
        return {backward}
"""

BACKWARDS = {
    "zeros": ("x.clone()", "torch.zeros_like(gradient), None", LOW, "its backward returns zeros"),
    "zeros of what does not matter": ("y + 1", "torch.zeros_like(gradient), gradient", (), ""),
    "a kernel's": ("x.clone()", "kernels.backward(gradient, ctx.saved_tensors), None", (), ""),
    "filled zeros": ("x.clone()", "torch.zeros_like(gradient).copy_(gradient), None", (), ""),
}


@pytest.mark.parametrize(("forward", "backward", "lost", "fault"), BACKWARDS.values(), ids=BACKWARDS)
def test_backward_of_a_function(forward: str, backward: str, lost: tuple[str, ...], fault: str) -> None:
    before = "import kernels\n" + FUNCTION.format(forward=forward, backward=backward)
    graph = graphs(before + NET.format(body="x = Copy.apply(x, graph)"))["Net"]
    assert reach(graph).starved == lost
    assert all(check.fault.startswith(fault) and bool(check.fault) == bool(fault) for check in graph.model.functions)


def test_a_function_applied_to_what_is_unread_has_no_fault() -> None:
    before = FUNCTION.format(forward="y * 1.0", backward="gradient, None")
    graph = graphs(before + NET.format(body="x = x + Copy.apply(graph.features, x)"))["Net"]
    assert not any(check.fault for check in graph.model.functions)


FUNCTIONAL = """
class Adapted(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    def forward(self, x):
        weights = {{name: {value} for name, value in self.inner.named_parameters()}}
        x = torch.func.functional_call(self.inner, weights, (x,))
        return x
"""


@pytest.mark.parametrize(("value", "lost"), [("value.detach()", 4), ("value * 2", 0)])
def test_functional_calls_use_the_weights_they_get(value: str, lost: int) -> None:
    graph = graphs(FUNCTIONAL.format(value=value))["Adapted"]
    assert len(reach(graph).starved) == lost
    assert {p.name for p in graph.model.parameters} == {f"inner.{i}.{n}" for i in (0, 1) for n in ("weight", "bias")}


MANY = """
class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(*(nn.Linear(4, 4) for _ in range(50)))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x))


model = Deep()
for parameter in model.body.parameters():
    parameter.requires_grad = False
model(torch.randn(2, 4))
"""


def test_every_part_of_a_large_model_is_frozen() -> None:
    graph = graphs(MANY)["Deep"]
    assert [p.name for p in graph.model.trainable] == ["head.weight", "head.bias"]


EVERY_THIRD = """
class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)


class Agent:
    def __init__(self):
        self.policy, self.steps, self.memory = Policy(), 0, []
        self.optimizer = torch.optim.Adam(self.policy.parameters())

    def learn(self, x):
        self.steps += 1
        self.memory.append(x)
        if {test}:
            loss = self.policy(x).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


agent, count = Agent(), 0
other = nn.Linear(4, 2)
second = torch.optim.Adam(other.parameters())
while count < 100:
    count += 1
    x = torch.randn(8, 4)
    choice = agent.policy(x).argmax(dim=1)
    {call}
    second.zero_grad()
    (other(x).sum(dim=1) - choice).square().mean().backward()
    second.step()
"""

RARE = {
    "a counter of the loop": ("True", "if count % 5 == 0: agent.learn(x)"),
    "a counter of an object": ("self.steps % 5 == 0", "agent.learn(x)"),
    "what was remembered": ("len(self.memory) > 64", "agent.learn(x)"),
}


@pytest.mark.parametrize(("test", "call"), RARE.values(), ids=RARE)
def test_a_step_of_some_passes_counts(test: str, call: str) -> None:
    assert reach(graphs(EVERY_THIRD.format(test=test, call=call))["Policy"]).starved == ()


UNREGISTERED = """
class Book(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.codes = torch.randn(4, 4).requires_grad_()

    def forward(self, x):
        return self.layer(x) @ self.codes
"""


def test_a_tensor_that_learns_knows_its_place() -> None:
    (hidden,) = graphs(UNREGISTERED)["Book"].model.hidden
    assert hidden.frame is not None
    assert (
        hidden.frame.line
        == (HEAD + UNREGISTERED).split("\n").index("        self.codes = torch.randn(4, 4).requires_grad_()") + 1
    )


def test_unpacked_parts_know_where_they_are_kept() -> None:
    graph = graphs(NET.format(body="x = x + 1").replace("return self.high(x)", "return x"))["Net"]
    (place,) = {p.made for p in graph.model.parameters if p.name.startswith("high")}
    assert place is not None
    assert "nn.Linear(8, 8)" in (HEAD + NET).split("\n")[place.line - 1]


def test_a_zero_factor_is_the_reason() -> None:
    (cause,) = reach(graphs(NET.format(body="x = 0 * x"))["Net"]).causes
    assert cause.cut.reason is Reason.ZERO
