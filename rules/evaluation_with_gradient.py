"""Evaluation builds the graphs that only training needs.

`eval()` changes the mode of dropout and batch norm, not what autograd records. Without `no_grad` or `inference_mode`
a validation pass keeps every activation until its result is dropped, which costs memory and time, and doubles the
largest batch that is possible when it is absent.

Bad:

    ```python
    import torch
    from torch import nn


    class Risk(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))

        def forward(self, x):
            return self.layers(x).squeeze(1)


    def evaluate(model, x, y, criterion):
        model.eval()
        total = 0.0
        for xb, yb in zip(x.split(8), y.split(8)):
            total += criterion(model(xb), yb).item()
        return total


    def main(epochs=20):
        model, criterion = Risk(), nn.BCEWithLogitsLoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        x, y = torch.randn(48, 9), torch.randint(0, 2, (48,)).float()
        for epoch in range(epochs):
            model.train()
            for i in range(0, 32, 8):
                optimizer.zero_grad()
                criterion(model(x[i : i + 8]), y[i : i + 8]).backward()
                optimizer.step()
            print(epoch, evaluate(model, x[32:], y[32:], criterion))


    if __name__ == "__main__":
        main()
    ```

    ```text
    18:28 note: this evaluation builds a graph that nothing uses, so it keeps all activations in memory
    ```

Good: under `no_grad`.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    @torch.no_grad()
    def evaluate(model, x, y):
        model.eval()
        return F.mse_loss(model(x), y).item()


    def main(epochs=20):
        model = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        x, y = torch.randn(48, 9), torch.randn(48, 1)
        for epoch in range(epochs):
            model.train()
            optimizer.zero_grad()
            F.mse_loss(model(x[:32]), y[:32]).backward()
            optimizer.step()
            print(epoch, evaluate(model, x[32:], y[32:]))


    if __name__ == "__main__":
        main()
    ```

A gradient is wanted: the input is attacked.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def attacked(model, x, y, bound=0.1):
        model.eval()
        x = x.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(F.cross_entropy(model(x), y), x)
        model.train()
        return (x + bound * slope.sign()).detach()


    def main(steps=20):
        model = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randint(0, 3, (16,))
            x = attacked(model, x, y)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


    if __name__ == "__main__":
        main()
    ```

Symptoms: CUDA out of memory during validation; validation uses more memory than training; evaluation is slow; do I
need torch.no_grad() with model.eval()
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Evidence, Finding, Severity
from gradlint.frame import Frame
from gradlint.rule import TrainingRule
from gradlint.training import Event, EventKind, TrainingStep


class EvaluationWithGradient(TrainingRule):
    code = "GL714"
    severity = Severity.NOTE
    message = "this evaluation builds a graph that nothing uses, so it keeps all activations in memory"
    advice = "put it under torch.no_grad() or torch.inference_mode()"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        said: set[object] = set()
        trained = {e.subject for e in step.anywhere(EventKind.FORWARD) if e.facts.get("feeds")}
        for event in step.of(EventKind.FORWARD):
            in_eval = event.facts.get("mode") == "eval" and event.facts.get("grad") and not event.facts.get("feeds")
            if in_eval and event.subject in trained and event.frame not in said and event.node is not None:
                said.add(event.frame)
                yield self.found(_place(step, event), path="", evidence=Evidence.SOURCE)


def _place(step: TrainingStep, forward: Event) -> Frame | None:
    """Where the model is called, or the loop of the evaluation around a helper that training calls too."""
    switch = next((e for e in reversed(step.of(EventKind.EVAL)) if e.subject == forward.subject), None)
    if switch is None or switch.frame is None or forward.frame is None:
        return forward.frame
    shared = {e.frame for e in step.of(EventKind.FORWARD) if e.facts.get("feeds")}
    around = [frame for frame in forward.loop if frame.function == switch.frame.function]
    return around[-1] if around and forward.frame in shared else forward.frame
