"""A hand-written update goes up the loss, or has no learning rate.

Gradient descent subtracts the gradient times a small rate. An update that adds it climbs; one that subtracts the
whole gradient takes steps of a length that has nothing to do with the problem. Both run without an exception, and the
loss grows.

Bad:

    ```python
    import torch


    def fit(x, y, rate=0.05, epochs=100):
        w = torch.zeros(3, requires_grad=True)
        b = torch.zeros(1, requires_grad=True)
        for _ in range(epochs):
            loss = ((x @ w + b - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                w += rate * w.grad
                b += rate * b.grad
            w.grad.zero_()
            b.grad.zero_()
        return w, b


    if __name__ == "__main__":
        fit(torch.randn(32, 3), torch.randn(32))
    ```

    ```text
    11:13 error: this update adds the gradient, so the loss grows
    12:13 error: this update adds the gradient, so the loss grows
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
        for _ in range(steps):
            x = torch.randn(8, 4)
            net.zero_grad()
            loss = F.mse_loss(net(x), x.sum(1, keepdim=True))
            loss.backward()
            for parameter in net.parameters():
                parameter.data.sub_(parameter.grad)


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:13 error: this update subtracts the whole gradient without a learning rate, so the loss may grow
    ```

Good: down the loss, by a rate.

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
                    parameter.add_(parameter.grad, alpha=-rate)


    if __name__ == "__main__":
        train()
    ```

A rate of one: what has a name can be changed.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100, rate=1.0):
        net = nn.Linear(4, 1)
        for _ in range(steps):
            x = torch.randn(8, 4)
            net.zero_grad()
            F.mse_loss(net(x), x.sum(1, keepdim=True)).backward()
            for parameter in net.parameters():
                parameter.data.add_(parameter.grad, alpha=-rate)


    if __name__ == "__main__":
        train()
    ```

Ascent on purpose: an input that fools the network.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def attack(steps=10, rate=0.01):
        net = nn.Linear(12, 3).requires_grad_(False)
        x, y = torch.randn(4, 12), torch.randint(0, 3, (4,))
        change = torch.zeros_like(x, requires_grad=True)
        for _ in range(steps):
            loss = F.cross_entropy(net(x + change), y)
            loss.backward()
            with torch.no_grad():
                change += rate * change.grad.sign()
            change.grad.zero_()
        return x + change.detach()


    if __name__ == "__main__":
        attack()
    ```

Ascent on purpose: the adversary of a minimax problem.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def robust(steps=100, rate=0.1):
        model, weights = nn.Linear(6, 1), torch.zeros(16, requires_grad=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        x, y = torch.randn(16, 6), torch.randn(16, 1)
        for _ in range(steps):
            each = F.mse_loss(model(x), y, reduction="none").squeeze(1)
            optimizer.zero_grad()
            weights.grad = None
            (torch.softmax(weights, dim=0) * each).sum().backward()
            optimizer.step()
            with torch.no_grad():
                weights += rate * weights.grad


    if __name__ == "__main__":
        robust()
    ```

Symptoms: loss increases every step with my own gradient descent; manual SGD diverges; loss goes up instead of down;
nan after a few steps of a hand-written update; wrong direction of a hand-written update
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.training_order import earlier
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule
from gradlint.training import Event, EventKind, TrainingStep


class ManualUpdate(TrainingRule):
    code = "GL717"
    severity = Severity.ERROR
    message = "this update {what}, so the loss {effect}"
    advice = "subtract the gradient times a rate: w -= lr * w.grad"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        said: set[object] = set()
        for event in step.of(EventKind.UPDATE):
            sign, scaled = event.facts.get("sign"), event.facts.get("scaled")
            if event.frame in said or sign is None or (sign < 0 and scaled) or not _descends(step, event):
                continue
            said.add(event.frame)
            what = "adds the gradient" if sign > 0 else "subtracts the whole gradient without a learning rate"
            effect = "grows" if sign > 0 else "may grow"
            yield self.found(event.frame, path="", evidence=Evidence.SOURCE, what=what, effect=effect)


def _descends(step: TrainingStep, update: Event) -> bool:
    """Whether the loss behind an update is an error that is to be made small, by what the update moves."""
    passes = [e for e in earlier(step, update) if e.kind is EventKind.BACKWARD and e.concerns(update.parameters)]
    if not passes or not passes[0].facts.get("minimised"):
        return False
    others = set(passes[0].facts.get("networks", ())) - set(update.parameters or ())
    return bool(update.facts.get("parameter")) or not others
