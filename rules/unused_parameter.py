"""A registered trainable parameter takes no part in the result, so it never gets a gradient.

The module is built, counted, saved and handed to the optimizer, and no output depends on it: a copy-paste slip, a
call whose result is dropped, a leftover. Training on one device says nothing. Distributed data parallel stops with an
exception that names no line. gradlint names the part and the line that built it, or, when its result is dropped, the
line of the call. It stays silent when any method or function of the file reads the part, since another mode may train
it.

Bad:

    ```python
    import torch
    from torch import nn


    class Residual(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.up = nn.Linear(width, 2 * width)
            self.down = nn.Linear(2 * width, width)

        def forward(self, x):
            return x + self.down(torch.relu(self.up(self.norm(x))))


    class Tabular(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.stem = nn.Linear(9, width)
            self.first = Residual(width)
            self.second = Residual(width)
            self.head = nn.Linear(width, 1)

        def forward(self, x):
            x = self.stem(x)
            x = self.first(x)
            x = self.first(x)
            return self.head(x)
    ```

    ```text
    21:23 warning: no output depends on `second`, which leaves 6 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn


    class Shifted(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.body = nn.Linear(width, width)
            self.refine = nn.Linear(width, width)
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            x = torch.relu(self.body(x))
            self.refine(x)
            return self.head(x)
    ```

    ```text
    14:9 warning: no output depends on `refine`, which leaves 2 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn


    class Truncated(nn.Module):
        def __init__(self, width=16, depth=4):
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            x = torch.relu(self.blocks[0](x))
            x = torch.relu(self.blocks[1](x))
            return self.head(x)
    ```

    ```text
    8:37 warning: no output depends on `blocks.2`, `blocks.3`, which leaves 4 parameter tensors without a gradient
    ```

Good: another mode uses it.

    ```python
    import torch
    from torch import nn


    class TwoModes(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.trunk = nn.Linear(width, width)
            self.classify = nn.Linear(width, 4)
            self.restore = nn.Linear(width, width)

        def forward(self, x, pretraining=False):
            x = torch.relu(self.trunk(x))
            if pretraining:
                return self.restore(x)
            return self.classify(x)
    ```

Another method uses it: a loss with a learned scale.

    ```python
    import torch
    from torch import nn


    class Heteroscedastic(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Linear(8, 1)
            self.log_scale = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return self.mean(x)

        def loss(self, x, y):
            return (0.5 * ((y - self(x)) * torch.exp(-self.log_scale)).square() + self.log_scale).mean()
    ```

A function outside of the class uses it: the decoder of an encoder.

    ```python
    import torch
    from torch import nn


    class Codec(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(32, 4)
            self.decoder = nn.Linear(4, 32)

        def forward(self, x):
            return self.encoder(x)


    def reconstruct(codec, x):
        return codec.decoder(codec(x))
    ```

Tied weights: one parameter under two names.

    ```python
    import torch
    from torch import nn


    class Tied(nn.Module):
        def __init__(self, vocabulary=40, width=16):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.mix = nn.Linear(width, width)
            self.scores = nn.Linear(width, vocabulary, bias=False)
            self.scores.weight = self.tokens.weight

        def forward(self, ids):
            return self.scores(torch.tanh(self.mix(self.tokens(ids))))


    def gradlint_inputs():
        return torch.randint(0, 40, (2, 7))
    ```

Stochastic depth skips a layer now and then.

    ```python
    import torch
    from torch import nn


    class LayerDrop(nn.Module):
        def __init__(self, width=16, depth=6, skipped=0.5):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.skipped = skipped

        def forward(self, x):
            for layer in self.layers:
                if self.training and torch.rand(()) < self.skipped:
                    continue
                x = x + torch.tanh(layer(x))
            return x
    ```

Features that go through an object which keeps them.

    ```python
    import torch
    from torch import nn


    class Graph:
        def __init__(self, source, target):
            self.source, self.target = source, target
            self.ndata = {}

        def update_all(self):
            h = self.ndata["h"]
            self.ndata["h"] = torch.zeros_like(h).index_add(0, self.target, h[self.source])


    class Passing(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.message = nn.Linear(width, width)
            self.update = nn.Linear(width, width)

        def forward(self, graph, x):
            graph.ndata.update({"h": self.message(x)})
            graph.update_all()
            return self.update(graph.ndata["h"])


    def gradlint_inputs():
        return Graph(torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])), torch.randn(3, 8)
    ```

Values kept under keys that are not known when they are read.

    ```python
    import torch
    from torch import nn


    class Typed(nn.Module):
        def __init__(self, kinds=("paper", "author")):
            super().__init__()
            self.enter = nn.ModuleDict({kind: nn.Linear(4, 8) for kind in kinds})
            self.mix = nn.Linear(8, 8)
            self.out = nn.Linear(8, 2)

        def forward(self, inputs):
            h = {}
            for kind in inputs:
                h[kind] = torch.relu(self.enter[kind](inputs[kind]))
            for kind in inputs:
                h[kind] = self.mix(h[kind])
            return self.out(torch.cat([h["paper"], h["author"]]))


    def gradlint_inputs():
        return ({"paper": torch.randn(3, 4), "author": torch.randn(2, 4)},)
    ```

A part that is built without elements.

    ```python
    import torch
    from torch import nn


    class Conditional(nn.Module):
        def __init__(self, experts=0):
            super().__init__()
            self.experts = experts
            self.route = nn.Linear(8, experts)
            self.first = nn.Linear(8, 8 * max(experts, 1))
            self.out = nn.Linear(8, 2)

        def forward(self, x):
            hidden = torch.relu(self.first(x))
            if self.experts:
                hidden = torch.einsum("be,bei->bi", self.route(x).sigmoid(), hidden.unflatten(1, (self.experts, 8)))
            return self.out(hidden)
    ```

A buffer that is filled in a loop.

    ```python
    import torch
    from torch import nn


    class Interleaved(nn.Module):
        def __init__(self, rounds=2):
            super().__init__()
            self.rounds = rounds
            self.first = nn.Linear(8, 8)
            self.each = nn.Linear(8, 4)

        def forward(self, x):
            x = torch.relu(self.first(x))
            for _ in range(self.rounds):
                x = x + 1
                half = self.each(x)
                x = torch.zeros(x.shape[0], 8)
                x[:, ::2] = half
                x[:, 1::2] = half
            return x
    ```

Symptoms: RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one. This
error indicates that your module has parameters that were not used in producing loss; Parameter indices which did not
receive grad for rank 0; find_unused_parameters=True; param.grad is None after backward; layer defined but not used;
DDP unused parameters
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby

from gradlint.analysis.gradient_path import affected, counted
from gradlint.analysis.reach import reach
from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph, Parameter
from gradlint.rule import GraphRule, user_frame
from gradlint.training import EventKind

Unused = tuple[Frame | None, str, tuple[Parameter, ...]]
"""The place to name, the part of the model, its parameters."""


class UnusedParameter(GraphRule):
    code = "GL109"
    severity = Severity.WARNING
    message = "no output depends on {parts}, which leaves {count} without a gradient"
    advice = "use it, remove it, or freeze it with requires_grad_(False)"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        if not graph.model.closed or _stopped(graph):
            return
        places: dict[Frame | None, list[Unused]] = defaultdict(list)
        for unused in (*_untouched(graph), *_dropped(graph)):
            places[unused[0]].append(unused)
        for place, group in places.items():
            lost = tuple(parameter for _, _, parameters in group for parameter in parameters)
            yield self.found(
                place,
                path=graph.model.path,
                parts=_listed([part for _, part, _ in group]),
                count=counted(lost, "parameter tensor"),
                extra=affected(graph.model, lost),
            )


def _untouched(graph: ModelGraph) -> Iterator[Unused]:
    """The parts that forward never reads, nor any other code of the file; at the line that built them."""
    names = reach(graph).unused
    unused = [p for p in graph.model.trainable if p.name in names and p.node is None and not p.owner_read]
    for part, members in groupby(_trained(unused), key=lambda p: p.unused_part):
        lost = tuple(members)
        yield lost[0].made, part, lost


def _dropped(graph: ModelGraph) -> Iterator[Unused]:
    """The modules that are called and whose result goes nowhere; at the call of the largest such part."""
    dropped = {p.name for p in reach(graph).dropped}
    others = [p.name for p in graph.model.trainable if p.name not in dropped]
    for part, members in groupby(_trained(reach(graph).dropped), key=lambda p: _largest(p.name, others)):
        lost = tuple(members)
        yield graph.model.calls.get(part) or _last_read(graph, lost) or lost[0].made, part, lost


def _last_read(graph: ModelGraph, lost: tuple[Parameter, ...]) -> Frame | None:
    """The last op that is computed from parameters; None where only a copy or a moving average reads them."""
    nodes = [p.node for p in lost if p.node is not None]
    if not any(edge.open for node in nodes for edge in graph.outgoing(node)):
        return None
    return user_frame(graph.node(max(graph.reached(nodes))))


def _largest(name: str, others: list[str]) -> str:
    """The largest part around a parameter that holds no parameter of `others`."""
    parts = name.split(".")
    around = (".".join(parts[:depth]) for depth in range(1, len(parts)))
    return next((part for part in around if not any(other.startswith(part + ".") for other in others)), name)


def _trained(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    """Without those that every optimizer leaves out, and those without elements."""
    return (p for p in parameters if p.optimized is not False and all(p.shape))


def _stopped(graph: ModelGraph) -> bool:
    """Whether a forward pass raised, so that nothing is known of what it would have used."""
    return any(event.error for event in (graph.training.of(EventKind.FORWARD) if graph.training else ()))


def _listed(parts: list[str], most: int = 3) -> str:
    """The first parts by name, and how many more there are."""
    more = len(parts) - most
    return ", ".join(f"`{part}`" for part in parts[:most]) + (f" and {more} more" if more > 0 else "")
