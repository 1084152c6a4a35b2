"""The first layers of a chain get a thousandth of the last layer's gradient, or less.

Every layer multiplies the gradient by its own gain. Torch's default initialisation has a gain of about 0.4 before ReLU
and 0.15 before a sigmoid, so a handful of layers is enough. gradlint measures the first gradients in one backward pass
at random data, and predicts them from fans and initial scales where nothing is run; it speaks when several layers of
one chain lead there, not when one layer starts near zero, as the last one of a policy or of a residual branch does.
Runs of eight and more layers without a norm are GL501's, four and more saturating activations in a row GL401's, weights
that were scaled by hand GL304's and GL305's.

Bad:

    ```python
    import torch
    from torch import nn


    class Mixed(nn.Module):
        def __init__(self, width=48):
            super().__init__()
            self.front = nn.Sequential(
                nn.Linear(16, width),
                nn.Hardsigmoid(),
                nn.Linear(width, width),
                nn.Hardsigmoid(),
                nn.Linear(width, width),
                nn.Hardsigmoid(),
            )
            self.back = nn.Sequential(
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
            )
            self.out = nn.Linear(width, 1)

        def forward(self, x):
            return self.out(self.back(self.front(x)))


    def gradlint_inputs():
        return torch.randn(32, 16)
    ```

    ```text
    9:13 warning: measured gradient of `front.0.weight` is 0.0004 of `out.weight`'s: 3 hardsigmoids pass on at most 1/6
    ```

Good: He initialisation, which keeps the scale before ReLU.

    ```python
    import torch
    from torch import nn


    class Scaled(nn.Module):
        def __init__(self, width=48, depth=6):
            super().__init__()
            sizes = [16] + depth * [width]
            self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
            self.out = nn.Linear(width, 1)
            for layer in self.hidden:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

        def forward(self, x):
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.out(x)


    def gradlint_inputs():
        return torch.randn(32, 16)
    ```

The last layer of a policy starts near zero: one step, which training takes back at once.

    ```python
    import torch
    from torch import nn


    class Policy(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
            self.head = nn.Linear(width, 4)
            nn.init.uniform_(self.head.weight, -3e-4, 3e-4)

        def forward(self, state):
            return torch.tanh(self.head(self.body(state)))


    def gradlint_inputs():
        return torch.randn(32, 12)
    ```

Symptoms: vanishing gradient; loss flat from the first step; early layers do not change; early layers' gradients are
1000 times smaller
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gradlint.analysis.gradient_path import affected
from gradlint.analysis.gradient_profile import Slope, is_gradual, slopes, told
from gradlint.analysis.wild_scales import wild_weights
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule


class VanishingGradient(GraphRule):
    code = "GL402"
    severity = Severity.WARNING
    message = "{profile}: {cause}"
    advice = "use He initialisation before ReLU, another activation for one that saturates, or a norm between"
    needs_recording = True
    bound: float = Field(1e-3, gt=0, lt=1, description="Share of the last weight's gradient that the first should get.")

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        found = [slope for slope in slopes(graph) if is_gradual(slope, self.bound)]
        blamed = wild_weights(graph, 1 / self.bound, self.bound) if found else frozenset()
        for slope in found:
            if blamed.isdisjoint(weight.name for weight in slope.run.weights):
                yield self._said(graph, slope)

    def _said(self, graph: ModelGraph, slope: Slope) -> Finding:
        weights = slope.run.weights
        return self.found(
            weights[0].made,
            path=graph.model.path,
            evidence=slope.sizes.evidence,
            profile=told(slope.run, slope.sizes),
            cause=slope.cause,
            extra=affected(graph.model, weights),
        )
