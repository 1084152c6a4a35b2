"""Two linear maps with nothing non-linear between them collapse into one.

A linear map of a linear map is a linear map: the second layer adds parameters and time but nothing that the first
could not do alone, and the network is shallower than it looks. gradlint follows a layer's result through dropout,
reshapes and average pooling to the next layer that is the only one to read it. What is a factorisation on purpose is
left alone: a width between that is smaller than both ends, separable and grouped convolutions, patches, learnt
upsampling, the projections of an attention.

Bad:

    ```python
    import torch
    from torch import nn


    class Wine(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(11, 64)
            self.second = nn.Linear(64, 64)
            self.out = nn.Linear(64, 1)

        def forward(self, x):
            x = self.first(x)
            x = self.second(x)
            return self.out(torch.relu(x))
    ```

    ```text
    14:13 warning: nothing non-linear between `first.weight` and `second.weight`: they are one linear map
    ```

    ```python
    import torch
    from torch import nn


    class Tiles(nn.Module):
        def __init__(self, classes=5):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 16, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, padding=1),
                nn.Dropout2d(0.1),
                nn.Conv2d(32, 32, 3, padding=1),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
            )
            self.head = nn.Linear(32, classes)

        def forward(self, tile):
            return self.head(self.features(tile).flatten(1))
    ```

    ```text
    13:13 warning: nothing non-linear between `features.2.weight` and `features.4.weight`: they are one linear map
    ```

    ```python
    from torch import nn
    from torch.nn.utils import parametrizations


    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = parametrizations.weight_norm(nn.Linear(13, 32))
            self.second = parametrizations.weight_norm(nn.Linear(32, 32))
            self.score = nn.Linear(32, 1)

        def forward(self, x):
            return self.score(self.second(self.first(x)).relu())
    ```

    ```text
    13:27 warning: nothing non-linear between `first.weight` and `second.weight`: they are one linear map
    ```

Good: an activation between, and a batch norm, which is not linear while it trains.

    ```python
    import torch
    from torch import nn


    class Head(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(11, width), nn.GELU(), nn.Linear(width, width), nn.BatchNorm1d(width), nn.Linear(width, 3)
            )

        def forward(self, x):
            return self.layers(x)
    ```

A factorisation of low rank, and a depthwise-separable convolution.

    ```python
    import torch
    from torch import nn


    class Factorised(nn.Module):
        def __init__(self, width=64, rank=8):
            super().__init__()
            self.depthwise = nn.Conv2d(3, 6, 3, padding=1, groups=3)
            self.pointwise = nn.Conv2d(6, width, 1)
            self.down = nn.Linear(width, rank, bias=False)
            self.up = nn.Linear(rank, width)
            self.out = nn.Linear(width, 5)

        def forward(self, image):
            x = torch.relu(self.pointwise(self.depthwise(image))).mean(dim=(2, 3))
            return self.out(torch.relu(self.up(self.down(x))))


    def gradlint_inputs():
        return torch.randn(2, 3, 16, 16)
    ```

Heads that share a trunk, a sampled latent, and the sum at the end of a residual branch.

    ```python
    import torch
    from torch import nn


    class Encoder(nn.Module):
        def __init__(self, width=32, latent=24):
            super().__init__()
            self.trunk = nn.Linear(width, width)
            self.mean = nn.Linear(width, latent)
            self.spread = nn.Linear(width, latent)
            self.decoder = nn.Linear(latent, width)
            self.inner = nn.Linear(width, width)
            self.outer = nn.Linear(width, width)
            self.out = nn.Linear(width, 4)

        def forward(self, x):
            h = self.trunk(x)
            mean, spread = self.mean(h), self.spread(h)
            y = self.decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * spread.clamp(max=5)))
            y = y + self.outer(torch.relu(self.inner(y)))
            return self.out(y), mean, spread
    ```

Symptoms: adding layers does not help; deep network no better than a linear model; no activation between Linear layers;
underfits however wide it is
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.linear_maps import Collapse, collapses
from gradlint.analysis.signals import written_at
from gradlint.finding import Finding, Related, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, related_at

PAIR = 2


class MissingActivation(GraphRule):
    code = "GL404"
    severity = Severity.WARNING
    message = "nothing non-linear between {names}: they are one linear map"
    advice = "put an activation between them, or keep only one of them"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        if not graph.model.complete:
            return
        said: set[Frame | None] = set()
        for found in collapses(graph):
            place = written_at(graph, found.maps[1].node)
            if place not in said:
                said.add(place)
                yield self._said(graph, found, place)

    def _said(self, graph: ModelGraph, found: Collapse, place: Frame | None) -> Finding:
        return self.found(
            place,
            path=graph.model.path,
            related=_others(graph, found, place),
            names=_listed(tuple(f"`{one.name}`" for one in found.maps)),
            extra={"model": graph.model.name, "module": found.maps[1].node.module or None},
        )


def _others(graph: ModelGraph, found: Collapse, place: Frame | None) -> tuple[Related, ...]:
    frames = dict.fromkeys(written_at(graph, one.node) for one in found.maps)
    return tuple(one for frame in frames if frame != place for one in related_at(frame, "another one of them"))


def _listed(names: tuple[str, ...]) -> str:
    """`a and b`, `a and 2 more`."""
    return f"{names[0]} and {names[1] if len(names) == PAIR else f'{len(names) - 1} more'}"
