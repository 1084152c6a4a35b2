"""The initial scale of the weights makes the signal grow a thousandfold, or saturates the units behind them.

A layer multiplies the power of its signal by fan-in times the weights' mean square, so that a fixed standard deviation
such as 1 is a gain of 16 for 512 inputs before ReLU. In a chain without norms the gains multiply: the outputs start
far off, the loss in the hundreds or infinite, and the first steps destroy what they meet. Before tanh and sigmoid the
signal stays bounded but the units are flat. The ratio of the weights' gradients does not show it: the signal grows
forward as the gradient does backward. Behind a norm layer the scale does not matter, which is why such runs are left
out.

Bad:

    ```python
    import torch.nn.functional as F
    from torch import nn


    class Digits(nn.Module):
        def __init__(self, width=512):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in [(64, width), (width, width), (width, 10)])
            for layer in self.layers:
                nn.init.normal_(layer.weight, mean=0.0, std=1.0)

        def forward(self, x):
            for layer in self.layers[:-1]:
                x = F.relu(layer(x))
            return self.layers[-1](x)
    ```

    ```text
    10:13 warning: `normal_` gives 3 weights a gain of 8 to 23 each: the signal grows 2,000 times
    ```

    ```python
    import torch
    from torch import nn


    class Policy(nn.Module):
        def __init__(self, width=256):
            super().__init__()
            self.inner = nn.Linear(width, width)
            self.outer = nn.Linear(width, 4)
            nn.init.uniform_(self.inner.weight, -1, 1)

        def forward(self, state):
            return self.outer(torch.tanh(self.inner(state)))
    ```

    ```text
    10:9 warning: `uniform_` gives 1 weight a gain of 9.3: 80% of the units of the tanh behind are saturated
    ```

Good: the scale that keeps the signal, by the fan-in.

    ```python
    import torch.nn.functional as F
    from torch import nn


    class Digits(nn.Module):
        def __init__(self, width=512):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in [(64, width), (width, width), (width, 10)])
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)

        def forward(self, x):
            for layer in self.layers[:-1]:
                x = F.relu(layer(x))
            return self.layers[-1](x)
    ```

A norm behind every layer takes the scale back.

    ```python
    import torch
    from torch import nn


    class Normalised(nn.Module):
        def __init__(self, width=512):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
            self.out = nn.Linear(width, 10)
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=1.0)

        def forward(self, x):
            for layer, norm in zip(self.layers, self.norms):
                x = torch.relu(norm(layer(x)))
            return self.out(x)
    ```

The weights are divided by the root of the fan-in where they are used (Jacot et al. 2018).

    ```python
    import torch
    from torch import nn


    class Scaled(nn.Module):
        def __init__(self, width=512):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(4))
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=1.0)

        def forward(self, x):
            for layer in self.layers:
                x = torch.relu(layer(x) * 0.0625)
            return x
    ```

Symptoms: loss starts in the hundreds; loss is nan from the first steps; logits are huge; tanh outputs are all 1 or -1;
training diverges unless the learning rate is tiny
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gradlint.analysis.gradient_path import affected, counted
from gradlint.analysis.gradient_profile import rounded
from gradlint.analysis.wild_scales import Wild, scale_range, too_large
from gradlint.finding import Evidence, Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule


class WeightsTooLarge(GraphRule):
    code = "GL304"
    severity = Severity.WARNING
    message = "{how} gives {count} a gain of {gains}{each}: {effect}"
    advice = "scale by the fan-in: nn.init.kaiming_normal_ before ReLU, xavier_normal_ before tanh"
    bound: float = Field(1e3, gt=1, description="Growth of the signal along a chain; the bound of GL403.")
    saturated: float = Field(
        0.5, gt=0, lt=1, description="Share of units whose derivative is below a twentieth of its bound; Xavier: 0."
    )

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for wild in too_large(graph, self.bound, self.saturated):
            yield self._said(graph, wild)

    def _said(self, graph: ModelGraph, wild: Wild) -> Finding:
        weights = tuple({gain.layer.weight.name: gain.layer.weight for gain in wild.gains}.values())
        return self.found(
            wild.place,
            path=graph.model.path,
            evidence=Evidence.MEASURED if wild.measured else Evidence.PREDICTED,
            how=f"`{wild.call.name}`" if wild.call is not None else "the initial scale",
            count=counted(weights, "weight"),
            gains=scale_range(wild.gains),
            each=" each" if len(weights) > 1 else "",
            effect=_effect(wild),
            extra=affected(graph.model, weights),
        )


def _effect(wild: Wild) -> str:
    if wild.flat is not None:
        return f"{wild.ratio:.0%} of the units of the {wild.flat.op} behind are saturated"
    return f"the signal grows {rounded(wild.ratio)} times"
