"""The learning rate lies outside of the range in which the optimizer works.

Adam moves each weight by about the learning rate in every step, whatever the size of the gradient: above 1e-2 the
weights of a network jump past every minimum, below 1e-6 they do not move in any number of steps that one can wait
for. Plain gradient descent needs more, and diverges from about 1 on. The usual starts are 1e-3 for Adam (Kingma and
Ba, 2015) and 1e-1 to 1e-2 for SGD.

Bad:

    ```python
    import torch
    from torch import nn

    LEARNING_RATE = 0.5


    def main(epochs=30):
        x = torch.randn(64, 6)
        y = x[:, :2].sum(1, keepdim=True)
        net, criterion = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 1)), nn.MSELoss()
        optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
        for _ in range(epochs):
            for index in torch.randperm(64).split(16):
                optimizer.zero_grad()
                loss = criterion(net(x[index]), y[index])
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        main()
    ```

    ```text
    11:17 warning: a learning rate of 0.5 is too high for Adam
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(batches):
        net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 26 * 26, 10))
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-8, momentum=0.9)
        for image, digit in batches:
            optimizer.zero_grad()
            F.cross_entropy(net(image), digit).backward()
            optimizer.step()


    if __name__ == "__main__":
        train([(torch.randn(4, 1, 28, 28), torch.randint(0, 10, (4,))) for _ in range(3)])
    ```

    ```text
    8:17 warning: a learning rate of 1e-08 is too low for SGD
    ```

Good: a schedule with a warm-up scales it.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(width=64, warmup=400, steps=1000):
        net = nn.Sequential(nn.Linear(10, width), nn.GELU(), nn.Linear(width, 4))
        optimizer = torch.optim.Adam(net.parameters(), lr=1.0, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: width**-0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5)
        )
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.randn(16, 10)), torch.randint(0, 4, (16,))).backward()
            optimizer.step()
            schedule.step()


    if __name__ == "__main__":
        train()
    ```

Logistic regression: one layer, so there is but one minimum.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def probe(features, labels, steps=100):
        net = nn.Linear(32, 7)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.2, weight_decay=5e-6)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(net(features), labels).backward()
            optimizer.step()
        return net


    if __name__ == "__main__":
        probe(torch.randn(64, 32), torch.randint(0, 7, (64,)))
    ```

An image is optimised, not a network.

    ```python
    import torch
    from torch import nn


    def dream(steps=100):
        features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).requires_grad_(False)
        image = torch.rand(1, 3, 32, 32, requires_grad=True)
        optimizer = torch.optim.Adam([image], lr=0.05)
        for _ in range(steps):
            optimizer.zero_grad()
            features(image).square().mean().neg().backward()
            optimizer.step()
        return image.detach()


    if __name__ == "__main__":
        dream()
    ```

L-BFGS starts at 1 and searches its own step.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def fit(steps=20):
        net = nn.Linear(3, 1)
        x, y = torch.randn(50, 3), torch.randn(50, 1)
        optimizer = torch.optim.LBFGS(net.parameters(), lr=1, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            return loss

        for _ in range(steps):
            optimizer.step(closure)


    if __name__ == "__main__":
        fit()
    ```

Symptoms: loss jumps up and down; loss diverges from the first step; loss is nan; loss does not move; loss decreases
extremely slowly; what learning rate for Adam; accuracy stuck at chance level
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule
from gradlint.training import Event, EventKind, TrainingStep

ADAPTIVE = frozenset({"Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam", "FusedAdam", "Adam8bit", "AdamW8bit"})
PLAIN = frozenset({"SGD", "FusedSGD"})
TOLERATED = 10
"""Small networks survive rates of the Adam family up to so many times the highest: a note."""

TOLERATED_LINEAR = 100
"""A single layer has no other minimum to jump to: it is trained with 0.2 and more (Wu et al., 2019, "Simplifying graph
convolutional networks")."""

ONLY_DECAYING = frozenset({"StepLR", "MultiStepLR", "ExponentialLR", "ReduceLROnPlateau", "CosineAnnealingLR"})
"""Schedules that start at the rate that is given."""


class LearningRate(TrainingRule):
    code = "GL708"
    severity = Severity.WARNING
    message = "a learning rate of {rate:g} is {how} for {optimizer}"
    advice = "start from {start:g}"
    adaptive_highest: float = Field(1e-2, gt=0, description="Highest rate that is accepted for the Adam family.")
    adaptive_lowest: float = Field(1e-6, gt=0, description="Lowest rate that is accepted for the Adam family.")
    plain_highest: float = Field(1.0, gt=0, description="Rate from which on SGD is reported.")
    plain_lowest: float = Field(1e-6, gt=0, description="Rate up to which SGD is reported.")
    adaptive_start: float = Field(1e-3, gt=0, description="The usual rate for the Adam family.")
    plain_start: float = Field(1e-2, gt=0, description="The usual rate for SGD.")

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        if _is_meta_learning(step) or not step.anywhere(EventKind.BACKWARD):
            return
        for event in step.of(EventKind.OPTIMIZER):
            name = event.facts.get("class", "")
            rate = next((one for one in _rates(event) if self._fault(name, one)), None)
            how = self._fault(name, rate) if rate is not None else ""
            if how and not _scheduled(step, event, how):
                start = self.adaptive_start if name in ADAPTIVE else self.plain_start
                severity = Severity.NOTE if self._is_tolerated(event, rate or 0.0) else None
                words = {"rate": rate, "how": how, "optimizer": name, "start": start}
                yield self.found(event.frame, path="", evidence=Evidence.SOURCE, severity=severity, **words)

    def _is_tolerated(self, optimizer: Event, rate: float) -> bool:
        survived = TOLERATED if optimizer.facts.get("linear") is False else TOLERATED_LINEAR
        adaptive = optimizer.facts.get("class") in ADAPTIVE
        return adaptive and self.adaptive_highest < rate < survived * self.adaptive_highest

    def _fault(self, name: str, rate: float) -> str:
        if rate == 0:
            return "no rate at all"
        if name in ADAPTIVE:
            return "too high" if rate > self.adaptive_highest else "too low" if rate < self.adaptive_lowest else ""
        if name in PLAIN:
            return "too high" if rate >= self.plain_highest else "too low" if 0 < rate <= self.plain_lowest else ""
        return ""


def _rates(optimizer: Event) -> list[float]:
    """The rate that counts for all parameters of a network, or those of its groups that are not switched off."""
    rate = optimizer.facts.get("lr")
    given = [rate] if rate is not None else [one for one in optimizer.facts.get("rates", ()) if one != 0]
    return given if optimizer.facts.get("network") else []


def _is_meta_learning(step: TrainingStep) -> bool:
    """Whether gradients are taken of gradients."""
    taken = step.anywhere(EventKind.BACKWARD, EventKind.GRADIENT)
    return any(event.facts.get("create") for event in taken)


def _scheduled(step: TrainingStep, optimizer: Event, how: str) -> bool:
    """Whether something may move the rate into its range."""
    for event in step.anywhere(EventKind.SCHEDULER, EventKind.SCHEDULE):
        of = event.facts.get("of")
        about = event.subject == optimizer.subject if event.facts.get("by_hand") else of in (None, optimizer.subject)
        decaying = event.facts.get("class") in ONLY_DECAYING and how != "no rate at all"
        if about and event.kind is EventKind.SCHEDULER and not decaying:
            return True
        if event.kind is EventKind.SCHEDULE and of is None:
            return True
    return any(e.subject == optimizer.subject for e in step.anywhere(EventKind.ESCAPED, EventKind.CHANGED))
