"""What single expressions do to the gradient when nothing is executed: which cut, and why."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.graph import ModelGraph, Reason
from gradlint.source import Source

HEAD = """
import copy
import math
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable

@torch.no_grad()
def quietly(x):
    return x * 2

def loudly(x):
    return x * 2

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.low = nn.Linear(4, 4)
        self.high = nn.Linear(4, 2)
        self.register_buffer("mean", torch.zeros(4))
        self.memory = torch.zeros(4)

    def forward(self, x):
        h = self.low(x)
{body}
        return self.high(h)
"""


def graph_of(body: str, tmp_path: Path) -> ModelGraph:
    text = HEAD.format(body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8))
    (graph,) = read_file(Source(str(tmp_path / "net.py"), text), Project(tmp_path)).graphs
    return graph


def starved(graph: ModelGraph) -> set[str]:
    """The trainable parameters from which no open way leads to a target."""
    open_ = set(graph.model.targets)
    for edge in sorted(graph.edges, key=lambda edge: -edge.target):
        if edge.open and edge.target in open_:
            open_.add(edge.source)
    return {p.name for p in graph.model.parameters if p.trainable and p.node not in open_}


def reasons(graph: ModelGraph) -> set[Reason | None]:
    return {edge.reason for edge in graph.edges if not edge.open}


OPEN = [
    "h = h + (h.round() - h).detach()",
    "h = F.gumbel_softmax(h, hard=True)",
    "values, indices = h.topk(2)\nh = torch.cat([values, values], dim=-1)",
    "h = h.max(dim=1, keepdim=True).values.expand(-1, 4)",
    "h = h.to(x.device)",
    "h = h.to(x.dtype)",
    "h = h.cuda().float()",
    "h = torch.stack([h * i for i in range(3)]).sum(0)",
    "out = torch.zeros(2, 4)\nout[:, :2] = h[:, :2]\nh = out",
    "out = torch.zeros(2, 4)\nout[0].copy_(h[0])\nh = out",
    "out = torch.empty_like(h)\nrows = out.view(-1)\nrows.copy_(h.flatten())\nh = out",
    "h *= self.mean\nh += 1",
    "h = torch.where(h > 0, h, torch.zeros_like(h))",
    "h = h.masked_fill(h < 0, 0.0)",
    "h = h[h.argsort(dim=0)[0, 0]]",
    "q, k, v = torch.cat([h, h, h], -1).chunk(3, dim=-1)\nh = F.scaled_dot_product_attention(q, k, v)",
    "with torch.no_grad():\n    scale = h.norm()\nh = h / scale",
    "with torch.set_grad_enabled(True):\n    h = h * 2",
    "with torch.set_grad_enabled(self.training):\n    h = h * 2",
    "with torch.no_grad():\n    with torch.enable_grad():\n        h = h * 2",
    "torch.set_grad_enabled(True)\nh = h * 2",
    "h = loudly(h)",
    "h = torch.vmap(loudly)(h)",
    "h = torch.utils.checkpoint.checkpoint(loudly, h, use_reentrant=False)",
    "h = torch.distributions.Normal(h, 1.0).rsample()",
    "h = torch.some_function_of_the_future(h)",
    "h = h.requires_grad_()",
    "self.memory.copy_(h.detach().mean(0))\nh = h + self.memory",
    "n = h.shape[0]\nh = h.view(n, -1)",
    "h = torch.Tensor(h)",
    "h = torch.as_tensor(h)",
    "h = F.dropout(h, 0.5, training=self.training)",
    "h = nn.Parameter(torch.ones(4)) * h",
    "e, _ = torch.linalg.eigh(h.T @ h)\nh = h * e",
    "idx = h.argmax(-1)\nh = h * F.one_hot(idx, 4)",
    "parts = []\nfor part in h.split(2):\n    parts.append(part)\nh = torch.cat(parts)",
    "h = sum([h, h])",
    "h = torch.einsum('bi,bi->bi', h, h)",
    "h.data.clamp_(0, 1)",
    "print(h.mean().item(), float(h.sum()), h.detach().numpy())",
    "loss = h.new_zeros(4)\nfor i in range(4):\n    loss = loss + h[:, i].mean()\nh = loss.expand(2, 4)",
    "h = {'a': h}['a']",
    "h = x.new_zeros(2, 4) + h",
    "layer = copy.deepcopy(self.low)\nh = layer(h)",
    "h, (a, b) = nn.LSTM(4, 4)(h)",
    "h = nn.utils.rnn.pad_sequence(list(h.unbind(0)))",
    "packed = nn.utils.rnn.pack_padded_sequence(h[None], [1])\n"
    "out, _ = nn.GRU(4, 4)(packed)\n"
    "h, _ = nn.utils.rnn.pad_packed_sequence(out)",
    "h = nn.MultiheadAttention(4, 2)(h, h, h)[0]",
    "h = F.multi_head_attention_forward(h, h, h, 4, 2, None, None, None, None, False, 0.0, self.high.weight, None)[0]",
    "h = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))(h)",
    "h = nn.DataParallel(nn.Linear(4, 4))(h)",
    "h = torch.compile(nn.Linear(4, 4))(h)",
    "h = torch.jit.script(nn.Linear(4, 4))(h)",
    "h = torch.autograd.grad(h.sum(), h, create_graph=True)[0] + h",
    "with torch.autocast('cuda'):\n    h = h * 2",
    "h.register_hook(lambda g: g * 2)",
    "a, b = torch.meshgrid(h[0], h[1], indexing='ij')\nh = a + b",
    "h = torch.stack([r * 2 for r in h])",
    "h = torch.addmm(h, h, h.t())",
    "h = F.pad(h, (1, 1))[:, 1:-1]",
    "h = h.type_as(x)",
    "h = h.type(torch.FloatTensor)",
    "h = h.to(dtype=torch.float16)",
    "h = h.index_select(1, torch.arange(4))",
    "h = h.gather(1, h.argsort(1))",
    "h = torch.zeros(2, 4).scatter_add(1, torch.zeros(2, 4, dtype=torch.long), h)",
    "h = torch.zeros(2, 4).index_add_(0, torch.tensor([0, 1]), h)",
    "h = torch.linalg.norm(h, dim=1, keepdim=True).expand(-1, 4)",
    "h = torch.fft.fft(h).real",
    "h = torch.special.expit(h)",
    "h = torch.ops.aten.relu.default(h)",
    "h = torch.Tensor.add(h, h)",
    "h = getattr(torch, 'tanh')(h)",
    "h = nn.Sequential(nn.ReLU(), nn.Tanh())(h)",
]

CUT = {
    "h = h.detach()": Reason.DETACH,
    "h = h.data": Reason.DETACH,
    "h.detach_()": Reason.DETACH,
    "h = torch.tensor(h)": Reason.REWRAP,
    "h = Variable(h)": Reason.REWRAP,
    "h = x.new_tensor(h)": Reason.REWRAP,
    "h = x.new_tensor(h.tolist())": Reason.SCALAR,
    "h = torch.tensor([h.sum(), h.mean()]).repeat(2)": Reason.REWRAP,
    "h = torch.FloatTensor(h.tolist())": Reason.SCALAR,
    "h = torch.from_numpy(h.detach().numpy() * 2)": Reason.DETACH,
    "h = torch.from_numpy(np.tanh(h.cpu().numpy()))": Reason.NUMPY,
    "h = torch.as_tensor(np.asarray(h))": Reason.NUMPY,
    "h = torch.ones(2, 4) * h.mean().item()": Reason.SCALAR,
    "h = torch.ones(2, 4) * float(h.mean())": Reason.SCALAR,
    "h = torch.ones(2, 4) * math.exp(h.mean())": Reason.NUMPY,
    "h = h.long().float()": Reason.INTEGER_CAST,
    "h = h.to(torch.int64).float()": Reason.INTEGER_CAST,
    "h = h.argmax(-1, keepdim=True).float().expand(-1, 4)": Reason.NON_DIFFERENTIABLE,
    "h = (h > 0).float()": Reason.NON_DIFFERENTIABLE,
    "h = h.topk(4).indices.float()": Reason.NON_DIFFERENTIABLE,
    "h = h.sort()[1].float()": Reason.NON_DIFFERENTIABLE,
    "h = F.one_hot(h.argmax(-1), 4).float()": Reason.NON_DIFFERENTIABLE,
    "h = h.round()": Reason.ZERO,
    "h = torch.sign(h)": Reason.ZERO,
    "with torch.no_grad():\n    h = h * 2": Reason.GRAD_DISABLED,
    "with torch.inference_mode():\n    h = h * 2": Reason.GRAD_DISABLED,
    "with torch.set_grad_enabled(False):\n    h = h * 2": Reason.GRAD_DISABLED,
    "h = quietly(h)": Reason.GRAD_DISABLED,
    "h = torch.no_grad()(loudly)(h)": Reason.GRAD_DISABLED,
    "h = h.detach().requires_grad_()": Reason.MASKED,
    "h = h.detach()\nh.requires_grad = True": Reason.MASKED,
    "h = nn.Parameter(h)": Reason.REWRAP,
    "h = torch.distributions.Normal(h, 1.0).sample()": Reason.NON_DIFFERENTIABLE,
    "h = torch.zeros_like(h)": None,
    "h.zero_()": None,
    "h = torch.autograd.grad(h.sum(), x)[0]": Reason.NON_DIFFERENTIABLE,
}


@pytest.mark.parametrize("body", OPEN)
def test_the_gradient_passes(body: str, tmp_path: Path) -> None:
    assert starved(graph_of(body, tmp_path)) == set()


@pytest.mark.parametrize(("body", "reason"), CUT.items())
def test_the_gradient_is_lost(body: str, reason: Reason | None, tmp_path: Path) -> None:
    graph = graph_of(body, tmp_path)
    assert starved(graph) == {"low.weight", "low.bias"}
    if reason is not None:
        assert reason in reasons(graph)


def test_the_grad_mode_is_restored_behind_a_setter(tmp_path: Path) -> None:
    body = "with torch.set_grad_enabled(False):\n    y = x * 2\nh = h * 2"
    assert starved(graph_of(body, tmp_path)) == set()


def test_a_setter_as_decorator_switches_nothing_at_its_definition(tmp_path: Path) -> None:
    body = "@torch.set_grad_enabled(False)\ndef measure(v):\n    return v.sum()\nmeasure(h)\nh = h * 2"
    assert starved(graph_of(body, tmp_path)) == set()


def test_frozen_parameters_are_known(tmp_path: Path) -> None:
    graph = graph_of(
        "self.high.requires_grad_(False)\nfor p in self.low.parameters():\n    p.requires_grad = False", tmp_path
    )
    assert [p.trainable for p in graph.model.parameters] == [False] * 4
    assert all(p.frozen is not None for p in graph.model.parameters)


def test_initialisers_are_kept(tmp_path: Path) -> None:
    graph = graph_of("nn.init.kaiming_normal_(self.low.weight, mode='fan_out')", tmp_path)
    (made,) = graph.model.parameters[0].initialisations
    assert (made.name, made.arguments) == ("kaiming_normal_", {"mode": "fan_out"})


def test_a_schedule_of_known_numbers_decides_branches(tmp_path: Path) -> None:
    body = "for rate in torch.linspace(0, 0, 3):\n    h = h.detach() if rate.item() > 0 else h"
    assert starved(graph_of(body, tmp_path)) == set()
    body = (
        "rates = [r.tolist() for r in torch.linspace(0, 1, 4).split([1, 3])]\n"
        "if rates[1][2] == 1.0:\n"
        "    h = h.detach()"
    )
    assert starved(graph_of(body, tmp_path)) == {"low.weight", "low.bias"}


def test_a_write_forgets_the_numbers(tmp_path: Path) -> None:
    body = (
        "rates = torch.linspace(0, 0, 1)\n"
        "rates += x.mean()\n"
        "if rates.item() > 0:\n"
        "    h = h * 2\n"
        "else:\n"
        "    h = h.detach()"
    )
    assert starved(graph_of(body, tmp_path)) == set()
