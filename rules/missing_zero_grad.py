"""A loop steps an optimizer and never clears the gradients.

`backward` adds to `.grad`, it does not overwrite it. Without a clearing, every step moves the weights along the sum
of all gradients since the start: the steps grow, old batches count as much as new ones, and the loss oscillates or
explodes. Where gradients are accumulated on purpose, the clearing comes with the step.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset


    class Rentals(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(8, 32)
            self.out = nn.Linear(32, 1)

        def forward(self, weather):
            return self.out(torch.relu(self.hidden(weather)))


    def load():
        weather = torch.randn(64, 8)
        return DataLoader(TensorDataset(weather, weather.mean(1, keepdim=True)), batch_size=16, shuffle=True)


    def fit(epochs=20):
        model, criterion = Rentals(), nn.MSELoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for epoch in range(epochs):
            total = 0.0
            for weather, rentals in load():
                loss = criterion(model(weather), rentals)
                loss.backward()
                optimizer.step()
                total += loss.item()
            print(epoch, total)


    if __name__ == "__main__":
        fit()
    ```

    ```text
    29:13 error: no call in this loop clears the gradients, so every step uses the sum of all of them
    ```

    ```python
    import torch
    from torch.nn import functional as F


    def train(model, loader, optimizer, device):
        model.train()
        optimizer.zero_grad()
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
    ```

    ```text
    12:9 error: no call in this loop clears the gradients, so every step uses the sum of all of them
    ```

    ```python
    import torch


    def fit(x, y, rate=0.05, epochs=100):
        w = torch.zeros(3, requires_grad=True)
        b = torch.zeros(1, requires_grad=True)
        for _ in range(epochs):
            loss = ((x @ w + b - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                w -= rate * w.grad
                b -= rate * b.grad
        return w, b


    if __name__ == "__main__":
        fit(torch.randn(32, 3), torch.randn(32))
    ```

    ```text
    11:13 error: no call in this loop clears the gradients, so every step uses the sum of all of them
    ```

Good: gradients are accumulated over several batches on purpose.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def fit(loader, accumulate=4):
        model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
        for index, (features, kind) in enumerate(loader):
            loss = F.cross_entropy(model(features), kind) / accumulate
            loss.backward()
            if (index + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)


    if __name__ == "__main__":
        fit([(torch.randn(8, 20), torch.randint(0, 5, (8,))) for _ in range(16)])
    ```

The model clears them.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(model, loader):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for signal, target in loader:
            model.zero_grad()
            loss = F.smooth_l1_loss(model(signal), target)
            loss.backward()
            optimizer.step()
    ```

The gradients are dropped by hand.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def fit(steps=100):
        net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        for _ in range(steps):
            x = torch.randn(8, 4)
            for parameter in net.parameters():
                parameter.grad = None
            F.mse_loss(net(x), x.sum(1, keepdim=True)).backward()
            optimizer.step()


    if __name__ == "__main__":
        fit()
    ```

One step per epoch, and the clearing with it.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def fit(epochs=10):
        net = nn.Linear(6, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        batches = [(torch.randn(8, 6), torch.randn(8, 1)) for _ in range(4)]
        for _ in range(epochs):
            optimizer.zero_grad()
            for x, y in batches:
                (F.mse_loss(net(x), y) / len(batches)).backward()
            optimizer.step()


    if __name__ == "__main__":
        fit()
    ```

Symptoms: loss oscillates or explodes after some steps; training gets worse every epoch; gradients keep growing; do I
need optimizer.zero_grad(); gradients accumulate; nan loss after a few batches; smaller learning rate only delays it
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.training_order import by_place, certain_steps, got_away, inside, may_clear
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule
from gradlint.training import Event, EventKind, TrainingStep


class MissingZeroGrad(TrainingRule):
    code = "GL701"
    severity = Severity.ERROR
    message = "no call in this loop clears the gradients, so every step uses the sum of all of them"
    advice = "call optimizer.zero_grad() before each backward"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        if step.origin == "framework" or not step.complete:
            return
        by_hand = tuple(e for e in step.of(EventKind.UPDATE) if e.facts.get("sign") is not None)
        for group in by_place((*certain_steps(step), *by_hand)):
            last = group[-1]
            passes = _passes(step, last)
            if passes and not _cleared(step, last, passes) and not _renewed(step, last) and not got_away(step, last):
                yield self.found(last.frame, path="", evidence=Evidence.SOURCE)
                return


def _passes(step: TrainingStep, last: Event) -> list[Event]:
    """The backward passes that feed a step in every round of its loop."""
    feeding = [e for e in step.of(EventKind.BACKWARD) if last.loop and e.concerns(last.parameters)]
    within = [e for e in feeding if inside(e, last.loop)]
    return [] if any(e.facts.get("framework") for e in within) else within


def _cleared(step: TrainingStep, last: Event, passes: list[Event]) -> bool:
    """Whether something clears in each round of the loop; of a step that is now and then taken, anywhere outside."""
    seldom = not any(last.whenever(e) for e in passes)
    zeros = step.of(EventKind.ZERO_GRAD, EventKind.ASSIGNED)
    return any(may_clear(zero, last) and (seldom or inside(zero, last.loop)) for zero in zeros)


def _renewed(step: TrainingStep, last: Event) -> bool:
    """Whether every round has parameters of its own."""
    same = [e for e in step.of(last.kind) if e.frame == last.frame and e.parameters is not None]
    return any(set(e.parameters or ()).isdisjoint(last.parameters or ()) for e in same)
