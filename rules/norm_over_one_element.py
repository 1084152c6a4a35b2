"""A normalisation takes its statistic over a single element.

One element is its own mean: what is left of it is 0, whatever it was, and the output is the norm's bias. No gradient
reaches anything before it. A layer norm over a last axis of size 1, a group norm with as many groups as channels on
vectors, an instance norm behind global pooling and a batch norm on a batch of one vector do this (torch refuses the
last two while training).

Bad:

    ```python
    import torch
    from torch import nn


    class Forecaster(nn.Module):
        def __init__(self, window=24):
            super().__init__()
            self.norm = nn.LayerNorm(1)
            self.out = nn.Linear(window, 1)

        def forward(self, series):
            return self.out(self.norm(series).flatten(1))


    def gradlint_inputs():
        return torch.randn(4, 24, 1)
    ```

    ```text
    8:21 error: this norm's statistic is taken over one element, so its output is constant
    ```

    ```python
    import torch
    from torch import nn


    class Scored(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(10, 32)
            self.norm = nn.GroupNorm(32, 32)
            self.out = nn.Linear(32, 1)

        def forward(self, x):
            return self.out(torch.relu(self.norm(self.hidden(x))))


    def train(steps=100):
        model = Scored()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 10)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), x[:, :1])
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    9:21 error: this norm's statistic is taken over one element, so its output is constant
    ```

Good: a layer norm over all features.

    ```python
    import torch
    from torch import nn


    class Series(nn.Module):
        def __init__(self, window=24):
            super().__init__()
            self.norm = nn.LayerNorm([window, 1])
            self.out = nn.Linear(window, 1)

        def forward(self, series):
            return self.out(self.norm(series).flatten(1))


    def gradlint_inputs():
        return torch.randn(4, 24, 1)
    ```

One group a channel on a map, which is an instance norm.

    ```python
    import torch
    from torch import nn


    class Mapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.norm = nn.GroupNorm(8, 8)
            self.out = nn.Linear(8, 1)

        def forward(self, image):
            return self.out(torch.relu(self.norm(self.conv(image))).mean(dim=(2, 3)))
    ```

Batch norm behind global pooling: the batch is its statistic.

    ```python
    from torch import nn


    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))
            self.out = nn.Linear(8, 1)

        def forward(self, image):
            return self.out(self.body(image).flatten(1))
    ```

Also: GL108 for the parameters before such a norm.

Symptoms: output is constant; layer norm returns zeros; gradient is exactly zero before the norm; ValueError: Expected
more than 1 value per channel when training; Expected more than 1 spatial element when training
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.norms import built_at, is_kind, parameters_of
from gradlint.analysis.single_elements import is_over_one
from gradlint.finding import Finding, Severity
from gradlint.graph import Frame, ModelGraph, Node
from gradlint.rule import GraphRule


class NormOverOneElement(GraphRule):
    code = "GL503"
    severity = Severity.ERROR
    message = "this norm's statistic is taken over one element, so its output is constant"
    advice = "normalise over an axis with more elements, or leave the norm out"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        said: set[Frame | None] = set()
        for node in graph.nodes:
            place = _place(graph, node) if is_kind(node, ops.Kind.NORM) and is_over_one(graph, node) else None
            if place is not None and place not in said:
                said.add(place)
                extra = {"model": graph.model.name, "module": node.module or None}
                yield self.found(place, path=graph.model.path, extra=extra)


def _place(graph: ModelGraph, norm: Node) -> Frame | None:
    """Where a norm's layer was built, else where it is called."""
    made = (parameter.made for parameter in parameters_of(graph, norm))
    return next((frame for frame in made if frame is not None), None) or built_at(graph, norm)
