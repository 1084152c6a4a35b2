"""A way to the loss exists, but its gradient is zero almost everywhere.

round, floor, ceil, trunc and sign are flat between their steps: autograd passes zeros, not None, so nothing
complains, `grad` is there, and the weights stay where they are. This is proved from the operators. A gradient that
happens to be zero in the first step (LoRA's first matrix, a residual branch that starts at zero) is right and is not
reported.

Bad:

    ```python
    import torch
    from torch import nn


    class Quantised(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(20, 8)
            self.decode = nn.Linear(8, 20)

        def forward(self, x):
            code = torch.round(torch.sigmoid(self.encode(x)) * 15) / 15
            return self.decode(code)
    ```

    ```text
    12:16 error: `round()` has a derivative of zero almost everywhere, so 2 parameter tensors cannot learn
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Hash(nn.Module):
        def __init__(self, bits=16):
            super().__init__()
            self.project = nn.Linear(32, bits)

        def forward(self, image):
            return torch.sign(self.project(image))


    def train(steps=100):
        model = Hash()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            image = torch.randn(16, 32)
            optimizer.zero_grad()
            code = model(image)
            loss = F.mse_loss(code @ code.T / 16, F.cosine_similarity(image[:, None], image[None], dim=2))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    12:16 error: `sign()` has a derivative of zero almost everywhere, so 2 parameter tensors cannot learn
    ```

    ```python
    import torch
    from torch import nn


    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Linear(16, 16)
            self.depth = nn.Linear(16, 1)
            self.normal = nn.Linear(16, 3)

        def forward(self, x):
            x = torch.relu(self.trunk(x))
            return self.depth(x).mean() + 0.0 * self.normal(x).mean()
    ```

    ```text
    14:39 error: `* 0` has a derivative of zero almost everywhere, so 2 parameter tensors cannot learn
    ```

Good: a straight-through estimator.

    ```python
    import torch
    from torch import nn


    class Binary(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(20, 8)
            self.decode = nn.Linear(8, 20)

        def forward(self, x):
            z = torch.tanh(self.encode(x))
            return self.decode(z + (torch.sign(z) - z).detach())
    ```

A low-rank adapter: its first matrix has a zero gradient in the first step only.

    ```python
    import torch
    from torch import nn


    class Adapted(nn.Module):
        def __init__(self, width=16, rank=4):
            super().__init__()
            self.base = nn.Linear(width, width)
            self.base.requires_grad_(False)
            self.down = nn.Parameter(torch.randn(rank, width) * 0.02)
            self.up = nn.Parameter(torch.zeros(width, rank))

        def forward(self, x):
            return self.base(x) + x @ self.down.T @ self.up.T
    ```

A residual branch that starts at zero (ReZero).

    ```python
    import torch
    from torch import nn


    class ReZero(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.branch = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            self.strength = nn.Parameter(torch.zeros(()))
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            return self.head(x + self.strength * self.branch(x))
    ```

Symptoms: round and sign have no gradient, why; grad is zero; gradient is all zeros; round has no gradient, why; sign
function gradient; loss does not change from the first step; weights don't update; quantisation aware training does
not learn
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.analysis.losses import CATEGORICAL, compares_nothing, losses
from gradlint.analysis.reach import Cut
from gradlint.analysis.single_elements import is_over_one
from gradlint.finding import Severity
from gradlint.graph import ModelGraph, Reason
from gradlint.rule import user_frame


class ZeroGradient(PathRule):
    code = "GL108"
    severity = Severity.ERROR
    needs_recording = True
    message = "`{expression}` has a derivative of zero almost everywhere, so {count} cannot learn"
    advice = "use a smooth surrogate or a straight-through estimator"
    reasons = frozenset({Reason.ZERO})

    def is_told_elsewhere(self, graph: ModelGraph, cut: Cut) -> bool:
        """A norm over one element, and a cross-entropy over one unit."""
        constant = (user_frame(loss.call) for loss in losses(graph, *CATEGORICAL) if compares_nothing(graph, loss))
        return is_over_one(graph, cut.node) or user_frame(cut.node) in constant
