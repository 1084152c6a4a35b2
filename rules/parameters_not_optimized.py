"""Trainable parameters get a gradient in every step, and no optimizer has them.

An optimizer keeps the tensors that it was given when it was built. A layer that is replaced or added later, a second
network, a head that was left out of the list: their gradients are computed, and nothing moves them. The loss still
falls, by what the other parameters can do, which hides the fault. Parameters that are frozen on purpose say so with
`requires_grad_(False)`.

Bad:

    ```python
    import torch
    from torch import nn


    class Backbone(nn.Module):
        def __init__(self, classes=100):
            super().__init__()
            self.first = nn.Conv2d(3, 16, 3, stride=2, padding=1)
            self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
            self.fc = nn.Linear(32, classes)

        def forward(self, x):
            x = torch.relu(self.second(torch.relu(self.first(x))))
            return self.fc(x.mean(dim=(2, 3)))


    def finetune(steps=100, kinds=7):
        model = Backbone()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)
        model.fc = nn.Linear(model.fc.in_features, kinds)
        criterion = nn.CrossEntropyLoss()
        for _ in range(steps):
            x, y = torch.randn(4, 3, 16, 16), torch.randint(0, kinds, (4,))
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        finetune()
    ```

    ```text
    19:17 error: 2 trainable parameter tensors never move: no optimizer has `fc.weight`, `fc.bias`
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Translator(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.encoder = nn.Linear(12, width)
            self.decoder = nn.Linear(width, 12)

        def forward(self, x):
            return self.decoder(torch.tanh(self.encoder(x)))


    def train(steps=100):
        model = Translator()
        optimizer = torch.optim.Adam(model.decoder.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 12)
            optimizer.zero_grad()
            F.mse_loss(model(x), x).backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    18:17 error: 2 trainable parameter tensors never move: no optimizer has `encoder.weight`, `encoder.bias`
    ```

Good: what is left out is frozen.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Probe(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(12, 32), nn.ReLU())
            self.head = nn.Linear(32, 3)

        def forward(self, x):
            return self.head(self.body(x))


    def train(steps=100):
        model = Probe()
        for parameter in model.body.parameters():
            parameter.requires_grad = False
        optimizer = torch.optim.SGD(model.head.parameters(), lr=0.05)
        for _ in range(steps):
            x, y = torch.randn(8, 12), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Two optimizers share the model.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Agent(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 32)
            self.value = nn.Linear(32, 1)

        def forward(self, state):
            return self.value(torch.tanh(self.body(state))).squeeze(1)


    def train(steps=100):
        agent = Agent()
        slow = torch.optim.SGD(agent.body.parameters(), lr=1e-3)
        fast = torch.optim.Adam(agent.value.parameters(), lr=1e-3)
        for _ in range(steps):
            state, gain = torch.randn(16, 4), torch.rand(16)
            slow.zero_grad()
            fast.zero_grad()
            F.mse_loss(agent(state), gain).backward()
            slow.step()
            fast.step()


    if __name__ == "__main__":
        train()
    ```

The layer is replaced first, and a new group is added.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tuned(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(9, 24)
            self.head = nn.Linear(24, 10)

        def forward(self, x):
            return self.head(torch.relu(self.body(x)))


    def train(steps=100):
        model = Tuned()
        model.head = nn.Linear(24, 4)
        optimizer = torch.optim.AdamW(model.body.parameters(), lr=1e-4)
        optimizer.add_param_group({"params": model.head.parameters(), "lr": 1e-3})
        for _ in range(steps):
            x, y = torch.randn(8, 9), torch.randint(0, 4, (8,))
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: new layer does not train; weights of the replaced head do not change; some layers do not learn; param.grad
is not None but the weights stay the same; optimizer created before the layer was replaced; loss falls slowly and then
stays
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule
from gradlint.training import Event, EventKind, TrainingStep

SHOWN = 3


class ParametersNotOptimized(TrainingRule):
    code = "GL707"
    severity = Severity.ERROR
    message = "{what}: no optimizer has {which}"
    advice = "give the optimizer all trainable parameters, after the last layer is in place, or freeze them"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        optimizers = step.anywhere(EventKind.OPTIMIZER)
        if not step.complete or not optimizers or not all(e.facts.get("exact") for e in optimizers):
            return
        held = {number for e in optimizers for number in e.parameters or ()}
        moved = {n for e in step.anywhere(EventKind.UPDATE, EventKind.ASSIGNED) for n in e.parameters or ()}
        learning = {n for e in step.of(EventKind.BACKWARD) for n in e.facts.get("trainable", ())}
        for model in _models(step):
            names: dict[int, str] = model.facts.get("names", {})
            lost = [n for n in names if n in (learning & _lasting(step, model)) - held - moved]
            at = _optimizer_of(optimizers, names, learning)
            if lost and at is not None and not _got_away(step, model):
                yield self._said(at, lost, names)
            elif lost and _is_forgotten(step, model, optimizers):
                yield self._said(optimizers[0], lost, names, Severity.WARNING)

    def _said(self, at: Event, lost: list[int], names: dict[int, str], severity: Severity | None = None) -> Finding:
        told = [f"`{names[n]}`" for n in lost[:SHOWN]]
        more = len(lost) - SHOWN
        which = ", ".join(told) + (f" and {more} more" if more > 0 else "")
        count = f"{len(lost)} trainable parameter tensor{'' if len(lost) == 1 else 's'} never move"
        what = count if len(lost) > 1 else count + "s"
        extra = {"parameters": tuple(names[n] for n in lost)}
        return self.found(
            at.frame, path="", evidence=Evidence.SOURCE, severity=severity, extra=extra, what=what, which=which
        )


def _lasting(step: TrainingStep, model: Event) -> set[int]:
    """The parameters that a model has in every pass; those that forward makes anew are another fault."""
    calls = [e for e in step.of(EventKind.FORWARD) if e.subject == model.subject]
    return set.intersection(*(set(e.facts.get("names", ())) for e in calls))


def _models(step: TrainingStep) -> list[Event]:
    """The models that are trained, each by its last call."""
    return list({e.subject: e for e in step.of(EventKind.FORWARD) if e.facts.get("feeds")}.values())


def _optimizer_of(optimizers: tuple[Event, ...], names: dict[int, str], learning: set[int]) -> Event | None:
    """The optimizer that has a part of the model; any, where none has anything that learns."""
    for event in optimizers:
        if set(event.parameters or ()) & set(names):
            return event
    useless = all(learning.isdisjoint(event.parameters or ()) for event in optimizers)
    return optimizers[0] if useless else None


def _is_forgotten(step: TrainingStep, model: Event, optimizers: tuple[Event, ...]) -> bool:
    """Whether a second network is trained like the first, and only the optimizer does not know of it.

    Networks in eval mode, with weights from elsewhere, or beside an optimizer of inputs are used on purpose.
    """
    others = {n for e in _models(step) if e.subject != model.subject for n in e.facts.get("names", ())}
    networks = all(e.parameters and set(e.parameters) <= others for e in optimizers)
    told = [e for e in step.anywhere(EventKind.CHANGED, EventKind.EVAL) if e.concerns(model.parameters)]
    touched = any(e.kind is EventKind.EVAL or e.facts.get("how") == "loaded" for e in told)
    return networks and not touched and not _got_away(step, model) and bool(model.facts.get("passes"))


def _got_away(step: TrainingStep, model: Event) -> bool:
    """Whether something that could not be read had hold of the model or of an optimizer."""
    return any(
        e.facts.get("role") in ("optimizer", "unknown") or e.concerns(model.parameters)
        for e in step.anywhere(EventKind.ESCAPED)
    )
