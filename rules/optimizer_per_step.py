"""The optimizer is built anew for every batch.

Momentum and the second moments of Adam are averages over many steps. An optimizer that is built inside of the batch
loop starts from zero each time: Adam's first step has the full length of the learning rate in every direction,
momentum never builds up, schedules never advance.

Bad:

    ```python
    import torch
    from torch import nn


    class Pulse(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(14, 48)
            self.last = nn.Linear(48, 1)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)))


    def train(model, batches, rate):
        model.train()
        criterion = nn.HuberLoss()
        for x, beats in batches:
            optimizer = torch.optim.Adam(model.parameters(), lr=rate)
            optimizer.zero_grad()
            loss = criterion(model(x), beats)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train(Pulse(), [(torch.randn(8, 14), torch.randn(8, 1)) for _ in range(8)], rate=1e-3)
    ```

    ```text
    19:21 error: this optimizer is built anew for every batch, so its averages always start from zero
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(batches):
        for x, y in batches:
            model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
        return model


    if __name__ == "__main__":
        train([(torch.randn(8, 6), torch.randn(8, 1)) for _ in range(4)])
    ```

    ```text
    8:17 error: this model is built anew for every batch, so what it learned from the batch before is thrown away
    ```

Good: a new model and optimizer for each fold.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def cross_validate(x, y, folds=5, epochs=20):
        for fold in range(folds):
            inside = torch.arange(len(x)) % folds != fold
            model = nn.Linear(6, 1)
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
            for _ in range(epochs):
                optimizer.zero_grad()
                F.mse_loss(model(x[inside]), y[inside]).backward()
                optimizer.step()
            print(fold, F.mse_loss(model(x[~inside]), y[~inside]).item())


    if __name__ == "__main__":
        cross_validate(torch.randn(50, 6), torch.randn(50, 1))
    ```

One model for each learning rate.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def search(batches):
        for rate in (1e-2, 1e-3, 1e-4):
            model = nn.Linear(6, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
            for x, y in batches:
                optimizer.zero_grad()
                F.mse_loss(model(x), y).backward()
                optimizer.step()


    if __name__ == "__main__":
        search([(torch.randn(8, 6), torch.randn(8, 1)) for _ in range(4)])
    ```

A copy is adapted to each task by one step.

    ```python
    import copy

    import torch
    from torch import nn
    from torch.nn import functional as F


    def reptile(tasks, rate=0.1):
        model = nn.Linear(6, 1)
        for x, y in tasks:
            adapted = copy.deepcopy(model)
            inner = torch.optim.SGD(adapted.parameters(), lr=0.02)
            inner.zero_grad()
            F.mse_loss(adapted(x), y).backward()
            inner.step()
            with torch.no_grad():
                for slow, fast in zip(model.parameters(), adapted.parameters()):
                    slow += rate * (fast - slow)


    if __name__ == "__main__":
        reptile([(torch.randn(8, 6), torch.randn(8, 1)) for _ in range(4)])
    ```

Symptoms: Adam behaves like sign descent; momentum has no effect; loss is noisy and does not converge; learning rate
scheduler has no effect; optimizer created inside the loop
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule, related_at
from gradlint.training import Event, EventKind, TrainingStep

SEARCHING = frozenset({"LBFGS"})
"""Optimizers that take many steps in one."""

STATELESS = frozenset({"SGD", "ASGD"})


class OptimizerPerStep(TrainingRule):
    code = "GL715"
    severity = Severity.ERROR
    message = "this {what} is built anew for every batch, so {why}"
    advice = "build it once before the loop"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        built = [e for e in step.of(EventKind.OPTIMIZER) if e.loop and not e.maybe and not e.facts.get("added")]
        for frame in dict.fromkeys(e.frame for e in built):
            group = [e for e in built if e.frame == frame]
            used = _only_step(step, group)
            if used is not None and _same_parameters(step, group) and group[0].facts.get("class") not in SEARCHING:
                plain = group[0].facts.get("class") in STATELESS and not group[0].facts.get("momentum")
                severity = Severity.WARNING if plain else None
                related = related_at(used.frame, "its only step")
                yield self.found(
                    frame,
                    path="",
                    evidence=Evidence.SOURCE,
                    severity=severity,
                    related=related,
                    what="optimizer",
                    why="its averages always start from zero",
                )
                return
        for model in _new_models(step):
            why = "what it learned from the batch before is thrown away"
            yield self.found(model.facts["made"], path="", evidence=Evidence.SOURCE, what="model", why=why)
            return


def _new_models(step: TrainingStep) -> Iterator[Event]:
    """Models that are built, fed with the loop's batch, and trained by one step in the same pass of one loop."""
    steps = step.of(EventKind.STEP)
    for event in step.of(EventKind.FORWARD):
        trained = event.facts.get("passes") and event.facts.get("by_loop") and event.parameters
        fresh = event.loop and event.facts.get("created") == event.loop and event.facts.get("made")
        own = [e for e in steps if e.parameters and e.concerns(event.parameters)]
        if trained and fresh and own and all(e.loop == event.loop and not e.maybe for e in own):
            yield event


def _only_step(step: TrainingStep, group: list[Event]) -> Event | None:
    """The step of an optimizer in the very loop that builds it."""
    subjects = {e.subject for e in group}
    steps = [e for e in step.of(EventKind.STEP) if e.subject in subjects]
    return steps[0] if steps and all(e.loop == group[0].loop for e in steps) else None


def _same_parameters(step: TrainingStep, group: list[Event]) -> bool:
    """Whether each round's optimizer gets the parameters that the round before trained."""
    known = [set(e.parameters) for e in group if e.parameters]
    if len(known) == len(group) > 1:
        return known[0] == known[1]
    outside = [e for e in step.of(EventKind.FORWARD) if e.subject is not None and e.loop == group[0].loop]
    subjects = {e.subject for e in outside}
    return len(group) > 1 and not known and len(subjects) == 1 and not step.of(EventKind.ESCAPED)
