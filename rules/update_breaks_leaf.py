"""A hand-written update binds the parameter's name to a new tensor.

`w = w - lr * w.grad` makes a new tensor that is no leaf: its `.grad` stays None, so the next update raises or does
nothing, and under `no_grad` the new tensor requires no gradient at all. In a loop over a model's parameters the name
is all that changes. An update writes into the parameter: `w -= lr * w.grad` under `no_grad`.

Bad:

    ```python
    import torch


    def train(x, y, rate=0.05, epochs=100):
        w = torch.randn(3, requires_grad=True)
        b = torch.zeros(1, requires_grad=True)
        for _ in range(epochs):
            loss = ((x @ w + b - y) ** 2).mean()
            loss.backward()
            w = w - rate * w.grad
            b = b - rate * b.grad
        return w, b


    if __name__ == "__main__":
        train(torch.randn(32, 3), torch.randn(32))
    ```

    ```text
    10:13 error: this update binds the name to a new tensor that is no leaf, so its gradient is None from now on
    11:13 error: this update binds the name to a new tensor that is no leaf, so its gradient is None from now on
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100, rate=0.1):
        net = nn.Linear(4, 1)
        for _ in range(steps):
            x = torch.randn(8, 4)
            net.zero_grad()
            F.mse_loss(net(x), x.sum(1, keepdim=True)).backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter = parameter - rate * parameter.grad


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:29 error: this update binds a name to a new tensor, so the parameter itself never changes
    ```

Good: the update writes into the parameter.

    ```python
    import torch


    def train(x, y, rate=0.05, epochs=100):
        w = torch.randn(3, requires_grad=True)
        for _ in range(epochs):
            loss = ((x @ w - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                w -= rate * w.grad
            w.grad = None
        return w


    if __name__ == "__main__":
        train(torch.randn(32, 3), torch.randn(32))
    ```

The new tensor is made a leaf again.

    ```python
    import torch


    def train(x, y, rate=0.05, epochs=100):
        w = torch.zeros(3, requires_grad=True)
        for _ in range(epochs):
            loss = ((x @ w - y) ** 2).mean()
            loss.backward()
            w = (w - rate * w.grad).detach().requires_grad_(True)
        return w


    if __name__ == "__main__":
        train(torch.randn(32, 3), torch.randn(32))
    ```

A functional update, as meta-learning needs it.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def meta_train(steps=100, rate=0.1):
        w = nn.Parameter(torch.zeros(4))
        optimizer = torch.optim.Adam([w], lr=1e-3)
        for _ in range(steps):
            x, query = torch.randn(8, 4), torch.randn(8, 4)
            inner = F.mse_loss(x @ w, x.sum(1))
            (gradient,) = torch.autograd.grad(inner, w, create_graph=True)
            adapted = w - rate * gradient
            optimizer.zero_grad()
            F.mse_loss(query @ adapted, query.sum(1)).backward()
            optimizer.step()


    if __name__ == "__main__":
        meta_train()
    ```

Symptoms: TypeError: unsupported operand type(s) for *: 'float' and 'NoneType'; w.grad is None after the first
iteration; The .grad attribute of a Tensor that is not a leaf Tensor is being accessed; manual gradient descent does
not update the weights; RuntimeError: element 0 of tensors does not require grad; parameters do not change in a loop
over model.parameters()
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule
from gradlint.training import EventKind, TrainingStep

NO_LEAF = "this update binds the name to a new tensor that is no leaf, so its gradient is None from now on"
LOST = "this update binds a name to a new tensor, so the parameter itself never changes"


class UpdateBreaksLeaf(TrainingRule):
    code = "GL713"
    severity = Severity.ERROR
    message = "{what}"
    advice = "write into the parameter under torch.no_grad(): w -= lr * w.grad"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        said: set[object] = set()
        for event in step.of(EventKind.REBOUND):
            at = event.written or event.frame
            if at not in said:
                said.add(at)
                what = LOST if event.facts.get("lost") else NO_LEAF
                yield self.found(at, path="", evidence=Evidence.SOURCE, what=what)
