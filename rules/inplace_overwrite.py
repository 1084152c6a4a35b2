"""An in-place write changes a tensor that the backward pass needs, or a leaf that requires a gradient.

Many derivatives are computed from the op's output (sigmoid, tanh, softmax, exp) or input (products, squares). A later
write into that memory makes backward raise, far from the write. torch names the op whose value was spoilt; gradlint
names the write. A write that nothing needs, such as ReLU in place after a linear layer, is harmless.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Gated(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.gate = nn.Linear(width, width)
            self.value = nn.Linear(width, width)

        def forward(self, x):
            gate = torch.sigmoid(self.gate(x))
            mixed = gate * self.value(x)
            gate *= 0.5
            return mixed + gate


    def train(steps=100):
        model = Gated()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 16)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), x)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    15:9 error: this in-place write changes a value that backward needs, so backward raises
    ```

    ```python
    import torch
    from torch import nn


    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.centres = nn.Parameter(torch.randn(5, 8))

        def forward(self, x):
            self.centres /= self.centres.norm(dim=1, keepdim=True)
            return x @ self.centres.T


    def gradlint_inputs():
        return torch.randn(4, 8)
    ```

    ```text
    11:9 error: this in-place write changes a leaf that requires a gradient, so it raises
    ```

Good: in place where backward needs nothing: ReLU after a linear layer or a norm.

    ```python
    import torch
    from torch import nn


    class Lean(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 1, 1)
            )

        def forward(self, image):
            y = self.layers(image)
            y += 1
            return y
    ```

Under `no_grad`: a projection after the step.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Cosine(nn.Module):
        def __init__(self):
            super().__init__()
            self.centres = nn.Parameter(torch.randn(5, 8))

        def forward(self, x):
            return x @ self.centres.T


    def train(steps=100):
        model = Cosine()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 8), torch.randint(0, 5, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                model.centres /= model.centres.norm(dim=1, keepdim=True)


    if __name__ == "__main__":
        train()
    ```

Symptoms: RuntimeError: one of the variables needed for gradient computation has been modified by an inplace
operation; is at version 1; expected version 0 instead; RuntimeError: a leaf Variable that requires grad is being used
in an in-place operation; a view of a leaf Variable that requires grad is being used in an in-place operation; Hint:
the backtrace further above shows the operation that failed to compute its gradient
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.steps import carried_over
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule
from gradlint.training import LEAF_WRITTEN, OVERWRITTEN, Event


class InplaceOverwrite(GraphRule):
    code = "GL112"
    severity = Severity.ERROR
    needs_recording = True
    message = "{what}"
    advice = "{cure}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for event in graph.training.events if graph.training else ():
            if OVERWRITTEN in event.error and not carried_over(graph, event):
                yield self._said(
                    graph,
                    event,
                    "this in-place write changes a value that backward needs, so backward raises",
                    OUT_OF_PLACE,
                )
            elif LEAF_WRITTEN in event.error:
                yield self._said(
                    graph,
                    event,
                    "this in-place write changes a leaf that requires a gradient, so it raises",
                    UNDER_NO_GRAD,
                )

    def _said(self, graph: ModelGraph, event: Event, what: str, cure: str) -> Finding:
        return self.found(
            event.written or event.frame, path=graph.model.path, what=what, cure=cure, extra={"model": graph.model.name}
        )


OUT_OF_PLACE = "write a new tensor instead (x = x * y, masked_fill, torch.where)"
UNDER_NO_GRAD = "put an update under torch.no_grad(), or compute a new tensor"
