"""An activation is applied to the result of an activation.

The second one finds nothing left to do, or takes away what the first one left: a sigmoid of a sigmoid lies between
0.5 and 0.73, a softmax of a softmax is nearly uniform, and both pass on a small part of the gradient. It happens when
a layer already holds its activation and the forward pass adds one, or the training loop does.

Bad:

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Block(nn.Module):
        def __init__(self, before, behind):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(before, behind, 3, padding=1), nn.LeakyReLU(0.1))

        def forward(self, x):
            return self.layers(x)


    class Tiles(nn.Module):
        def __init__(self, classes=5):
            super().__init__()
            self.block = Block(3, 12)
            self.head = nn.Linear(12, classes)

        def forward(self, tile):
            x = F.leaky_relu(self.block(tile), 0.1)
            return self.head(x.mean(dim=(2, 3)))


    def gradlint_inputs():
        return torch.randn(2, 3, 16, 16)
    ```

    ```text
    22:13 warning: leaky_relu is applied to the result of another leaky_relu, which takes away signal and gradient
    ```

    ```python
    import torch
    from torch import nn


    class Click(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(18, width),
                nn.ReLU(),
                nn.Linear(width, 1),
                nn.Tanh(),
                nn.Sigmoid(),
            )

        def forward(self, x):
            return self.layers(x)
    ```

    ```text
    13:13 warning: sigmoid is applied to the result of tanh, which takes away signal and gradient
    ```

    ```python
    import torch
    from torch import nn


    class Pooled(nn.Module):
        def __init__(self, width=10):
            super().__init__()
            self.score = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 1))
            self.out = nn.Linear(width, 1)

        def forward(self, x):
            share = torch.sigmoid(self.score(x)).softmax(dim=1)
            return self.out((share * x).sum(dim=1))


    def gradlint_inputs():
        return torch.randn(8, 5, 10)
    ```

    ```text
    12:17 warning: softmax is applied to the result of sigmoid, which takes away signal and gradient
    ```

Good: one activation a layer.

    ```python
    import torch
    from torch import nn


    class Once(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            self.hidden = nn.Sequential(nn.Linear(18, width), nn.ReLU(), nn.Dropout(0.1))
            self.out = nn.Sequential(nn.Linear(width, 1), nn.Sigmoid())

        def forward(self, x):
            return self.out(self.hidden(x))
    ```

Scores that are bounded before the softmax of an attention, and a softmax over each axis in turn.

    ```python
    import torch
    from torch import nn


    class Pooled(nn.Module):
        def __init__(self, width=24):
            super().__init__()
            self.key = nn.Linear(width, width)
            self.score = nn.Linear(width, 2)
            self.out = nn.Linear(width, 4)

        def forward(self, windows):
            weights = torch.softmax(torch.tanh(self.score(torch.relu(self.key(windows)))), dim=1)
            weights = torch.softmax(weights, dim=2).mean(dim=2, keepdim=True)
            return self.out((weights * windows).sum(dim=1))


    def gradlint_inputs():
        return torch.randn(3, 10, 24)
    ```

Shares between 0 and 1 without a second competition.

    ```python
    import torch
    from torch import nn


    class Normed(nn.Module):
        def __init__(self, width=10):
            super().__init__()
            self.score = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 1))
            self.out = nn.Linear(width, 1)

        def forward(self, x):
            share = torch.sigmoid(self.score(x))
            share = share / share.sum(dim=1, keepdim=True).clamp(min=1e-6)
            return self.out((share * x).sum(dim=1))


    def gradlint_inputs():
        return torch.randn(8, 5, 10)
    ```

Symptoms: outputs between 0.5 and 0.73; predictions nearly uniform; loss stays at ln 2; loss falls slowly; all
probabilities are close to 1 / classes
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.activations import Stacked, stacked
from gradlint.analysis.signals import written_at
from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, related_at

IDEMPOTENT = frozenset({"relu", "log_softmax"})
"""Twice is the same as once."""


class DoubledActivation(GraphRule):
    code = "GL405"
    severity = Severity.WARNING
    message = "{outer} is applied to the result of {inner}, which {why}"
    advice = "leave one of them out"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        said: set[Frame | None] = set()
        for found in stacked(graph):
            place = written_at(graph, found.outer)
            if place not in said:
                said.add(place)
                yield self._said(graph, found, place)

    def _said(self, graph: ModelGraph, found: Stacked, place: Frame | None) -> Finding:
        inner = written_at(graph, found.inner)
        same = found.outer.op == found.inner.op
        harmless = same and found.outer.op in IDEMPOTENT
        return self.found(
            place,
            path=graph.model.path,
            severity=Severity.NOTE if harmless and found.outer.op == "log_softmax" else self.severity,
            related=related_at(inner, "the first one") if inner != place else (),
            outer=found.outer.op,
            inner=f"another {found.inner.op}" if same else found.inner.op,
            why="does nothing" if harmless else "takes away signal and gradient",
            extra={"model": graph.model.name, "module": found.outer.module or None},
        )
