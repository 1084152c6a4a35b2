"""Xavier initialisation fills a weight whose output goes into a ReLU, which halves the signal's power at every such
layer.

Xavier (Glorot and Bengio 2010) keeps the variance of a symmetric activation near its linear part, such as tanh. ReLU
cuts off one half of the signal, so the weights need twice the variance: He initialisation (He et al. 2015, section
2.2), or Xavier with `gain=nn.init.calculate_gain("relu")`. One layer more or less does not matter much; ten of them
leave a thousandth. Where the layers of a call keep half of the signal's size and more, by their fans, it is a note.

The fix is an unsafe one: training starts from other weights, and a call that fills layers without a ReLU too gives
those more than they need.

Bad:

    ```python
    import torch
    from torch import nn


    class Pricing(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.first = nn.Linear(20, width)
            self.second = nn.Linear(width, width)
            self.price = nn.Linear(width, 1)
            nn.init.xavier_uniform_(self.first.weight)
            nn.init.xavier_uniform_(self.second.weight)

        def forward(self, x):
            x = torch.relu(self.first(x))
            x = torch.relu(self.second(x))
            return self.price(x)
    ```

    ```text
    11:9 warning: `xavier_uniform_` is made for tanh, and the ReLU behind 1 weight halves the signal's power
    12:9 warning: `xavier_uniform_` is made for tanh, and the ReLU behind 1 weight halves the signal's power
    ```

    ```python
    import torch
    from torch import nn


    def initialise(module):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)


    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 16, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.LeakyReLU()
            )
            self.score = nn.Linear(32, 5)
            self.apply(initialise)

        def forward(self, image):
            return self.score(self.features(image).mean(dim=(2, 3)))
    ```

    ```text
    7:9 warning: `xavier_normal_` is made for tanh, and the ReLU behind 2 weights halves the signal's power
    ```

Fixed:

    ```python
    import torch
    from torch import nn


    class Pricing(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.first = nn.Linear(20, width)
            self.second = nn.Linear(width, width)
            self.price = nn.Linear(width, 1)
            nn.init.kaiming_uniform_(self.first.weight, nonlinearity="relu")
            nn.init.kaiming_uniform_(self.second.weight, nonlinearity="relu")

        def forward(self, x):
            x = torch.relu(self.first(x))
            x = torch.relu(self.second(x))
            return self.price(x)
    ```

    ```python
    import torch
    from torch import nn


    def initialise(module):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)


    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 16, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.LeakyReLU()
            )
            self.score = nn.Linear(32, 5)
            self.apply(initialise)

        def forward(self, image):
            return self.score(self.features(image).mean(dim=(2, 3)))
    ```

Good: a norm layer stands between.

    ```python
    import torch
    from torch import nn


    class Normed(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(20, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, 1))
            for layer in self.layers:
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight)

        def forward(self, x):
            return self.layers(x)
    ```

The gain of ReLU, by name or by value.

    ```python
    import torch
    from torch import nn


    class Gained(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.first = nn.Linear(20, width)
            self.second = nn.Linear(width, width)
            self.out = nn.Linear(width, 1)
            nn.init.xavier_uniform_(self.first.weight, gain=nn.init.calculate_gain("relu"))
            nn.init.xavier_normal_(self.second.weight, 2**0.5)

        def forward(self, x):
            return self.out(torch.relu(self.second(torch.relu(self.first(x)))))
    ```

GELU and SiLU: Xavier is the convention of transformers.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class FeedForward(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.up = nn.Linear(width, 4 * width)
            self.gate = nn.Linear(4 * width, 4 * width)
            self.down = nn.Linear(4 * width, width)
            for layer in (self.up, self.gate, self.down):
                nn.init.xavier_uniform_(layer.weight)

        def forward(self, x):
            return self.down(F.silu(self.gate(F.gelu(self.up(x)))))
    ```

A residual branch: the sum carries the signal past it.

    ```python
    import torch
    from torch import nn


    class Encoder(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)
            self.norm = nn.LayerNorm(width)
            for weight in (self.up.weight, self.down.weight):
                nn.init.xavier_uniform_(weight)

        def forward(self, x):
            return self.norm(x + self.down(torch.relu(self.up(x))))
    ```

The last layer.

    ```python
    import torch
    from torch import nn


    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(20, 32)
            self.count = nn.Linear(32, 1)
            nn.init.kaiming_uniform_(self.hidden.weight, nonlinearity="relu")
            nn.init.xavier_uniform_(self.count.weight)

        def forward(self, x):
            return torch.relu(self.count(torch.relu(self.hidden(x))))
    ```

A gain that makes up for the ReLU.

    ```python
    import torch
    from torch import nn


    class Messages(nn.Module):
        def __init__(self, width=16, act=torch.relu):
            super().__init__()
            self.act = act
            self.first, self.second = nn.Linear(width, width), nn.Linear(width, 4)
            self.reset()

        def reset(self):
            gain = 1.0
            if self.act is torch.relu:
                gain = nn.init.calculate_gain("relu")
            for layer in (self.first, self.second):
                nn.init.xavier_uniform_(layer.weight, gain=gain)

        def forward(self, x):
            return self.second(self.act(self.first(x)))
    ```

Initialisation that a library's own layer made.

    ```python
    import torch
    from torch import nn


    class Translator(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.source = nn.Embedding(50, width)
            self.core = nn.Transformer(width, 2, 1, 1, 32, batch_first=True)
            self.words = nn.Linear(width, 50)

        def forward(self, source, target):
            return self.words(self.core(self.source(source), self.source(target)))


    def gradlint_inputs():
        return torch.randint(0, 50, (2, 7)), torch.randint(0, 50, (2, 5))
    ```

Symptoms: which initialisation for ReLU; Xavier or He (Kaiming, Glorot); deep ReLU network does not start to learn;
activations shrink layer by layer; outputs are almost constant at the start of training; loss plateau in the first
epochs
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from pydantic import Field

from gradlint import ops
from gradlint.analysis.gains import kept
from gradlint.analysis.gradient_path import affected, counted
from gradlint.analysis.structure import SUMS, Layer, Run, initialised_by, is_rectifier, runs
from gradlint.code import Code
from gradlint.finding import Finding, Fix, Severity
from gradlint.frame import Frame
from gradlint.graph import Initialisation, ModelGraph, Node
from gradlint.rule import GraphRule

HE = {"xavier_uniform_": "kaiming_uniform_", "xavier_normal_": "kaiming_normal_"}
INIT = "torch.nn.init."
GAIN_KEYS = ("gain", "0")
"""Xavier's gain by keyword, and by its position among the arguments behind the tensor."""

KEEPS_SCALE = frozenset(
    {ops.Kind.RESHAPE, ops.Kind.CAST, ops.Kind.DROPOUT, ops.Kind.PADDING, ops.Kind.INDEXING, ops.Kind.POOL}
)


class XavierBeforeRelu(GraphRule):
    code = "GL301"
    severity = Severity.WARNING
    message = "`{function}` is made for tanh, and the ReLU behind {count} halves the signal's power"
    advice = "use nn.init.{better}(weight, nonlinearity='relu'), or gain=nn.init.calculate_gain('relu')"

    kept: float = Field(
        0.5, gt=0, le=1, description="Share of the signal's size that is left behind its layers, below which it warns."
    )

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        hidden = [(run, layer) for run in runs(graph) if not run.bypassed for layer in _hidden(run)]
        found = [(call, layer, run) for run, layer in hidden if (call := _xavier(layer)) and _meets_rectifier(layer)]
        blamed = [(call, layer, run) for call, layer, run in found if not _serves_attention(graph, call)]
        blamed.sort(key=lambda one: _place(one[0]))
        for _, group in groupby(blamed, key=lambda one: _place(one[0])):
            members = list(group)
            healthy = all(kept(graph, run, _xavier) >= self.kept for _, _, run in members)
            yield self._said(graph, [(call, layer) for call, layer, _ in members], healthy)

    def _said(self, graph: ModelGraph, group: list[tuple[Initialisation, Layer]], healthy: bool) -> Finding:
        call = group[0][0]
        weights = tuple({layer.weight.name: layer.weight for _, layer in group}.values())
        return self.found(
            call.frame,
            path=graph.model.path,
            severity=Severity.NOTE if healthy else self.severity,
            function=call.name,
            better=HE[call.name],
            count=counted(weights, "weight"),
            extra=affected(graph.model, weights),
        )

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """He initialisation of the same distribution; training starts from other weights."""
        better = HE.get(code.resolved(code.call.func).removeprefix(INIT))
        if better is None:
            return None
        gained = code.keyword(code.call, "nonlinearity", '"relu"', position=1, instead="gain")
        return code.unsafe(code.rename(code.call.func, INIT + better), gained)


def _hidden(run: Run) -> tuple[Layer, ...]:
    """The layers that another one follows."""
    return run.layers if run.followed else run.layers[:-1]


def _xavier(layer: Layer) -> Initialisation | None:
    """The call that initialised a weight last, when it is the user's own Xavier call with gain 1."""
    call = initialised_by(layer.weight)
    if call is None or call.name not in HE:
        return None
    gain = next((call.arguments[key] for key in GAIN_KEYS if key in call.arguments), 1)
    return call if gain == 1 else None


def _meets_rectifier(layer: Layer) -> bool:
    """Whether the weight's output comes to a ReLU before anything that rescales it."""
    for step in layer.steps:
        if is_rectifier(step):
            return True
        if not _keeps_scale(step):
            return False
    return False


def _serves_attention(graph: ModelGraph, call: Initialisation) -> bool:
    """Whether the call fills the projections of an attention too: Xavier throughout is a transformer's convention."""
    nodes = [p.node for p in graph.model.parameters if p.node is not None and call in p.initialisations]
    known = (ops.facts(graph.node(edge.target).op) for node in nodes for edge in graph.outgoing(node))
    return any(facts is not None and facts.kind is ops.Kind.ATTENTION for facts in known)


def _keeps_scale(step: Node) -> bool:
    known = ops.facts(step.op)
    return known is not None and (known.kind in KEEPS_SCALE or known.name in SUMS)


def _place(call: Initialisation) -> tuple[str, int, int]:
    frame = call.frame or Frame("", 0)
    return (frame.path, frame.line, frame.column)
