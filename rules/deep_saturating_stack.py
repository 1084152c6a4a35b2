"""Many saturating activations in a row, with nothing between that restores the scale, leave almost nothing of the
gradient.

A sigmoid passes on at most a quarter of its gradient, tanh and softsign less than all of it, and every layer
multiplies. A normalisation or a skip connection ends the row. gradlint warns when the first gradients, measured or
predicted, or else the bounds of the derivatives alone, leave the first weight less than 0.005 of the last one's
gradient; a row that keeps its gradient (tanh with Xavier can be twelve deep) is a note.

Bad:

    ```python
    import torch
    from torch import nn


    class Default(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(20, width),
                nn.Sigmoid(),
                nn.Linear(width, width),
                nn.Sigmoid(),
                nn.Linear(width, width),
                nn.Sigmoid(),
                nn.Linear(width, width),
                nn.Sigmoid(),
                nn.Linear(width, 1),
            )

        def forward(self, x):
            return self.layers(x)
    ```

    ```text
    21:16 warning: 4 saturating activations in a row (sigmoid): the measured gradient falls to 0.0001; 3 are accepted
    ```

    ```python
    import torch
    from torch import nn


    class Decay(nn.Module):
        def __init__(self, width=40, depth=5):
            super().__init__()
            self.hidden = nn.ModuleList(nn.Linear(6 if i == 0 else width, width) for i in range(depth))
            self.out = nn.Linear(width, 2)

        def forward(self, x):
            for layer in self.hidden:
                x = torch.sigmoid(layer(x))
            return self.out(x)
    ```

    ```text
    13:17 warning: 5 saturating activations in a row (sigmoid): the measured gradient falls to 2e-05; 3 are accepted
    ```

Good: a few saturating layers.

    ```python
    import torch
    from torch import nn


    class Shallow(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(20, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1), nn.Sigmoid()
            )

        def forward(self, x):
            return self.layers(x)
    ```

Twelve tanh layers with Xavier keep their gradient: a note.

    ```python
    import torch
    from torch import nn


    class Deep(nn.Module):
        def __init__(self, width=64, depth=12):
            super().__init__()
            self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.out = nn.Linear(width, 1)
            for layer in self.hidden:
                nn.init.xavier_uniform_(layer.weight)

        def forward(self, x):
            for layer in self.hidden:
                x = torch.tanh(layer(x))
            return self.out(x)
    ```

A normalisation between.

    ```python
    import torch
    from torch import nn


    class Normalised(nn.Module):
        def __init__(self, width=32, depth=6):
            super().__init__()
            blocks = [nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.Sigmoid()) for _ in range(depth)]
            self.layers = nn.Sequential(*blocks, nn.Linear(width, 1))

        def forward(self, x):
            return self.layers(x)
    ```

A residual network.

    ```python
    import torch
    from torch import nn


    class Residual(nn.Module):
        def __init__(self, width=32, depth=8):
            super().__init__()
            self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.out = nn.Linear(width, 1)

        def forward(self, x):
            for layer in self.hidden:
                x = x + torch.sigmoid(layer(x))
            return self.out(x)
    ```

Weights shared over time: a recurrent network.

    ```python
    import torch
    from torch import nn


    class Recurrent(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.width = width
            self.step = nn.Linear(width, width)
            self.read = nn.Linear(4, width)
            self.out = nn.Linear(width, 1)

        def forward(self, series):
            state = torch.zeros(len(series), self.width)
            for x in series.unbind(dim=1):
                state = torch.tanh(self.step(state) + self.read(x))
            return self.out(state)


    def gradlint_inputs():
        return torch.randn(3, 9, 4)
    ```

Gates: squeeze-and-excitation.

    ```python
    import torch
    from torch import nn


    class Excited(nn.Module):
        def __init__(self, width=8, depth=5):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
            self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.out = nn.Linear(width, 3)

        def forward(self, x):
            for conv, gate in zip(self.convs, self.gates):
                y = torch.relu(conv(x))
                x = y * torch.sigmoid(gate(y.mean(dim=(2, 3))))[:, :, None, None]
            return self.out(x.mean(dim=(2, 3)))


    def gradlint_inputs():
        return torch.randn(2, 8, 12, 12)
    ```

Symptoms: vanishing gradient; loss flat from the first step; early layers' gradients are 1000 times smaller; sigmoid
network does not learn; output is the same for every input; adding layers makes it worse
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field

from gradlint import ops
from gradlint.analysis.gradient_path import affected
from gradlint.analysis.gradient_profile import change, sizes
from gradlint.analysis.structure import HEALTHY, Run, runs
from gradlint.finding import Evidence, Finding, Related, Severity
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, related_at

OTHERS = 4
"""Further activations of a row that are named."""


class DeepSaturatingStack(GraphRule):
    code = "GL401"
    severity = Severity.WARNING
    message = "{depth} saturating activations in a row ({names}){effect}; {allowed} are accepted"
    advice = "use ReLU or GELU with He initialisation, or put a normalisation or a skip connection between them"
    allowed: int = Field(3, ge=0, description="Longest accepted row of saturating activations.")
    healthy: float = Field(
        HEALTHY, gt=0, description="Share of the last weight's gradient that the first one should keep."
    )

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for run in runs(graph):
            row = _hidden_activations(run)
            if len(row) > self.allowed and not run.shared and not run.bypassed:
                yield self._said(graph, run, row)

    def _said(self, graph: ModelGraph, run: Run, row: tuple[Node, ...]) -> Finding:
        known = sizes(graph, run)
        ratio = known.ratio if known is not None else None
        small = ratio < self.healthy if ratio is not None else _bound(row) < self.healthy
        return self.found(
            row[0].at,
            path=graph.model.path,
            severity=self.severity if small else Severity.NOTE,
            evidence=known.evidence if known is not None and ratio is not None else Evidence.GRAPH,
            related=_others(row),
            depth=len(row),
            names=", ".join(dict.fromkeys(node.op for node in row)),
            allowed=self.allowed,
            effect=f": {change(known)}" if known is not None and small else ", each of which shrinks the gradient",
            extra=affected(graph.model, run.weights) | {"module": row[0].module or None},
        )


def _hidden_activations(run: Run) -> tuple[Node, ...]:
    """The saturating activations that a weight follows."""
    return tuple(node for layer in run.layers[:-1] for node in layer.saturating)


def _bound(row: tuple[Node, ...]) -> float:
    """The most of a gradient that the activations alone let pass: the product of the suprema of |f'|."""
    known = (ops.facts(node.op) for node in row)
    return math.prod(fact.derivative_bound for fact in known if fact is not None and fact.derivative_bound is not None)


def _others(row: tuple[Node, ...]) -> tuple[Related, ...]:
    """The places of the other activations, each once."""
    places = dict.fromkeys(node.at for node in row if node.at != row[0].at)
    return tuple(place for frame in list(places)[:OTHERS] for place in related_at(frame, "another one of the row"))
