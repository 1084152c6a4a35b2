"""What the evaluator makes of Python: which parameters a model has and which of them a gradient reaches, not run."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlint.analysis.reach import reach
from gradlint.frontends.static.project import Project
from gradlint.frontends.static.reading import Reading, read_file
from gradlint.graph import ModelGraph
from gradlint.source import Source, SourceError

HEAD = """
import copy, functools, itertools, argparse, enum, dataclasses, collections
import torch
import torch.nn as nn
import torch.nn.functional as F
from functools import partial
"""


def read(text: str, path: str = "file.py", root: str = "") -> Reading:
    return read_file(Source(path, HEAD + textwrap.dedent(text)), Project(root))


def model(text: str, name: str = "Net") -> ModelGraph:
    (found,) = [graph for graph in read(text).graphs if graph.model.name == name]
    return found


def names(graph: ModelGraph) -> list[str]:
    return [parameter.name for parameter in graph.model.parameters]


CONSTRUCTORS = {
    "default arguments": (
        "def __init__(self, width=3): super().__init__(); self.a = nn.Linear(width, width)",
        {"a.weight": (3, 3), "a.bias": (3,)},
    ),
    "a class as an argument": (
        "def __init__(self, layer=nn.LayerNorm): super().__init__(); self.a = layer(5)",
        {"a.weight": (5,), "a.bias": (5,)},
    ),
    "partial": (
        "def __init__(self): super().__init__(); make = partial(nn.Linear, bias=False); self.a = make(2, 3)",
        {"a.weight": (3, 2)},
    ),
    "getattr of a name": (
        "def __init__(self, kind='PReLU'): super().__init__(); self.a = getattr(nn, kind)()",
        {"a.weight": (1,)},
    ),
    "a dict of layers": (
        "def __init__(self, kind='p'): super().__init__(); self.a = {'r': nn.ReLU, 'p': nn.PReLU}[kind](3)",
        {"a.weight": (3,)},
    ),
    "a comprehension": (
        "def __init__(self): super().__init__(); self.a = nn.ModuleList(nn.PReLU(i) for i in range(1, 4) if i != 2)",
        {"a.0.weight": (1,), "a.1.weight": (3,)},
    ),
    "a loop with setattr": (
        "def __init__(self):\n    super().__init__()\n    for i in (0, 1): setattr(self, f'a{i}', nn.PReLU(i + 1))",
        {"a0.weight": (1,), "a1.weight": (2,)},
    ),
    "star arguments": (
        "def __init__(self): super().__init__(); parts = [nn.PReLU(1), nn.PReLU(2)]; self.a = nn.Sequential(*parts)",
        {"a.0.weight": (1,), "a.1.weight": (2,)},
    ),
    "a copy": (
        "def __init__(self): super().__init__(); self.a = nn.PReLU(2); self.b = copy.deepcopy(self.a)",
        {"a.weight": (2,), "b.weight": (2,)},
    ),
    "the same module twice": (
        "def __init__(self): super().__init__(); self.a = nn.PReLU(2); self.b = self.a",
        {"a.weight": (2,)},
    ),
    "a match statement": (
        "def __init__(self, n=2):\n    super().__init__()\n    match n:\n        case 1: self.a = nn.PReLU(1)\n"
        "        case 2 | 3: self.a = nn.PReLU(7)",
        {"a.weight": (7,)},
    ),
    "a generator": (
        "def __init__(self): super().__init__(); self.a = nn.ModuleList(self.parts())\n"
        "def parts(self):\n    for size in (2, 3):\n        yield nn.PReLU(size)",
        {"a.0.weight": (2,), "a.1.weight": (3,)},
    ),
    "a while loop": (
        "def __init__(self):\n    super().__init__()\n    self.a = nn.ModuleList()\n    n = 4\n    while n > 1:\n"
        "        self.a.append(nn.PReLU(n))\n        n //= 2",
        {"a.0.weight": (4,), "a.1.weight": (2,)},
    ),
    "try and except": (
        "def __init__(self):\n    super().__init__()\n    try:\n        raise ValueError\n"
        "    except ValueError:\n        self.a = nn.PReLU(5)",
        {"a.weight": (5,)},
    ),
}


@pytest.mark.parametrize("case", CONSTRUCTORS, ids=lambda case: case)
def test_constructors(case: str) -> None:
    body, wanted = CONSTRUCTORS[case]
    forward = "\n    def forward(self, x):\n        return x\n"
    parts = textwrap.indent(body, "    ")
    text = f"class Net(nn.Module):\n{parts}{forward}\nnet = Net()\ny = net(torch.zeros(3))\n"
    found = model(text)
    assert {p.name: p.shape for p in found.model.parameters} == wanted


FORWARDS = {
    "straight": ("return self.b(self.a(x))", set()),
    "detached": ("return self.b(self.a(x).detach())", {"a"}),
    "a side branch": ("y = self.a(x); z = y.detach(); return self.b(y) + z", set()),
    "a local function": ("def f(v): return self.b(v)\nreturn f(self.a(x).detach())", {"a"}),
    "a lambda": ("f = lambda v: v.detach()\nreturn self.b(f(self.a(x)))", {"a"}),
    "a container": ("kept = {'y': [self.a(x).detach()]}\nreturn self.b(kept['y'][0])", {"a"}),
    "unpacking": ("y, *rest = self.a(x).detach(), x, x\nreturn self.b(y)", {"a"}),
    "walrus": ("return self.b(y) if (y := self.a(x).detach()) is not None else None", {"a"}),
    "a condition on data, one way open": (
        "y = self.a(x)\nif x.sum() > 0:\n    y = y.detach()\nreturn self.b(y)",
        set(),
    ),
    "a condition on data, both ways cut": (
        "y = self.a(x)\nif x.sum() > 0:\n    y = y.detach()\nelse:\n    y = y.data\nreturn self.b(y)",
        {"a"},
    ),
    "an early return": ("y = self.a(x)\nif x.sum() > 0:\n    return self.b(y)\nreturn self.b(y.detach())", set()),
    "a flag that is off": ("y = self.a(x)\nif self.flag:\n    y = y.detach()\nreturn self.b(y)", set()),
    "training mode": ("y = self.a(x)\nif self.training:\n    y = y.detach()\nreturn self.b(y)", {"a"}),
    "a loop of unknown length": ("y = self.a(x)\nfor _ in range(len(x)):\n    y = y.detach()\nreturn self.b(y)", set()),
    "a constant loop": ("y = self.a(x)\nfor _ in range(2):\n    y = y.detach()\nreturn self.b(y)", {"a"}),
    "continue": (
        "y = self.a(x)\nfor v in x:\n    if v.sum() > 0:\n        continue\n    y = y.detach()\nreturn self.b(y)",
        set(),
    ),
    "break": (
        "y = self.a(x)\nz = y.detach()\nfor v in x:\n    if v > 0:\n        z = y\n        break\nreturn self.b(z)",
        set(),
    ),
    "an unknown call": ("import nowhere\nreturn self.b(nowhere.f(self.a(x)))", set()),
    "an unknown object": ("import nowhere\nbox = nowhere.Box()\nbox.put(self.a(x))\nreturn self.b(box.get())", set()),
    "a method of the class": ("return self.b(self.helper(self.a(x)))", {"a"}),
    "no_grad": ("with torch.no_grad():\n    y = self.a(x)\nreturn self.b(y)", {"a"}),
    "map": ("return self.b(sum(map(lambda v: v.detach(), [self.a(x)])))", {"a"}),
    "reduce": ("return functools.reduce(lambda v, f: f(v), [self.a, torch.detach, self.b], x)", {"a"}),
    "in-place through an alias": ("y = torch.zeros(4)\nz = y\nz += self.a(x)\nreturn self.b(y)", set()),
    "a list that grows": ("ys = []\nfor f in (self.a, torch.relu):\n    ys.append(f(x))\nreturn self.b(ys[0])", set()),
    "a custom exception": ("if x is None:\n    raise ValueError\nreturn self.b(self.a(x).detach())", {"a"}),
}

NET = """
class Net(nn.Module):
    def __init__(self, flag=False):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.flag = flag

    @staticmethod
    def helper(y):
        return y.detach()

    def forward(self, x):
{body}
"""


@pytest.mark.parametrize("case", FORWARDS, ids=lambda case: case)
def test_forwards(case: str) -> None:
    body, starved = FORWARDS[case]
    found = model(NET.format(body=textwrap.indent(body, " " * 8)))
    assert {name.partition(".")[0] for name in reach(found).starved} == starved


def test_columns_are_those_of_the_expression() -> None:
    text = NET.format(body="        ä = 'ö'; return self.b(self.a(x).detach())")
    (cause,) = reach(model(text)).causes
    line = (HEAD + textwrap.dedent(text)).splitlines()[cause.cut.place.line - 1]  # type: ignore[union-attr]
    place = cause.cut.place
    assert place is not None
    assert line[place.column - 1 : place.end_column - 1] == "self.a(x).detach()"


def test_inheritance_super_and_properties() -> None:
    graph = model(
        """
        class Base(nn.Module):
            def __init__(self, width):
                super().__init__()
                self.width = width
                self.a = nn.PReLU(self.double)

            @property
            def double(self):
                return 2 * self.width

            def forward(self, x):
                return self.a(x)

        class Mixin:
            def forward(self, x):
                return super().forward(x).detach()

        class Net(Mixin, Base):
            def __init__(self, width=3):
                super(Net, self).__init__(width)
        """
    )
    assert {p.name: p.shape for p in graph.model.parameters} == {"a.weight": (6,)}
    assert reach(graph).starved == ("a.weight",)


def test_settings_in_dataclasses_enumerations_and_arguments() -> None:
    graph = model(
        """
        class Kind(enum.Enum):
            SMALL = 2

        @dataclasses.dataclass
        class Config:
            width: int = 4
            sizes: list = dataclasses.field(default_factory=lambda: [1, 2])
            kind: Kind = Kind.SMALL

        parser = argparse.ArgumentParser()
        parser.add_argument("--depth", type=int, default=2)
        parser.add_argument("--plain", action="store_true")
        args = parser.parse_args()

        class Net(nn.Module):
            def __init__(self, config: Config):
                super().__init__()
                self.a = nn.ModuleList([nn.PReLU(config.width) for _ in range(args.depth)])
                self.b = nn.PReLU(config.sizes[1] + config.kind.value)
                if args.plain:
                    self.c = nn.PReLU()

            def forward(self, x):
                return self.b(self.a[0](x))
        """
    )
    assert {p.name: p.shape for p in graph.model.parameters} == {
        "a.0.weight": (4,),
        "a.1.weight": (4,),
        "b.weight": (4,),
    }


def test_a_subclass_of_a_container_keeps_its_parts() -> None:
    graph = model(
        """
        class Keyed(nn.ModuleDict):
            def forward(self, x):
                for name, part in self.items():
                    x = part(x)
                return x

        class Net(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Linear(2, 2), Keyed({"one": nn.Linear(2, 2), "two": nn.Linear(2, 2)}))
        """
    )
    assert len(names(graph)) == 6
    assert not reach(graph).starved
    assert sum(node.native == "linear" for node in graph.nodes) == 3


def test_what_is_not_known_makes_a_model_incomplete() -> None:
    known = model(NET.format(body="        return self.b(self.a(x))"))
    unknown = model(
        """
        import nowhere
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(2, 2)
                self.b = nowhere.build()
            def forward(self, x):
                return self.b(self.a(x))
        """
    )
    assert known.model.complete
    assert not unknown.model.complete
    assert not reach(unknown).starved


def test_a_custom_function_without_a_gradient_for_its_input_starves() -> None:
    graph = model(
        """
        class Sign(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.sign()
            @staticmethod
            def backward(ctx, grad):
                return None

        class Through(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.sign()
            @staticmethod
            def backward(ctx, grad):
                return grad.clamp(-1, 1)

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            def forward(self, x):
                return Sign.apply(self.a(x)) + Through.apply(self.b(x))
        """
    )
    assert reach(graph).starved == ("a.weight", "a.bias")
    assert {check.name: bool(check.fault) for check in graph.model.functions} == {"Sign": True, "Through": False}


def test_the_main_program_is_run_to_its_loss() -> None:
    graph = model(
        NET.format(body="        return self.b(self.a(x))")
        + """
def main():
    net = Net()
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in [(torch.randn(2, 4), torch.randn(2, 4))] * 5:
        opt.zero_grad()
        loss = F.mse_loss(net(x).detach(), y)
        loss.backward()
        opt.step()

if __name__ == "__main__":
    main()
"""
    )
    assert graph.model.reach_at == "loss"
    assert graph.model.trained
    assert len(reach(graph).starved) == 4
    assert all(parameter.optimized for parameter in graph.model.parameters)


FILES = {
    "package/__init__.py": "from .layers import *\nfrom . import inner as aliased\n",
    "package/layers.py": "from torch import nn\n__all__ = ['Block']\n\nclass Block(nn.PReLU):\n    pass\n",
    "package/inner/__init__.py": "from .deep import make\n",
    "package/inner/deep.py": "from ..layers import Block\n\ndef make(n):\n    return Block(n)\n",
    "settings.py": "WIDTH = 2\nSIZES = {'a': WIDTH}\nSIZES['b'] = 3\nSIZES.update(c=4)\n",
    "net.py": """
from torch import nn
import package, settings as chosen
from package import Block, aliased
from package.inner import make

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Block(chosen.WIDTH)
        self.b = make(chosen.SIZES['b'])
        self.c = package.aliased.make(chosen.SIZES['c'])
        self.d = aliased.deep.make(5)

    def forward(self, x):
        return self.a(x) + self.b(x) + self.c(x) + self.d(x)
""",
}


def test_imports_are_followed_through_the_project(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    reading = read_file(Source(str(tmp_path / "net.py"), FILES["net.py"]), Project(str(tmp_path)))
    (graph,) = reading.graphs
    sizes = {p.name: p.shape for p in graph.model.parameters}
    assert sizes == {"a.weight": (2,), "b.weight": (3,), "c.weight": (4,), "d.weight": (5,)}
    assert {Path(path).name for path in reading.files} >= {"layers.py", "deep.py", "settings.py"}


def test_nothing_is_imported(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "planted.py").write_text(f"open({str(marker)!r}, 'w').close()\nWIDTH = 3\n")
    text = "import planted\nfrom torch import nn\nnet = nn.Linear(planted.WIDTH, 1)\n"
    read_file(Source(str(tmp_path / "user.py"), text), Project(str(tmp_path)))
    assert not marker.exists()
    assert "planted" not in sys.modules


ENDLESS = {
    "recursion": "class Net(nn.Module):\n    def __init__(self): super().__init__(); self.a = Net()\nNet()",
    "mutual recursion": "def f(n): return g(n)\ndef g(n): return f(n)\nf(nn.Linear(2, 2))",
    "a loop": "x = nn.Linear(2, 2)\nwhile True:\n    x = nn.Sequential(x)",
    "wide recursion": "def f(x): return f(x.left) + f(x.right)\nf(torch.zeros(2))",
    "an import of itself": "from file import *\nimport file\nfile.file.file",
}


@pytest.mark.parametrize("case", ENDLESS, ids=lambda case: case)
def test_what_never_ends_is_given_up(case: str) -> None:
    assert read(ENDLESS[case]).graphs is not None


LINES = st.sampled_from(
    [
        "x = nn.Linear(2, 2)",
        "for x in x:",
        "    x = x(x)",
        "    continue",
        "if x > y:",
        "    y = x",
        "    break",
        "while x:",
        "    x = y[x]",
        "try:",
        "except Exception as x:",
        "    raise",
        "    return x",
        "def f(x, *y, z=1, **k):",
        "    yield x",
        "class A(nn.Module, x):",
        "    x: int = f(y)",
        "x, *y = f(*x, **y)",
        "del x, y[0], x.y",
        "with x as y, torch.no_grad():",
        "    global x",
        "x.y = {**x, y: x}",
        "match x:",
        "    case {'a': y}: x = y",
        "x += [y async for y in x]",
        "lambda: (yield)",
        "x[y] @= -x if not x else ~y",
        "loss.backward(); opt.step()",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=14))
def test_any_text_is_read(lines: list[str]) -> None:
    try:
        read("\n".join(lines))
    except SourceError:
        return


def test_writes_in_several_branches_are_all_kept() -> None:
    graph = model("""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

        def forward(self, x):
            out = torch.zeros_like(x)
            for expert in self.experts:
                if x.sum() > 0:
                    out.add_(expert(x))
            return out
    """)
    assert reach(graph).starved == ()


def test_a_parameter_that_forward_makes_is_hidden() -> None:
    graph = model("""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x) * nn.Parameter(torch.ones(4))
    """)
    assert [(hidden.kind, hidden.elements) for hidden in graph.model.hidden] == [("tensor", 4)]


def test_a_parameter_that_the_first_forward_makes_and_keeps_is_not() -> None:
    graph = model("""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = None

        def forward(self, x):
            if self.gain is None:
                self.gain = nn.Parameter(torch.ones(x.shape[-1]))
            return x * self.gain
    """)
    assert graph.model.hidden == ()


@pytest.mark.parametrize("made", ["staticmethod(torch.sigmoid)", "staticmethod(squash)", "classmethod(squashed)"])
def test_functions_that_are_bound_by_a_call(made: str) -> None:
    graph = model(f"""
    def squash(x):
        return torch.sigmoid(x)

    def squashed(cls, x):
        return torch.sigmoid(x)

    class Net(nn.Module):
        act = {made}

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.act(self.layer(x))
    """)
    assert graph.model.complete
    assert "sigmoid" in [node.op for node in graph.nodes]


@pytest.mark.parametrize(
    "text", ["while x.sum() > 1:\n                x = x / 2", "x = [y for y in x if y.sum() > 0][0]"]
)
def test_a_test_of_a_tensor_is_on_the_graph(text: str) -> None:
    graph = model(f"""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            x = self.layer(x)
            {text}
            return x
    """)
    assert "__bool__" in [node.op for node in graph.nodes]


@pytest.mark.parametrize(
    ("gradient", "fault"),
    [
        ("torch.zeros_like(g)", "its backward returns zeros for an input that the output depends on"),
        ("g * 0.5", ""),
        ("g", ""),
    ],
)
def test_a_step_function_needs_a_gradient_of_its_own(gradient: str, fault: str) -> None:
    graph = model(f"""
    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return (x > 0).float()

        @staticmethod
        def backward(ctx, g):
            return {gradient}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return Step.apply(self.layer(x))
    """)
    (checked,) = graph.model.functions
    assert checked.fault == fault
    assert bool(reach(graph).starved) is bool(fault)
