"""The model is put into eval mode inside of the training loop and not back.

`eval()` switches dropout off and freezes the statistics of batch norm until somebody calls `train()`. A validation
inside of the loop leaves all later training steps in that mode: no regularisation, statistics of the first epoch, and
a model that trains well for one epoch only.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Sky(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(16)
            self.drop = nn.Dropout(0.4)
            self.kind = nn.Linear(16, 4)

        def forward(self, x):
            return self.kind(self.drop(F.relu(self.norm(self.conv(x))).mean((2, 3))))


    def validate(net, x, y):
        net.eval()
        with torch.no_grad():
            return (net(x).argmax(1) == y).float().mean().item()


    def main(epochs=30):
        net = Sky()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        x, y = torch.randn(24, 3, 16, 16), torch.randint(0, 4, (24,))
        net.train()
        for epoch in range(epochs):
            for i in range(0, 16, 8):
                optimizer.zero_grad()
                F.cross_entropy(net(x[i : i + 8]), y[i : i + 8]).backward()
                optimizer.step()
            print(epoch, validate(net, x[16:], y[16:]))


    if __name__ == "__main__":
        main()
    ```

    ```text
    19:5 warning: eval mode is switched on in the training loop and still on at the next training step
    ```

    ```python
    import torch
    from torch.nn import functional as F


    def train(model, loader, held_out, optimizer):
        model.train()
        for step, (x, y) in enumerate(loader):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if step % 500 == 0:
                model.eval()
                with torch.no_grad():
                    print(step, sum(F.cross_entropy(model(a), b).item() for a, b in held_out))
    ```

    ```text
    12:13 warning: eval mode is switched on in the training loop and still on at the next training step
    ```

Good: train mode at the top of each epoch.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def main(epochs=10):
        net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
        for _ in range(epochs):
            net.train()
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            net.eval()
            with torch.no_grad():
                print((net(x).argmax(1) == y).float().mean().item())


    if __name__ == "__main__":
        main()
    ```

Another network is in eval mode: a frozen one that judges.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def distil(steps=100):
        teacher = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 3)).requires_grad_(False)
        student = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))
        optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
        for _ in range(steps):
            teacher.eval()
            x = torch.randn(16, 8)
            optimizer.zero_grad()
            F.mse_loss(student(x), teacher(x)).backward()
            optimizer.step()


    if __name__ == "__main__":
        distil()
    ```

The mode from before is restored.

    ```python
    import torch
    from torch.nn import functional as F


    def probe(model, x):
        mode = model.training
        model.eval()
        with torch.no_grad():
            scores = model(x)
        model.train(mode)
        return scores


    def train(model, loader, fixed, optimizer):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            probe(model, fixed)
    ```

Only the norm layers are in eval mode: their statistics are kept on purpose.

    ```python
    from torch import nn
    from torch.nn import functional as F


    def finetune(model, loader, optimizer, epochs=5):
        for _ in range(epochs):
            model.train()
            for part in model.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval()
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    ```

A copy that follows the model is evaluated, and stays in evaluation mode.

    ```python
    import copy

    import torch
    from torch.nn import functional as F


    class Average:
        def __init__(self, model):
            self.model = copy.deepcopy(model).eval()

        @torch.no_grad()
        def update(self, model, share=0.01):
            for slow, fast in zip(self.model.parameters(), model.parameters()):
                slow.lerp_(fast, share)


    @torch.no_grad()
    def accuracy(model, batches):
        model.eval()
        return [(model(x).argmax(dim=1) == y).float().mean().item() for x, y in batches]


    def train(model, loader, held_out, optimizer):
        average = Average(model)
        model.train()
        for step, (x, y) in enumerate(loader):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            average.update(model)
            if step % 500 == 0:
                print(step, accuracy(average.model, held_out))
    ```

Symptoms: accuracy drops after the first validation; model overfits although it has dropout; training good in the
first epoch then gets worse; model.train() and model.eval(); batch norm statistics are not updated
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.training_order import later, source_of
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule, related_at
from gradlint.training import Event, EventKind, TrainingStep


class MissingTrainMode(TrainingRule):
    code = "GL706"
    severity = Severity.WARNING
    message = "eval mode is switched on in the training loop and still on at the next training step"
    advice = "call train() again before training goes on"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        if step.origin != "file" or not step.complete:
            return
        said: set[object] = set()
        for event in step.of(EventKind.EVAL):
            trained = _trained_in_it(step, event)
            if trained is not None and event.frame not in said:
                said.add(event.frame)
                related = related_at(trained.frame, "the training step")
                yield self.found(event.frame, path="", evidence=Evidence.SOURCE, related=related)


def _trained_in_it(step: TrainingStep, switch: Event) -> Event | None:
    """The next training pass of the model that is in eval mode since a call; None when the mode changes before."""
    runs = [e for e in step.of(EventKind.FORWARD) if e.subject == switch.subject]
    if not any(e.order < switch.order or e.facts.get("passes") for e in runs):
        return None
    for event in later(step, switch):
        if event.kind is EventKind.TRAIN and (event.subject == switch.subject or event.concerns(switch.parameters)):
            return None
        ran = event.kind is EventKind.FORWARD and event.subject == switch.subject and event.facts.get("modes", True)
        if ran and _is_used(step, event, event.facts.get("passes", ()), switch):
            return event
        if (
            event.kind is EventKind.BACKWARD
            and switch.parameters is None
            and _is_used(step, event, (event.order,), switch)
        ):
            return event
    return None


def _is_used(step: TrainingStep, event: Event, passes: tuple[int, ...], switch: Event) -> bool:
    """Whether an optimizer of the model steps with what one of these backward passes gives."""
    steps = (e for e in later(step, event) if e.kind is EventKind.STEP and e.concerns(switch.parameters))
    feeds = (source_of(step, other)[1] for other in steps)
    return any(feed is not None and feed.order in passes for feed in feeds)
