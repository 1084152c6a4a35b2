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

Symptoms: RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one. This
error indicates that your module has parameters that were not used in producing loss; Parameter indices which did not
receive grad for rank 0; find_unused_parameters=True; param.grad is None after backward; layer defined but not used;
DDP unused parameters
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from gradlint.analysis.gradient_path import affected, counted
from gradlint.analysis.reach import reach
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Parameter
from gradlint.rule import GraphRule, user_frame
from gradlint.training import EventKind


class UnusedParameter(GraphRule):
    code = "GL109"
    severity = Severity.WARNING
    message = "no output depends on `{part}`, which leaves {count} without a gradient"
    advice = "use it, remove it, or freeze it with requires_grad_(False)"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        model, result = graph.model, reach(graph)
        if not model.complete or _stopped(graph):
            return
        unused = [p for p in model.trainable if p.name in result.unused and p.node is None and not p.owner_read]
        for part, members in groupby(filter(_is_trained, unused), key=lambda p: p.unused_part):
            lost = tuple(members)
            yield self.found(
                lost[0].made,
                path=model.path,
                part=part,
                count=counted(lost, "parameter tensor"),
                extra=affected(model, lost),
            )
        yield from self._dropped(graph, tuple(filter(_is_trained, result.dropped)))

    def _dropped(self, graph: ModelGraph, dropped: tuple[Parameter, ...]) -> Iterator[Finding]:
        """Modules that are called and whose result goes nowhere."""
        for part, members in groupby(dropped, key=lambda p: p.name.rpartition(".")[0] or p.name):
            lost = tuple(members)
            last = graph.node(max(graph.reached([p.node for p in lost if p.node is not None])))
            yield self.found(
                user_frame(last) or lost[0].made,
                path=graph.model.path,
                part=part,
                count=counted(lost, "parameter tensor"),
                extra=affected(graph.model, lost),
            )


def _stopped(graph: ModelGraph) -> bool:
    """Whether a forward pass raised, so that nothing is known of what it would have used."""
    return any(event.error for event in (graph.training.of(EventKind.FORWARD) if graph.training else ()))


def _is_trained(parameter: Parameter) -> bool:
    return parameter.optimized is not False
