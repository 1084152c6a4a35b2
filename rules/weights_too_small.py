"""The initial scale of the weights makes the signal of a chain shrink to a thousandth or less.

A layer multiplies the power of its signal by fan-in times the weights' mean square. A standard deviation of 0.001 is a
gain of 0.01 for 200 inputs before ReLU: three such layers leave a millionth of the signal, and as little of the
gradient on its way back. The outputs do not depend on the inputs, the loss stays at that of a constant, and an
adaptive optimizer takes noise for a direction. Biases hide it in the signal's size, not in its gradient. Last layers
and the last ones of residual branches start small on purpose; behind a norm layer the scale does not matter.

Bad:

    ```python
    import torch
    from torch import nn


    def tiny(module):
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(0.0, 0.001)
            module.bias.data.zero_()


    class Sentiment(nn.Module):
        def __init__(self, width=200):
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(300, width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, 3),
            )
            self.net.apply(tiny)

        def forward(self, x):
            return self.net(x)


    def gradlint_inputs():
        return torch.randn(8, 300)
    ```

    ```text
    7:9 warning: `normal_` gives 2 weights a gain of 0.014 to 0.017 each: the signal shrinks to 0.0001
    ```

Good: the scale that keeps the signal, by the fan-in.

    ```python
    from torch import nn


    def scaled(module):
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(0.0, (2.0 / module.in_features) ** 0.5)
            module.bias.data.zero_()


    class Sentiment(nn.Module):
        def __init__(self, width=200):
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(300, width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, 3),
            )
            self.net.apply(scaled)

        def forward(self, x):
            return self.net(x)
    ```

The last layer of a policy starts near zero, the others do not.

    ```python
    import torch
    from torch import nn


    class Policy(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(12, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
            self.head = nn.Linear(width, 4)
            for layer in (self.body[0], self.body[2]):
                nn.init.orthogonal_(layer.weight, gain=2**0.5)
            nn.init.orthogonal_(self.head.weight, gain=0.001)

        def forward(self, state):
            return self.head(self.body(state))
    ```

Two hundredths throughout, as transformers and large convolutional networks have them, in front of norms and skips.

    ```python
    import torch
    from torch import nn


    class Block(nn.Module):
        def __init__(self, width=256):
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.inner = nn.Linear(width, 4 * width)
            self.outer = nn.Linear(4 * width, width)
            for layer in (self.inner, self.outer):
                nn.init.normal_(layer.weight, std=0.002)

        def forward(self, x):
            return x + self.outer(torch.relu(self.inner(self.norm(x))))
    ```

Symptoms: vanishing signal; loss stays at log of the number of classes; outputs do not depend on the input; all
activations near zero; loss flat for the first epochs
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gradlint.analysis.gradient_path import affected, counted
from gradlint.analysis.gradient_profile import rounded
from gradlint.analysis.wild_scales import Wild, scale_range, too_small
from gradlint.finding import Evidence, Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule


class WeightsTooSmall(GraphRule):
    code = "GL305"
    severity = Severity.WARNING
    message = "{how} gives {count} a gain of {gains}{each}: the signal shrinks to {ratio}"
    advice = "scale by the fan-in: nn.init.kaiming_normal_ before ReLU, xavier_normal_ before tanh"
    bound: float = Field(1e-3, gt=0, lt=1, description="Share of the signal that a chain keeps; the bound of GL402.")

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for wild in too_small(graph, self.bound):
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
            ratio=rounded(wild.ratio),
            extra=affected(graph.model, weights),
        )
