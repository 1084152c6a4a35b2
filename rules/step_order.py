"""The training step runs in an order in which the optimizer finds no gradients.

The order is forward, loss, clear, backward, step. An optimizer that steps between the clearing and `backward` applies
gradients that were just cleared; a clearing between `backward` and `step` throws the new gradients away. In both
cases nothing is learned and nothing raises.

Bad:

    ```python
    import torch
    from torch import nn


    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 12, 3, stride=2, padding=1)
            self.score = nn.Linear(12 * 10 * 10, 1)

        def forward(self, photo):
            return self.score(torch.relu(self.conv(photo)).flatten(1)).squeeze(1)


    def train(steps=100):
        net, criterion = Detector(), nn.BCEWithLogitsLoss()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        for _ in range(steps):
            photos, rusty = torch.randn(4, 3, 20, 20), torch.randint(0, 2, (4,)).float()
            optimizer.zero_grad()
            loss = criterion(net(photos), rusty)
            optimizer.step()
            loss.backward()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:9 error: this step comes before backward, so it finds only gradients that were just cleared
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Trainer:
        def __init__(self, model, rate=1e-3):
            self.model = model
            self.optimizer = torch.optim.Adam(model.parameters(), lr=rate)

        def update(self, loss):
            loss.backward()
            self.optimizer.zero_grad()
            self.optimizer.step()

        def fit(self, batches):
            for x, y in batches:
                self.update(F.mse_loss(self.model(x), y))


    if __name__ == "__main__":
        Trainer(nn.Linear(5, 1)).fit([(torch.randn(8, 5), torch.randn(8, 1)) for _ in range(10)])
    ```

    ```text
    13:9 error: this clears the gradients between backward and step, so the step finds none
    ```

Good: two optimizers, each with its own loss.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        maker = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
        judge = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
        opt_maker = torch.optim.Adam(maker.parameters(), lr=2e-4, betas=(0.5, 0.999))
        opt_judge = torch.optim.Adam(judge.parameters(), lr=2e-4, betas=(0.5, 0.999))
        ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)
        for _ in range(steps):
            made = maker(torch.randn(16, 8))
            opt_maker.zero_grad()
            F.binary_cross_entropy_with_logits(judge(made), ones).backward()
            opt_maker.step()
            opt_judge.zero_grad()
            real = F.binary_cross_entropy_with_logits(judge(torch.randn(16, 2)), ones)
            fake = F.binary_cross_entropy_with_logits(judge(made.detach()), zeros)
            (real + fake).backward()
            opt_judge.step()


    if __name__ == "__main__":
        train()
    ```

Cleared at the end of the step instead of before it.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        net = nn.Linear(10, 4)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(steps):
            x, y = torch.randn(16, 10), torch.randint(0, 4, (16,))
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


    if __name__ == "__main__":
        train()
    ```

A batch with a broken loss is skipped, and its gradients with it.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(model, loader):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        for x, y in loader:
            loss = F.mse_loss(model(x), y)
            loss.backward()
            if not torch.isfinite(loss):
                optimizer.zero_grad()
                continue
            optimizer.step()
            optimizer.zero_grad()


    if __name__ == "__main__":
        train(nn.Linear(3, 1), [(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(3)])
    ```

Symptoms: loss does not decrease although backward and step are called; weights do not change; gradients are zero at
optimizer.step(); zero_grad after backward; in what order call zero_grad, backward and step
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.training_order import (
    Feed,
    by_place,
    certain_steps,
    earlier,
    got_away,
    later,
    same_pass,
    source_of,
)
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule, related_at
from gradlint.training import Event, EventKind, TrainingStep

Kind = EventKind
USING = frozenset(
    {Kind.BACKWARD, Kind.STEP, Kind.ZERO_GRAD, Kind.GRADIENT, Kind.ASSIGNED, Kind.UPDATE, Kind.CLIP, Kind.ESCAPED}
)
"""What fills, uses or clears gradients."""


class StepOrder(TrainingRule):
    code = "GL703"
    severity = Severity.ERROR
    message = "{what}, so {why}"
    advice = "order each pass as forward, loss, zero_grad, backward, step"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        if not step.complete:
            return
        for group in by_place(certain_steps(step)):
            if got_away(step, group[-1]):
                continue
            found = [source_of(step, event) for event in group]
            passes = [e for e in step.of(EventKind.BACKWARD) if e.concerns(group[-1].parameters)]
            if passes and all(how in (Feed.CLEARED, Feed.START) for how, _ in found):
                yield from self._starved(step, group[-1], found[-1][1])
            elif _one_pass_late(step, group, passes):
                yield self.found(
                    group[-1].frame,
                    path="",
                    evidence=Evidence.SOURCE,
                    severity=Severity.WARNING,
                    what="this step comes before the backward pass",
                    why="it uses the gradients of the batch before",
                )
        for zero, lost in _discarded(step):
            yield self.found(
                zero.frame,
                path="",
                evidence=Evidence.SOURCE,
                related=related_at(lost.frame, "the backward pass"),
                what="this clears the gradients of a loss before any step",
                why="that loss trains nothing",
            )

    def _starved(self, step: TrainingStep, event: Event, zero: Event | None) -> Iterator[Finding]:
        if zero is None:
            return
        between = any(e.kind is EventKind.BACKWARD and same_pass(e, zero) for e in _behind(step, zero, event))
        what = "this clears the gradients between backward and step" if between else "this step comes before backward"
        why = "the step finds none" if between else "it finds only gradients that were just cleared"
        at, other = (zero, event) if between else (event, zero)
        note = "the step" if between else "the clearing"
        related = related_at(other.frame, note)
        yield self.found(at.frame, path="", evidence=Evidence.SOURCE, related=related, what=what, why=why)


def _discarded(step: TrainingStep) -> Iterator[tuple[Event, Event]]:
    """The clearings between two losses of one pass, each with the backward pass whose gradients nobody used."""
    held = [e for e in step.anywhere(EventKind.OPTIMIZER) if e.facts.get("exact")]
    if len(held) < len(step.anywhere(EventKind.OPTIMIZER)) or any(e.facts.get("hook") for e in step.of(EventKind.CLIP)):
        return
    trained = {number for e in held for number in e.parameters or ()}
    for group in by_place(step.of(EventKind.ZERO_GRAD)):
        lost = [_unused(step, zero, trained) for zero in group]
        if lost[0] is not None and all(lost) and not got_away(step, group[0]):
            yield group[0], lost[0]


def _unused(step: TrainingStep, zero: Event, trained: set[int]) -> Event | None:
    """The backward pass right before a clearing, when another one comes before the step."""
    before = next((e for e in earlier(step, zero) if e.kind in USING), None)
    after = [e.kind for e in later(step, zero) if same_pass(e, zero) and e.kind in USING and e.kind is not Kind.CLIP]
    if before is None or before.kind is not Kind.BACKWARD or after[:2] != [Kind.BACKWARD, Kind.STEP]:
        return None
    plain = not (before.maybe or zero.maybe or before.facts.get("create") or before.parameters is None)
    cleared = trained.intersection(before.parameters or ()) <= set(zero.parameters or ())
    alone = same_pass(before, zero) and before.loop == zero.loop != ()
    return before if plain and cleared and alone and before.concerns(zero.parameters) else None


def _behind(step: TrainingStep, zero: Event, event: Event) -> Iterator[Event]:
    """The events before a clearing that concern the same parameters."""
    return (e for e in earlier(step, zero) if e.concerns(event.parameters))


def _one_pass_late(step: TrainingStep, group: list[Event], passes: list[Event]) -> bool:
    """Whether a step in a plain loop is only ever fed by the pass before."""
    last = group[-1]
    if len(group) < 2 or not last.loop or last.maybe or any(e.maybe or e.loop != last.loop for e in passes):
        return False
    how, feed = source_of(step, last)
    return (
        how is Feed.FED
        and feed is not None
        and not same_pass(feed, last)
        and source_of(step, group[0])[0] is not Feed.FED
    )
