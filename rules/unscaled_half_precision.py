"""Float16 gradients are computed without scaling the loss.

The smallest float16 number is 6e-8, and most gradients of a network are smaller at some layer: they turn into zeros.
`GradScaler` multiplies the loss so that they fit, and divides before the step (Micikevicius et al., 2018). Bfloat16
has the range of float32 and needs no scaling.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(device="cuda", steps=100):
        net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)).to(device)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
        for _ in range(steps):
            scan = torch.randn(2, 1, 32, 32, device=device)
            vessel = (torch.rand(2, 1, 32, 32, device=device) > 0.9).float()
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device_type=device, dtype=torch.float16):
                loss = F.binary_cross_entropy_with_logits(net(scan), vessel)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__" and torch.cuda.is_available():
        train()
    ```

    ```text
    15:9 warning: float16 gradients (under autocast) are computed without loss scaling, so small ones turn into zeros
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        net = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 3)).cuda().half()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for _ in range(steps):
            x, y = torch.randn(8, 12).cuda().half(), torch.randint(0, 3, (8,)).cuda()
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__" and torch.cuda.is_available():
        train()
    ```

    ```text
    13:9 warning: float16 gradients (of a half model) are computed without loss scaling, so small ones turn into zeros
    ```

Good: the loss is scaled.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        net = nn.Linear(12, 3).cuda()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cuda")
        for _ in range(steps):
            x, y = torch.randn(8, 12).cuda(), torch.randint(0, 3, (8,)).cuda()
            optimizer.zero_grad()
            with torch.autocast("cuda", dtype=torch.float16):
                loss = F.cross_entropy(net(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()


    if __name__ == "__main__" and torch.cuda.is_available():
        train()
    ```

Bfloat16.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        net = nn.Linear(12, 3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for _ in range(steps):
            x, y = torch.randn(8, 12), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Mixed precision that a setting switches, with a scaler where it is on.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Experiment:
        def __init__(self, settings):
            self.settings = settings
            self.model = nn.Linear(12, 3).cuda()

        def run(self, batches):
            optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)
            scaler = torch.amp.GradScaler("cuda") if self.settings.mixed else None
            for x, y in batches:
                optimizer.zero_grad()
                if self.settings.mixed:
                    with torch.autocast("cuda", dtype=torch.float16):
                        loss = F.cross_entropy(self.model(x), y)
                else:
                    loss = F.cross_entropy(self.model(x), y)
                if self.settings.mixed:
                    scaler.scale(loss).backward()
                    scaler.step(optimizer)
                    scaler.update()
                else:
                    loss.backward()
                    optimizer.step()
    ```

A single pass, which checks gradients and trains nothing.

    ```python
    import torch
    from torch import nn


    def check():
        net = nn.Linear(12, 3).cuda().half()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        net(torch.randn(8, 12).cuda().half()).sum().backward()
        optimizer.step()
        return all(p.grad is not None for p in net.parameters())


    if __name__ == "__main__" and torch.cuda.is_available():
        check()
    ```

Symptoms: loss does not decrease with autocast; mixed precision trains worse than float32; gradients underflow in
fp16; nan with model.half(); gradients are zero in half precision; GradScaler missing
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule
from gradlint.training import Event, EventKind, TrainingStep


class UnscaledHalfPrecision(TrainingRule):
    code = "GL712"
    severity = Severity.WARNING
    message = "float16 gradients ({where}) are computed without loss scaling, so small ones turn into zeros"
    advice = "use torch.amp.GradScaler, or bfloat16"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        said: set[object] = set()
        for event in step.of(EventKind.BACKWARD):
            half = event.facts.get("half") if _is_repeated(step, event) else ""
            if half and event.frame not in said and not _scaled(event) and not step.anywhere(EventKind.ESCAPED):
                said.add(event.frame)
                where = "under autocast" if half == "autocast" else "of a half model"
                yield self.found(event.frame, path="", evidence=Evidence.SOURCE, where=where)


def _is_repeated(step: TrainingStep, event: Event) -> bool:
    """Whether an optimizer steps again and again: a single pass checks gradients, and trains nothing."""
    return bool(event.loop) and bool(step.of(EventKind.STEP))


def _scaled(event: Event) -> bool:
    """Whether something multiplies the loss, or a framework does the backward pass."""
    return any(event.facts.get(fact) for fact in ("scaled", "multiplied", "framework"))
