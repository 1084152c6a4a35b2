"""The first layers of a chain get a thousand times the last layer's gradient, or more.

Every layer multiplies the gradient by its own gain, and a gain above 1 grows with the depth: a factor before the
activation (a sine of 30 times its input), a scale of the weights that does not shrink with the fan-in. The first step
then throws the first layers far away. gradlint measures the first gradients in one backward pass at random data, or
predicts them from fans and initial scales where nothing is run, and speaks when several layers of one chain lead
there. Runs of eight and more layers without a norm are GL501's.

Bad:

    ```python
    import torch
    from torch import nn


    class Sine(nn.Module):
        def __init__(self, before, behind, omega=30.0):
            super().__init__()
            self.omega = omega
            self.linear = nn.Linear(before, behind)

        def forward(self, x):
            return torch.sin(self.omega * self.linear(x))


    class Field(nn.Module):
        def __init__(self, width=96, depth=5):
            super().__init__()
            hidden = (Sine(width, width) for _ in range(depth))
            self.net = nn.Sequential(Sine(2, width), *hidden, nn.Linear(width, 3))

        def forward(self, place):
            return self.net(place)


    def gradlint_inputs():
        return torch.rand(64, 2)
    ```

    ```text
    9:23 warning: measured gradient of `net.0.linear.weight` is 400,000 times `net.6.weight`'s: 8.5 times a layer
    ```

Good: the initialisation divides by the factor (Sitzmann et al. 2020, section 3.2).

    ```python
    import math

    import torch
    from torch import nn


    class Sine(nn.Module):
        def __init__(self, before, behind, omega=30.0, first=False):
            super().__init__()
            self.omega = omega
            self.linear = nn.Linear(before, behind)
            bound = 1 / before if first else math.sqrt(6 / before) / omega
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x):
            return torch.sin(self.omega * self.linear(x))


    class Field(nn.Module):
        def __init__(self, width=96, depth=5):
            super().__init__()
            hidden = (Sine(width, width) for _ in range(depth))
            self.net = nn.Sequential(Sine(2, width, first=True), *hidden, nn.Linear(width, 3))

        def forward(self, place):
            return self.net(place)


    def gradlint_inputs():
        return torch.rand(64, 2)
    ```

Symptoms: exploding gradient; loss is NaN after a few steps; loss jumps at the first step; huge gradient norm
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


class ExplodingGradient(GraphRule):
    code = "GL403"
    severity = Severity.WARNING
    message = "{profile}: {cause}"
    advice = "divide the initial weights by what multiplies them, or put a norm between the layers"
    needs_recording = True
    bound: float = Field(1e3, gt=1, description="Multiple of the last weight's gradient that the first may get.")

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        found = [slope for slope in slopes(graph) if is_gradual(slope, self.bound)]
        blamed = wild_weights(graph, self.bound, 1 / self.bound) if found else frozenset()
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
