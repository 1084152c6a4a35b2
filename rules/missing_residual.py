"""Twenty or more weight layers follow each other without a skip connection.

Normalisation keeps the size of a deep network's gradient, but not its direction: the deeper a plain stack, the less
the gradients at neighbouring inputs have in common (Balduzzi et al. 2017), and the higher its training error becomes
(He et al. 2015: a plain net of 34 layers trains worse than one of 18). A skip connection around every second layer
ends that.

Bad:

    ```python
    import torch
    from torch import nn


    class Stage(nn.Sequential):
        def __init__(self, channels):
            super().__init__(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
            )


    class Deep(nn.Module):
        def __init__(self, depth=26):
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, padding=1)
            self.body = nn.Sequential(*(Stage(16) for _ in range(depth)))
            self.head = nn.Linear(16, 10)

        def forward(self, image):
            return self.head(self.body(torch.relu(self.stem(image))).mean(dim=(2, 3)))
    ```

    ```text
    20:26 note: 28 weight layers in a row without a skip connection, so their gradients lose their direction
    ```

Good: a skip around every layer.

    ```python
    import torch
    from torch import nn


    class Skipping(nn.Module):
        def __init__(self, depth=26, width=32):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
            self.head = nn.Linear(width, 10)

        def forward(self, x):
            for layer, norm in zip(self.layers, self.norms):
                x = x + torch.relu(layer(norm(x)))
            return self.head(x)
    ```

A stack of moderate depth.

    ```python
    import torch
    from torch import nn


    class Moderate(nn.Module):
        def __init__(self, depth=12, width=32):
            super().__init__()
            parts = [nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()) for _ in range(depth)]
            self.layers = nn.Sequential(*parts, nn.Linear(width, 10))

        def forward(self, x):
            return self.layers(x)
    ```

One layer, used again and again.

    ```python
    import torch
    from torch import nn


    class Recurrent(nn.Module):
        def __init__(self, steps=30, width=32):
            super().__init__()
            self.steps = steps
            self.cell = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU())
            self.head = nn.Linear(width, 10)

        def forward(self, x):
            for _ in range(self.steps):
                x = self.cell(x)
            return self.head(x)
    ```

Symptoms: deeper network has a higher training error than a shallow one; degradation problem; very deep network trains
slowly; plain net or ResNet; does a deep CNN with batch norm need skip connections
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from gradlint import ops
from gradlint.analysis.gradient_path import affected
from gradlint.analysis.structure import PASSED, Run, runs
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule

THROUGH = PASSED | {ops.Kind.NORM}


class MissingResidual(GraphRule):
    code = "GL505"
    severity = Severity.NOTE
    message = "{depth} weight layers in a row without a skip connection, so their gradients lose their direction"
    advice = "add the input of every second layer to its output"
    layers: int = Field(20, ge=2, description="Weight layers in a row that need a skip connection.")

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for run in runs(graph, THROUGH):
            if len(run.layers) >= self.layers and not (run.shared or run.bypassed):
                yield self._said(graph, run)

    def _said(self, graph: ModelGraph, run: Run) -> Finding:
        called = Counter(layer.node.at for layer in run.layers)
        return self.found(
            max(called, key=called.__getitem__),
            path=graph.model.path,
            depth=len(run.layers),
            extra=affected(graph.model, run.weights),
        )
