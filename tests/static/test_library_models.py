"""What models of libraries, and programs written like them, need of Python: registries, settings, switches."""

from __future__ import annotations

import importlib.util
import textwrap

import pytest
import torch

from gradlint.analysis.reach import reach
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import read_file
from gradlint.frontends.static.torch.module_names import OF_EVERY_MODULE, may_have
from gradlint.graph import ModelGraph
from gradlint.source import Source

HEAD = """
import collections, dataclasses, functools, math, os, re, types
import torch
import torch.nn as nn
import torch.nn.functional as F
from math import pi
"""


def model(text: str, name: str = "Net") -> ModelGraph:
    source = Source("file.py", HEAD + textwrap.dedent(text))
    (found,) = [graph for graph in read_file(source, Project("")).graphs if graph.model.name == name]
    return found


def width(expression: str, before: str = "") -> int:
    """The size that an expression gives a layer."""
    text = textwrap.dedent(before) + textwrap.dedent(f"""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear({expression}, 2)
            def forward(self, x):
                return self.a(x)
    """)
    shape = model(text).model.parameters[0].shape
    return shape[1]


DECIDED = {
    "a text is split": ("int(re.split(r'(\\d+)', 'conv16x')[1])", 16),
    "a text is replaced": ("int(re.sub('k', '', '12k'))", 12),
    "groups of a match": ("int(re.match(r'(\\w)(\\d+)', 'c24').group(2))", 24),
    "a compiled pattern": ("int(re.compile(r'\\d+').search('s48e').group())", 48),
    "a pattern that does not match": ("3 if re.match('x', 'abc') is None else 4", 3),
    "a number of a library": ("int(math.pi) + int(pi)", 6),
    "the parts of a partial": ("(lambda p: p.keywords['n'] + p.args[0])(functools.partial(print, 2, n=5))", 7),
    "the function of a partial": ("3 if functools.partial(F.relu).func is F.relu else 4", 3),
    "whether something is a partial": ("3 if isinstance(functools.partial(int), functools.partial) else 4", 3),
    "whether something is a function": ("3 if isinstance(len_of, types.FunctionType) else 4", 3),
    "whether something is a class": ("3 if isinstance(nn.Linear, type) else 4", 3),
    "a class in a set of others": ("3 if One in {Two} else 4", 4),
    "a class in a set with itself": ("3 if One in {One, Two} else 4", 3),
    "what a library has": ("3 if 'silu' in dir(torch.nn.functional) else 4", 3),
    "an attribute of a library": ("3 if hasattr(F, 'scaled_dot_product_attention') else 4", 3),
    "an attribute that no layer has": ("3 if hasattr(nn.Linear(2, 2), 'init_weights') else 4", 4),
    "a dict of names": ("dict.fromkeys(['a', 'b'], 5)['b']", 5),
    "a position in a list": ("['a', 'b', 'c'].index('c') + 1", 3),
    "the names of a function's parameters": ("len_of.__code__.co_varnames.index('second') + 3", 4),
    "the constructor of a record that is extended": ("Plan(4).width", 8),
}

DEFINITIONS = """
class One: ...
class Two: ...
def len_of(first, second): ...
@dataclasses.dataclass
class Base:
    width: int
    depth: int
class Plan(Base):
    def __init__(self, width):
        super().__init__(width * 2, 1)
"""


@pytest.mark.parametrize(("expression", "wanted"), DECIDED.values(), ids=DECIDED.keys())
def test_what_is_known_decides(expression: str, wanted: int) -> None:
    assert width(expression, DEFINITIONS) == wanted


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", ".*.*.*.*x"])
def test_a_pattern_that_may_take_for_ever_is_left_alone(pattern: str) -> None:
    assert width(f"3 if re.match({pattern!r}, 'a' * 60) else 3", "") in (1, 3)


def test_a_switch_of_the_environment_stays_open_for_the_user() -> None:
    graph = model("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(2, 2)
            def forward(self, x):
                return self.a(x).relu() if "FAST" in os.environ else self.a(x).tanh()
    """)
    assert {"relu", "tanh"} <= {node.op for node in graph.nodes}


FITTING = """
class Norm(nn.BatchNorm2d):
    def __init__(self, size, device=None):
        try:
            super().__init__(size, device=device)
        except TypeError:
            super().__init__(size)
class Old(nn.Module):
    def __init__(self, kind):
        super().__init__()
        try:
            self.act = kind(inplace=True)
        except TypeError:
            self.act = kind()
    def forward(self, x):
        return self.act(x)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.one, self.other = Norm(3), Old(nn.ReLU), Old(nn.GELU)
    def forward(self, x):
        return self.other(self.one(self.norm(x)))
"""


def test_a_handler_of_arguments_that_do_not_fit_runs_only_for_these() -> None:
    graph = model(FITTING)
    calls = [(node.op, node.literals.get("inplace")) for node in graph.nodes if node.op in ("relu", "gelu")]
    assert calls == [("relu", True), ("gelu", None)]
    assert [p.name for p in graph.model.parameters] == ["norm.weight", "norm.bias"]
    assert graph.model.complete


def test_an_op_of_a_base_layer_belongs_to_the_object_that_extends_it() -> None:
    graph = model("""
        class Scaled(nn.Embedding):
            def forward(self, x):
                return super().forward(x) * 2
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.words = Scaled(5, 4)
            def forward(self, x):
                return self.words(x)
    """)
    assert {node.module for node in graph.nodes if node.op in ("embedding", "mul")} == {"words"}


def test_a_weight_norm_is_a_part_of_its_layer() -> None:
    graph = model("""
        from torch.nn.utils.parametrizations import weight_norm
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = weight_norm(nn.Conv1d(2, 3, 3))
            def forward(self, x):
                return self.a(x)
    """)
    (norm,) = [node for node in graph.nodes if node.native == "_weight_norm" and graph.incoming(node.id)][-1:]
    assert norm.module == "a.parametrizations.weight.0"
    assert norm.literals == {"2": 0}


def test_a_cast_to_the_own_dtype_is_no_op() -> None:
    graph = model("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.w = nn.Parameter(torch.zeros(4))
            def forward(self, x):
                return x.float() * self.w.float().to(torch.float32)
    """)
    assert sum(node.native in ("float", "to") for node in graph.nodes) == 1


def test_an_empty_tensor_joins_with_any_other() -> None:
    graph = model("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(4, 4)
            def forward(self, x):
                x = self.a(torch.zeros(2, 3, 4))
                return torch.cat([torch.tensor([]), x], dim=-2)
    """)
    assert next(node.shape for node in graph.nodes if node.native == "cat") == (2, 3, 4)


def test_a_distribution_brings_its_parameters_to_one_shape() -> None:
    graph = model("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.s = nn.Linear(4, 2), nn.Parameter(torch.zeros(2))
            def forward(self, x):
                return torch.distributions.Normal(self.a(x), self.s.exp()).rsample()
    """)
    assert [node.native for node in graph.nodes if node.native == "broadcast_tensors"] == ["broadcast_tensors"] * 2
    assert graph.model.complete


def test_names_of_modules_are_those_of_torch() -> None:
    classes = [c for c in vars(torch.nn).values() if isinstance(c, type) and issubclass(c, torch.nn.Module)]
    assert {name for name in dir(torch.nn.Module()) if not name.startswith("_")} == OF_EVERY_MODULE
    assert not {name for c in classes for name in dir(c) if not may_have(name)}
    assert not may_have("init_weights")


timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
hub = pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")

BODY = """
import {library}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = {made}
        self.head = nn.Linear({width}, 2)
    def forward(self, x):
        return self.head({called})
"""


@timm
@pytest.mark.parametrize("name", ["resnet10t", "lcnet_035", "convnext_atto"])
def test_a_model_of_a_registry_is_read_by_its_name(name: str) -> None:
    made = f"timm.create_model({name!r}, num_classes=0)"
    graph = model(BODY.format(library="timm", made=made, width="self.body.num_features", called="self.body(x)"))
    assert graph.model.complete
    assert sum(node.op == "conv2d" for node in graph.nodes) > 5
    if importlib.util.find_spec("torchvision") is None:
        return  # timm can be read without torchvision, but not be imported
    body = importlib.import_module("timm").create_model(name, num_classes=0)
    assert [p.name for p in graph.model.parameters][:-2] == [f"body.{n}" for n, _ in body.named_parameters()]


@hub
def test_the_attention_that_settings_name_is_the_one_that_runs() -> None:
    text = BODY.format(
        library="transformers",
        made="transformers.BertModel(transformers.BertConfig(hidden_size=16, num_hidden_layers=1,"
        " num_attention_heads=2, intermediate_size=8{}), add_pooling_layer=False)",
        width=16,
        called="self.body(x).last_hidden_state",
    )
    fused = {node.op for node in model(text.replace("{}", "")).nodes}
    eager = {node.op for node in model(text.replace("{}", ", attn_implementation='eager'")).nodes}
    assert "scaled_dot_product_attention" in fused
    assert "softmax" not in fused
    assert "softmax" in eager
    assert "scaled_dot_product_attention" not in eager


OUTPUTS = """
from transformers.utils import ModelOutput

class Output(ModelOutput):
    last: torch.Tensor | None = None
    pooled: torch.Tensor | None = None
    hidden_states: tuple | None = None

class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    def forward(self, x):
        last = self.second(self.first(x))
        return Output(last=last, pooled=self.third(last))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = Body(), nn.Linear(4, 2)
    def forward(self, x):
        USE
"""


@pytest.mark.parametrize(
    ("use", "unused"),
    [
        ("last, pooled = self.body(x)[:2]; return self.head(last + pooled)", set()),
        ("last, = self.body(x)[:1]; return self.head(last)", {"body.third"}),
        ("return self.head(self.body(x)[1])", set()),
        ("return self.head(self.body(x)['last'])", {"body.third"}),
        ("return self.head(self.body(x).hidden_states[-1])", {"body.third"}),
        ("return [self.head(h) for h in self.body(x).hidden_states]", {"body.third"}),
        ("o = self.body(x); return Output(last=self.head(o.last), hidden_states=o.hidden_states)", {"body.third"}),
    ],
)
def test_what_a_model_of_transformers_returns_is_read_by_position_and_name(use: str, unused: set[str]) -> None:
    graph = model(OUTPUTS.replace("USE", use))
    found = reach(graph)
    assert {name.rpartition(".")[0] for name in found.starved} == unused


@pytest.mark.parametrize("test", ["hasattr(nn.utils.parametrizations, 'weight_norm')", "torch.cuda.is_available()"])
def test_a_reparametrisation_of_either_kind_reads_what_it_is_made_of(test: str) -> None:
    graph = model(f"""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                norm = nn.utils.weight_norm
                if {test}:
                    norm = nn.utils.parametrizations.weight_norm
                self.a = norm(nn.Conv1d(2, 3, 3), name="weight", dim=2)
            def forward(self, x):
                return self.a(x)
    """)
    assert not reach(graph).starved


@pytest.mark.parametrize("loop", ["for t in range(x.size(1))", "for t, _ in enumerate(x.unbind(1))", "while more(x)"])
@pytest.mark.parametrize(
    ("step", "unused"),
    [
        ("out[:, 0] = self.head(h); h = torch.tanh(self.state(h))", set()),
        ("out[:, 0] = self.head(h); h, = (torch.tanh(self.state(h)),)", set()),
        ("out[:, 0] = self.head(h); h += self.state(h)", set()),
        ("h = torch.tanh(self.state(h)); h = x[:, 0]; out[:, 0] = self.head(h)", {"state"}),
    ],
)
def test_what_one_pass_hands_to_the_next_is_read_by_it(loop: str, step: str, unused: set[str]) -> None:
    graph = model(f"""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.state, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
            def forward(self, x):
                h, out = torch.zeros(2, 4), torch.zeros_like(x)
                {loop}:
                    {step}
                return out
    """)
    assert {name.rpartition(".")[0] for name in reach(graph).starved} == unused
