"""The loss has left its history before `backward` is called on it.

`.item()`, `.data`, `.detach()`, `float()` and numpy give the loss's value without the graph that it was computed by;
a new tensor built from that value has no graph either. `backward` then raises, or, when the new tensor requires a
gradient, runs and reaches nothing. Such copies belong into the log, not into the training step.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 10), torch.randn(16, 1)
            loss = F.mse_loss(net(x), y).detach()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    11:16 error: `.detach()` takes the loss out of its history, so backward reaches no parameter
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def mean_loss(model, parts):
        losses = [F.cross_entropy(model(x), y) for x, y in parts]
        return torch.tensor(sum(loss.item() for loss in losses) / len(losses), requires_grad=True)


    def train(steps=100):
        model = nn.Linear(6, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        parts = [(torch.randn(4, 6), torch.randint(0, 3, (4,))) for _ in range(2)]
        for _ in range(steps):
            loss = mean_loss(model, parts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    8:29 error: `.item()` takes the loss out of its history, so backward reaches no parameter
    ```

Good: the copy is for the log.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        model, history = nn.Linear(6, 3), []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(steps):
            x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
            print(float(loss.detach().mean()), loss.data.numpy())
        return history


    if __name__ == "__main__":
        train()
    ```

A detached loss only weighs another.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        model = nn.Linear(6, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 6)
            first, second = model(x).unbind(dim=1)
            value = F.mse_loss(first, x.sum(1))
            shape = F.l1_loss(second, x.mean(1))
            balance = value.detach() / (shape.detach() + 1e-6)
            loss = value + balance * shape
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Also: GL115, GL117

Symptoms: RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn; AttributeError:
'float' object has no attribute 'backward'; 'numpy.float32' object has no attribute 'backward'; I set
loss.requires_grad = True, the error is gone but the loss does not go down; Variable(loss.data, requires_grad=True)
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.gradient_path import LEAVING, PathRule
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule, related_at
from gradlint.training import EventKind, TrainingStep

METHODS = frozenset({"detach", "detach_", "item", "numpy", "tolist"})
WRITTEN = {"get:data": ".data", "__float__": "float()", "float": "float()", "__array__": "numpy()"}


class LossDetached(PathRule, TrainingRule):
    code = "GL709"
    severity = Severity.ERROR
    message = "`{expression}` takes the loss out of its history, so backward reaches no parameter"
    advice = "call backward on the loss itself, and keep such copies for logging"
    reasons = LEAVING
    behind_loss = True

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        said: set[object] = set()
        for event in step.of(EventKind.BACKWARD):
            if event.blamed is None or not event.facts.get("on_loss") or event.written in said:
                continue
            said.add(event.written)
            native = str(event.facts.get("native", ""))
            expression = WRITTEN.get(native) or f"{'.' if native in METHODS else ''}{native}()"
            related = related_at(event.frame, "the backward call")
            yield self.found(
                event.written or event.frame,
                path="",
                evidence=Evidence.STATIC_GRAPH,
                related=related,
                expression=expression,
            )
