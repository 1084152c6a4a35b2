"""The model is changed after the optimizer took its parameters.

A parametrisation (weight norm, spectral norm) replaces a weight by new parameters. An optimizer that was built before
still holds the old one, which nothing uses any more: the new ones are never moved. The same holds for sharding. A
move to another device is harmless for most optimizers; those that allocate their state when they are built (Adagrad)
keep it where it was.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm


    class Vocoder(nn.Module):
        def __init__(self, mel=8, width=16):
            super().__init__()
            self.pre = nn.Conv1d(mel, width, 7, padding=3)
            self.up = nn.ConvTranspose1d(width, width, 4, stride=2, padding=1)
            self.post = nn.Conv1d(width, 1, 7, padding=3)

        def forward(self, mel):
            h = nn.functional.leaky_relu(self.pre(mel), 0.1)
            return self.post(nn.functional.leaky_relu(self.up(h), 0.1))


    def train(steps=100):
        net = Vocoder()
        optimizer = torch.optim.AdamW(net.parameters(), lr=2e-4, betas=(0.8, 0.99))
        for part in (net.pre, net.up, net.post):
            weight_norm(part)
        for _ in range(steps):
            mel, wave = torch.randn(2, 8, 40), torch.rand(2, 1, 80) * 2 - 1
            optimizer.zero_grad()
            nn.functional.l1_loss(net(mel), wave).backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:9 note: this change comes after the optimizer took the parameters, so it holds weights that nothing uses
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(batches, device="cuda"):
        net = nn.Linear(40, 2)
        optimizer = torch.optim.Adagrad(net.parameters(), lr=0.01)
        net.to(device)
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(net(x.to(device)), y.to(device)).backward()
            optimizer.step()


    if __name__ == "__main__" and torch.cuda.is_available():
        train([(torch.randn(8, 40), torch.randint(0, 2, (8,)))])
    ```

    ```text
    9:5 note: this change comes after the optimizer took the parameters, so its state stays on the old device
    ```

Good: first the parametrisation, then the optimizer.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.utils.parametrizations import spectral_norm


    def train(steps=100):
        judge = nn.Sequential(spectral_norm(nn.Linear(2, 32)), nn.ReLU(), spectral_norm(nn.Linear(32, 1)))
        optimizer = torch.optim.Adam(judge.parameters(), lr=2e-4)
        for _ in range(steps):
            optimizer.zero_grad()
            F.softplus(-judge(torch.randn(16, 2))).mean().backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A move that Adam does not mind.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        net = nn.Linear(4, 1)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        net = net.to("cpu")
        for _ in range(steps):
            x = torch.randn(8, 4)
            optimizer.zero_grad()
            F.mse_loss(net(x), x.sum(1, keepdim=True)).backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Also: GL707

Symptoms: weight_norm layers do not train; optimizer has the old parameters; RuntimeError: Expected all tensors to be
on the same device, but found at least two devices in optimizer.step(); If you need to move a model to GPU via
.cuda(), please do so before constructing optimizers for it
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule, related_at
from gradlint.training import Event, EventKind, TrainingStep

MOVES = frozenset({"to", "cuda", "to_empty"})
WITH_STATE = frozenset({"Adagrad"})
"""Optimizers that allocate their state when they are built."""


class CompileAfterOptimizer(TrainingRule):
    code = "GL716"
    severity = Severity.NOTE
    message = "this change comes after the optimizer took the parameters, so {effect}"
    advice = "build the optimizer last"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        said: set[object] = set()
        for change in step.anywhere(EventKind.CHANGED):
            before = [e for e in step.anywhere(EventKind.OPTIMIZER) if e.order < change.order and e.parameters]
            taken = next((e for e in before if change.parameters and e.concerns(change.parameters)), None)
            effect = _effect(change, taken) if taken is not None else ""
            if effect and taken is not None and change.frame not in said:
                said.add(change.frame)
                related = related_at(taken.frame, "the optimizer")
                yield self.found(change.frame, path="", evidence=Evidence.SOURCE, related=related, effect=effect)


def _effect(change: Event, taken: Event) -> str:
    """What the optimizer misses; empty where nothing."""
    how = change.facts.get("how")
    if how == "parametrised":
        return "it holds weights that nothing uses"
    if how in MOVES and taken.facts.get("class") in WITH_STATE:
        return "its state stays on the old device"
    return ""
