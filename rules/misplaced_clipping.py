"""Gradients are clipped where clipping has no effect, or the wrong one.

Clipping works on what stands in `.grad` when it is called. Before `backward` these are zeros or the last batch's;
after `step` they have been used; before `scaler.unscale_` they are multiplied by the loss scale, thousands of times
too large, so that every step is cut to the same tiny length.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn.utils import clip_grad_norm_


    class Activity(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(6, 24, batch_first=True)
            self.kind = nn.Linear(24, 4)

        def forward(self, motion):
            return self.kind(self.gru(motion)[1][-1])


    def fit(epochs=10):
        model, criterion = Activity(), nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        x, y = torch.randn(16, 15, 6), torch.randint(0, 4, (16,))
        for _ in range(epochs):
            for xb, yb in zip(x.split(4), y.split(4)):
                optimizer.zero_grad()
                loss = criterion(model(xb), yb)
                clip_grad_norm_(model.parameters(), 5.0)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        fit()
    ```

    ```text
    24:13 error: gradients are clipped before the backward pass, when there are no gradients yet
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(model, loader, optimizer):
        for tokens, following in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(tokens).flatten(0, 1), following.flatten())
            loss.backward()
            optimizer.step()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    ```

    ```text
    12:9 error: gradients are clipped after the step, when the gradients have been used
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(model, loader, optimizer):
        scaler = torch.amp.GradScaler("cuda")
        for image, label in loader:
            optimizer.zero_grad()
            with torch.autocast("cuda", dtype=torch.float16):
                loss = F.cross_entropy(model(image.cuda()), label.cuda())
            scaler.scale(loss).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
    ```

    ```text
    13:9 error: gradients are clipped while the loss scale is still in the gradients
    ```

Good: between backward and step.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(model, loader, optimizer, accumulate=8):
        for index, (x, y) in enumerate(loader):
            (F.mse_loss(model(x), y) / accumulate).backward()
            if (index + 1) % accumulate == 0:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
    ```

On gradients that were unscaled before.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(model, loader, optimizer):
        scaler = torch.cuda.amp.GradScaler()
        for x, y in loader:
            with torch.cuda.amp.autocast():
                loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
    ```

Weights that are clipped after the step: the critic of a Wasserstein GAN.

    ```python
    import torch
    from torch import nn


    def train_critic(steps=100, bound=0.01):
        critic = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
        optimizer = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
        for _ in range(steps):
            real, fake = torch.randn(16, 2) + 1, torch.randn(16, 2)
            optimizer.zero_grad()
            (critic(fake).mean() - critic(real).mean()).backward()
            optimizer.step()
            for parameter in critic.parameters():
                parameter.data.clamp_(-bound, bound)


    if __name__ == "__main__":
        train_critic()
    ```

Symptoms: gradient clipping has no effect; loss still explodes with clip_grad_norm_; clip_grad_norm_ returns 0;
training very slow with GradScaler and clipping; where to put clip_grad_norm_; unscale_ before clipping
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.training_order import Feed, by_place, earlier, same_pass, source_of
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule, related_at
from gradlint.training import Event, EventKind, TrainingStep

BEFORE = "before the backward pass, when there are no gradients yet"
AFTER = "after the step, when the gradients have been used"
SCALED = "while the loss scale is still in the gradients"


class MisplacedClipping(TrainingRule):
    code = "GL705"
    severity = Severity.ERROR
    message = "gradients are clipped {when}"
    advice = "clip between backward and step, and after scaler.unscale_(optimizer) where the loss is scaled"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        clips = [e for e in step.of(EventKind.CLIP) if not e.facts.get("hook")]
        if not step.complete or not step.of(EventKind.BACKWARD):
            return
        for group in by_place(tuple(clips)):
            found = [(event, *source_of(step, event, stop=(EventKind.STEP,))) for event in group]
            when = _fault(step, found)
            if when:
                other = found[-1][2]
                related = related_at(other.frame, str(other.kind)) if other else ()
                yield self.found(group[-1].frame, path="", evidence=Evidence.SOURCE, related=related, when=when)


def _fault(step: TrainingStep, found: list[tuple[Event, Feed, Event | None]]) -> str:
    """What is wrong with the place of one clipping call; empty when nothing is, in any pass."""
    ways = {how for _, how, _ in found}
    if Feed.UNKNOWN in ways or any(c.text == "phase" for e, _, _ in found for c in e.conditions):
        return ""
    if Feed.FED in ways:
        fed = [(event, feed) for event, how, feed in found if how is Feed.FED and feed is not None]
        late = all(not same_pass(feed, event) for event, feed in fed)
        if all(feed.facts.get("scaled") and not _unscaled(step, event, feed) for event, feed in fed):
            return SCALED
        return BEFORE if late and _plain(fed) and len(found) > 1 else ""
    event, how, other = found[-1]
    if how is Feed.STEPPED and other is not None:
        return AFTER if same_pass(other, event) else BEFORE
    return BEFORE if how is Feed.CLEARED and not _has_backward_between(step, event, other) else ""


def _has_backward_between(step: TrainingStep, event: Event, cleared: Event | None) -> bool:
    """Whether a backward pass stands in the right place, though its gradient never comes to these parameters."""
    for other in earlier(step, event):
        if other is cleared:
            return False
        if other.kind is EventKind.BACKWARD:
            return True
    return False


def _plain(fed: list[tuple[Event, Event]]) -> bool:
    """Whether clipping and backward pass stand in one loop without any test."""
    return all(not event.maybe and not feed.maybe and event.loop == feed.loop for event, feed in fed)


def _unscaled(step: TrainingStep, event: Event, feed: Event) -> bool:
    """Whether anything may have divided the scale out between a backward pass and a clipping."""
    for other in earlier(step, event):
        if other is feed:
            return False
        if other.kind in (EventKind.UNSCALE, EventKind.ASSIGNED, EventKind.ESCAPED):
            return True
    return True
