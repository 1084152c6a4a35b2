"""Almost no unit of an activation fires, or almost all are saturated, so that no gradient passes.

A ReLU whose input is never above 0 gives 0 and a gradient of 0, and so nothing ever moves it. It is so for certain
where the input is bounded away (`relu(-softplus(x))`, `relu(x.clamp(max=0))`), and at the start of training where a
bias is far below what the weights can lift: a layer's result has a standard deviation near the gain of its
initialiser, 0.6 for torch's default, so a bias of -10 shuts every unit. Where a forward pass is run, the share of
units that were flat at every sample is measured. Gates and outputs are shut by a bias on purpose: these are left
alone.

Bad:

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Click(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            self.first = nn.Linear(18, width)
            self.second = nn.Linear(width, width)
            self.out = nn.Linear(width, 1)
            nn.init.constant_(self.second.bias, -12.0)

        def forward(self, x):
            x = F.relu(self.first(x))
            x = F.relu(self.second(x))
            return self.out(x)
    ```

    ```text
    12:9 warning: the relu behind this bias never fires, so no gradient passes at the start of training
    ```

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Decay(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            self.hidden = nn.Linear(18, width)
            self.out = nn.Linear(width, 1)

        def forward(self, x):
            x = torch.relu(-F.softplus(self.hidden(x)))
            return self.out(x)
    ```

    ```text
    13:13 warning: relu never fires, so no gradient passes
    ```

    ```python
    import torch
    from torch import nn


    class Shifted(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.inner = nn.Linear(13, width)
            self.outer = nn.Linear(width, 1)
            with torch.no_grad():
                self.inner.bias -= 20.0

        def forward(self, x):
            return self.outer(torch.relu(self.inner(x)))


    def gradlint_inputs():
        return torch.randn(32, 13)
    ```

    ```text
    14:27 warning: relu is flat in 100% of its units (measured), so no gradient passes at the start of training
    ```

Good: a bias that the weights can lift, above or below 0.

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Sparse(nn.Module):
        def __init__(self, width=32):
            super().__init__()
            self.first = nn.Linear(18, width)
            self.second = nn.Linear(width, width)
            self.out = nn.Linear(width, 1)
            nn.init.constant_(self.first.bias, -0.1)
            nn.init.constant_(self.second.bias, 10.0)

        def forward(self, x):
            return self.out(F.relu(self.second(F.relu(self.first(x)))))
    ```

A gate that starts shut, and an output for a rare class.

    ```python
    import math

    import torch
    from torch import nn


    class Highway(nn.Module):
        def __init__(self, width=32, prior=1e-4):
            super().__init__()
            self.gate = nn.Linear(width, width)
            self.change = nn.Linear(width, width)
            self.out = nn.Linear(width, 1)
            nn.init.constant_(self.gate.bias, -9.0)
            nn.init.constant_(self.out.bias, math.log(prior))

        def forward(self, x):
            gate = torch.sigmoid(self.gate(x))
            x = gate * torch.relu(self.change(x)) + (1 - gate) * x
            return torch.sigmoid(self.out(x))


    def gradlint_inputs():
        return torch.randn(5, 32)
    ```

A margin: what is subtracted from it can be smaller.

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Margin(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.embed = nn.Linear(8, width)

        def forward(self, one, other):
            distance = (self.embed(one) - self.embed(other)).abs().sum(dim=1)
            return F.relu(2.0 - distance).mean()


    def gradlint_inputs():
        return torch.randn(4, 8), torch.randn(4, 8)
    ```

Symptoms: dying ReLU; dead neurons; all activations are zero; the gradient of the first layers is exactly zero; output
does not depend on the input; loss constant from the first step
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gradlint.analysis.dead_units import Dead, dead
from gradlint.analysis.signals import written_at
from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, related_at


class DeadActivation(GraphRule):
    code = "GL406"
    severity = Severity.WARNING
    message = "{op} {state}, so no gradient passes{when}"
    advice = "{remedy}"
    needs_recording = True
    share: float = Field(0.9, ge=0.5, lt=1, description="Share of units that must not be dead or saturated.")

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        said: set[Frame | None] = set()
        for found in dead(graph, self.share):
            own = written_at(graph, found.node)
            place = (found.call.frame if found.call is not None else None) or own
            if place not in said:
                said.add(place)
                yield self._said(graph, found, place, own)

    def _said(self, graph: ModelGraph, found: Dead, place: Frame | None, own: Frame | None) -> Finding:
        by_bias = found.call is not None
        return self.found(
            place,
            path=graph.model.path,
            related=related_at(own, "the activation") if own != place else (),
            op=f"the {found.node.op} behind this bias" if by_bias else found.node.op,
            state=_state(found),
            when=" at the start of training" if by_bias or found.share is not None else "",
            evidence=found.evidence,
            remedy=_remedy(found),
            extra={"model": graph.model.name, "module": found.node.module or None},
        )


def _remedy(found: Dead) -> str:
    if found.share is not None:
        return "scale what comes in, and the weights and the bias before it"
    return "bound its input elsewhere, or leave the activation out" if found.call is None else "start the bias near 0"


def _state(found: Dead) -> str:
    if found.share is None:
        return "is saturated" if found.fires else "never fires"
    return f"is flat in {found.share:.0%} of its {'elements' if found.fires else 'units'} ({found.evidence.value})"
