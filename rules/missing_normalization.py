"""Many weight layers follow each other with neither a normalisation nor a skip connection.

Each layer multiplies the scale of the signal and of the gradient by its own gain. Torch's default initialisation has
a gain of about 0.4 before ReLU, so ten layers leave a ten-thousandth. A normalisation resets the scale, a skip leads
around it. gradlint warns when the first gradients, measured or predicted, show the damage (the first weight gets less
than 0.005 of the last one's), or, where neither is known, when every layer has torch's default; otherwise (AlexNet,
VGG with He initialisation) it is a note.

Bad:

    ```python
    import torch
    from torch import nn


    class Surrogate(nn.Module):
        def __init__(self, width=96, depth=14):
            super().__init__()
            sizes = [10] + depth * [width]
            self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
            self.out = nn.Linear(width, 3)

        def forward(self, x):
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.out(x)
    ```

    ```text
    9:37 warning: 15 weight layers without a norm or skip, so the measured gradient falls to 1e-05
    ```

    ```python
    import torch
    from torch import nn


    def block(channels, count):
        return [part for _ in range(count) for part in (nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())]


    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, padding=1)
            self.body = nn.Sequential(*block(16, 6), nn.MaxPool2d(2), *block(16, 6))
            self.head = nn.Linear(16, 10)

        def forward(self, image):
            return self.head(self.body(torch.relu(self.stem(image))).mean(dim=(2, 3)))
    ```

    ```text
    12:21 warning: 14 weight layers without a norm or skip, so the measured gradient falls to 5e-06
    ```

Good: a shallow net.

    ```python
    import torch
    from torch import nn


    class Small(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(10, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1), nn.Softplus()
            )

        def forward(self, x):
            return self.layers(x)
    ```

A normalisation, a skip.

    ```python
    import torch
    from torch import nn


    class Mixed(nn.Module):
        def __init__(self, width=32, depth=12):
            super().__init__()
            self.normed = nn.Sequential(
                *(nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()) for _ in range(depth))
            )
            self.skipped = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.out = nn.Linear(width, 1)

        def forward(self, x):
            x = self.normed(x)
            for layer in self.skipped:
                x = x + 0.1 * torch.relu(layer(x))
            return self.out(x)
    ```

He initialisation keeps the profile healthy: a note.

    ```python
    import torch
    from torch import nn


    class Initialised(nn.Module):
        def __init__(self, width=64, depth=10):
            super().__init__()
            self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.out = nn.Linear(width, 1)
            for layer in self.hidden:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

        def forward(self, x):
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.out(x)
    ```

Self-normalising: SELU.

    ```python
    import torch
    from torch import nn


    class SelfNormalising(nn.Module):
        def __init__(self, width=64, depth=10):
            super().__init__()
            self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.out = nn.Linear(width, 1)
            for layer in self.hidden:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

        def forward(self, x):
            for layer in self.hidden:
                x = torch.selu(layer(x))
            return self.out(x)
    ```

Weight norm.

    ```python
    import torch
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm


    class WeightNormed(nn.Module):
        def __init__(self, width=32, depth=10):
            super().__init__()
            self.hidden = nn.ModuleList(weight_norm(nn.Linear(width, width)) for _ in range(depth))
            self.out = nn.Linear(width, 1)

        def forward(self, x):
            for layer in self.hidden:
                x = torch.relu(layer(x))
            return self.out(x)
    ```

Symptoms: deep network does not learn; loss flat from the first step; vanishing gradient; early layers' gradients are
1000 times smaller; deeper is worse than shallow; training accuracy stays at chance; where to put batch norm
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gradlint.analysis.deployed import folds_norms
from gradlint.analysis.gradient_path import affected
from gradlint.analysis.gradient_profile import change, saturates, sizes
from gradlint.analysis.structure import HEALTHY, Layer, Run, initialised_by, runs
from gradlint.finding import Evidence, Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule

SCHEMES = ("kaiming", "xavier", "orthogonal")
"""Initialisers that set a layer's gain without knowing the depth; anything else was scaled by hand."""


class MissingNormalization(GraphRule):
    code = "GL501"
    severity = Severity.WARNING
    message = "{depth} weight layers without a norm or skip, {why}"
    advice = "put a batch, layer or group norm behind the weights, or a skip connection around every second one"
    layers: int = Field(8, ge=2, description="Weight layers in a row that need a normalisation or a skip connection.")
    healthy: float = Field(
        HEALTHY, gt=0, lt=1, description="Share of the last weight's gradient that the first should keep."
    )

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for run in runs(graph):
            if len(run.layers) >= self.layers and not (run.shared or run.bypassed or _is_told_elsewhere(run)):
                yield from self._judged(graph, run)

    def _judged(self, graph: ModelGraph, run: Run) -> Iterator[Finding]:
        known = sizes(graph, run)
        ratio = known.ratio if known is not None else None
        if known is None or ratio is None:
            plain = all(initialised_by(weight) is None for weight in run.weights)
            yield self._said(graph, run, Evidence.GRAPH, plain, "so their scales multiply")
        elif not self.healthy <= ratio <= 1 / self.healthy:
            yield self._said(graph, run, known.evidence, True, f"so {change(known)}")
        elif not any(map(_scaled_by_hand, run.layers)):
            yield self._said(graph, run, known.evidence, False, "though the gradient keeps its size at the start")

    def _said(self, graph: ModelGraph, run: Run, evidence: Evidence, harmful: bool, why: str) -> Finding:
        return self.found(
            run.weights[0].made,
            path=graph.model.path,
            evidence=evidence,
            severity=self.severity if harmful and not folds_norms(graph.model) else Severity.NOTE,
            depth=len(run.layers),
            why=why,
            extra=affected(graph.model, run.weights),
        )


def _is_told_elsewhere(run: Run) -> bool:
    """A row of saturating activations is GL401's; SELU with its own initialisation keeps mean and variance (Klambauer
    et al. 2017)."""
    return saturates(run) or any(step.op == "selu" for layer in run.layers for step in layer.steps)


def _scaled_by_hand(layer: Layer) -> bool:
    call = initialised_by(layer.weight)
    return call is not None and not call.name.startswith(SCHEMES)
