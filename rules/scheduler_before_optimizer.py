"""The learning-rate schedule moves on before the optimizer's first step.

Since PyTorch 1.1 `scheduler.step()` belongs behind `optimizer.step()`. Called first, it skips the first value of the
schedule: the highest rate of a decay, the first of a warm-up. The whole schedule runs one epoch early.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.optim import lr_scheduler


    class Ripeness(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 10, 3)
            self.kind = nn.Linear(10 * 25, 3)

        def forward(self, x):
            return self.kind(nn.functional.max_pool2d(torch.relu(self.conv(x)), 2).flatten(1))


    def main(epochs=30):
        net, criterion = Ripeness(), nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        scheduler = lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)
        for _ in range(epochs):
            scheduler.step()
            for _ in range(20):
                x, y = torch.randn(8, 3, 12, 12), torch.randint(0, 3, (8,))
                optimizer.zero_grad()
                criterion(net(x), y).backward()
                optimizer.step()


    if __name__ == "__main__":
        main()
    ```

    ```text
    21:9 warning: the schedule moves on before the optimizer's first step, so its first value is skipped
    ```

    ```python
    from torch.nn import functional as F


    def train(model, loader, optimizer, lr_scheduler):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            lr_scheduler.step()
            optimizer.step()
    ```

    ```text
    8:9 warning: the schedule moves on before the optimizer's first step, so its first value is skipped
    ```

Good: behind the epoch.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def main(epochs=30):
        net = nn.Linear(8, 3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
        for _ in range(epochs):
            x, y = torch.randn(8, 8), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            scheduler.step()


    if __name__ == "__main__":
        main()
    ```

An epoch that is resumed from is given outright.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def main(start=5, epochs=30):
        net = nn.Linear(8, 3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10)
        for epoch in range(start, epochs):
            scheduler.step(epoch)
            x, y = torch.randn(8, 8), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()


    if __name__ == "__main__":
        main()
    ```

Symptoms: UserWarning: Detected call of lr_scheduler.step() before optimizer.step(); In PyTorch 1.1.0 and later, you
should call them in the opposite order; first value of the learning rate schedule is skipped
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.training_order import certain_steps
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule, related_at
from gradlint.training import Event, EventKind, TrainingStep


class SchedulerBeforeOptimizer(TrainingRule):
    code = "GL711"
    severity = Severity.WARNING
    message = "the schedule moves on before the optimizer's first step, so its first value is skipped"
    advice = "call scheduler.step() behind optimizer.step()"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        said: set[int | None] = set()
        for event in step.of(EventKind.SCHEDULE):
            if event.subject in said or not event.loop:
                continue
            said.add(event.subject)
            first = _first_step(step, event)
            if first is not None and first.order > event.order and not event.maybe and not event.facts.get("given"):
                related = related_at(first.frame, "the optimizer's step")
                yield self.found(event.frame, path="", evidence=Evidence.SOURCE, related=related)


def _first_step(step: TrainingStep, schedule: Event) -> Event | None:
    """The first step in the program of the optimizer that a schedule belongs to; None when that is not known."""
    of = schedule.facts.get("of")
    own = [e for e in certain_steps(step) if e.subject == of or of is None]
    around = [e for e in step.around if e.kind is EventKind.STEP and (e.subject == of or of is None)]
    if not own or step.anywhere(EventKind.ESCAPED):
        return None
    return min((*own, *around), key=lambda e: e.order)
