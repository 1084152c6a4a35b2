"""A softmax is the activation of a hidden layer, between two weight layers.

Its results sum to 1, so that a layer of n units passes on values around 1/n: the signal and the gradient shrink with
the width, the units compete, and one that wins silences the rest. A softmax belongs at the output, or where its result
weighs something: attention, mixtures, routing, and soft code books, which gradlint leaves alone.

Bad:

    ```python
    import torch
    from torch import nn


    class Iris(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(4, 16),
                nn.Softmax(dim=1),
                nn.Linear(16, 16),
                nn.ReLU(),
                nn.Linear(16, 3),
            )

        def forward(self, x):
            return self.layers(x)
    ```

    ```text
    10:13 warning: softmax in a hidden layer: its units share a sum of 1 before they reach `layers.2.weight`
    ```

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3, padding=1)
            self.out = nn.Linear(8, 10)

        def forward(self, image):
            x = F.softmax(self.conv(image), dim=1)
            x = F.adaptive_avg_pool2d(x, 1).flatten(1)
            return self.out(F.dropout(x, 0.2, self.training))
    ```

    ```text
    13:13 warning: softmax in a hidden layer: its units share a sum of 1 before they reach `out.weight`
    ```

Good: at the output.

    ```python
    import torch
    from torch import nn


    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))

        def forward(self, x):
            return self.layers(x)
    ```

The weights of an attention, and of a mixture.

    ```python
    import torch
    from torch import nn


    class Mixture(nn.Module):
        def __init__(self, width=16, experts=4):
            super().__init__()
            self.score = nn.Linear(width, 1)
            self.gate = nn.Linear(width, experts)
            self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(experts))
            self.out = nn.Linear(width, 2)

        def forward(self, x):
            pooled = (torch.softmax(self.score(x), dim=1) * x).sum(dim=1)
            gates = torch.softmax(self.gate(pooled), dim=-1)
            y = torch.stack([expert(pooled) for expert in self.experts], dim=1)
            return self.out((gates[:, :, None] * y).sum(dim=1))


    def gradlint_inputs():
        return torch.randn(3, 7, 16)
    ```

A soft code book: the other factor is a table.

    ```python
    import torch
    from torch import nn


    class Memory(nn.Module):
        def __init__(self, width=16, slots=32):
            super().__init__()
            self.read = nn.Linear(width, slots, bias=False)
            self.slots = nn.Linear(slots, width, bias=False)
            self.address = nn.Linear(width, slots)
            self.table = nn.Parameter(torch.randn(slots, width))
            self.out = nn.Linear(width, 2)

        def forward(self, x):
            x = x + self.slots(torch.softmax(self.read(x), dim=-1))
            return self.out(torch.softmax(self.address(x), dim=-1) @ self.table)


    def gradlint_inputs():
        return torch.randn(5, 16)
    ```

Symptoms: network does not learn with softmax between layers; hidden activations tiny; vanishing gradient; all outputs
alike
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.activations import hidden_softmaxes
from gradlint.analysis.signals import written_at
from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule


class SoftmaxInHiddenLayer(GraphRule):
    code = "GL408"
    severity = Severity.WARNING
    message = "softmax in a hidden layer: its units share a sum of 1 before they reach `{weight}`"
    advice = "use ReLU or GELU between layers, and softmax only where a distribution is meant"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        said: set[Frame | None] = set()
        for node, weight in hidden_softmaxes(graph):
            place = written_at(graph, node)
            if place not in said:
                said.add(place)
                yield self.found(
                    place,
                    path=graph.model.path,
                    weight=weight.name,
                    extra={"model": graph.model.name, "module": node.module or None},
                )
