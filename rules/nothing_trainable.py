"""The model is trained, and none of its parameters can learn.

Everything is frozen: a loop over all parameters that was meant for the backbone, `requires_grad_(False)` on the whole
model, an adapter that was never switched on. The loss then has no history and backward raises, or, when an input
requires a gradient, runs and changes nothing. A model that is only used for inference is frozen rightly.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Transfer(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(12, 32), nn.ReLU())
            self.head = nn.Linear(32, 3)
            for parameter in self.parameters():
                parameter.requires_grad = False

        def forward(self, x):
            return self.head(self.backbone(x))


    def train(steps=100):
        model = Transfer()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    12:13 error: `Transfer` is trained, but every one of its 4 parameter tensors is frozen
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Regressor(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))

        def forward(self, x):
            return self.layers(x).squeeze(1)


    def train(steps=100):
        model = Regressor().eval().requires_grad_(False)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
        for _ in range(steps):
            x = torch.randn(16, 6, requires_grad=True)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), x.detach().sum(dim=1))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    16:13 error: `Regressor` is trained, but every one of its 4 parameter tensors is frozen
    ```

Good: the head is left trainable.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tuned(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(12, 32), nn.ReLU())
            self.backbone.requires_grad_(False)
            self.head = nn.Linear(32, 3)

        def forward(self, x):
            return self.head(self.backbone(x))


    def train(steps=100):
        model = Tuned()
        optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A model that is used for inference only: its input is what is optimised.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
            self.requires_grad_(False)

        def forward(self, image):
            return self.layers(image)


    def restyle(steps=50):
        features, wanted = Features().eval(), torch.rand(1, 3, 16, 16)
        image = torch.rand(1, 3, 16, 16, requires_grad=True)
        optimizer = torch.optim.Adam([image], lr=1e-2)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.mse_loss(features(image), features(wanted))
            loss.backward()
            optimizer.step()
        return image.detach()


    if __name__ == "__main__":
        restyle()
    ```

A loss that is skipped until enough was remembered.

    ```python
    import random

    import torch
    from torch import nn


    class Value(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))

        def forward(self, state):
            return self.layers(state)


    class Memory:
        def __init__(self):
            self.items = []

        def push(self, item):
            self.items.append(item)

        def sample(self, count):
            states, wanted = zip(*random.sample(self.items, count))
            return torch.tensor(states), torch.tensor(wanted)

        def __len__(self):
            return len(self.items)


    def learn(model, memory, optimizer, count=8):
        if count > len(memory):
            return None
        states, wanted = memory.sample(count)
        loss = (model(states).max(dim=1).values - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()


    def train(steps=20):
        model, memory = Value(), Memory()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            state = torch.rand(4)
            action = model(state).argmax().item()
            memory.push((state.tolist(), float(action)))
            learn(model, memory, optimizer)


    if __name__ == "__main__":
        train()
    ```

Symptoms: RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn; None of the inputs
have requires_grad=True. Gradients will be None; all parameters are frozen; trainable params: 0; LoRA does not train
with gradient checkpointing; enable_input_require_grads; loss is constant; ValueError: optimizer got an empty
parameter list
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import Model, ModelGraph
from gradlint.rule import GraphRule
from gradlint.training import EventKind


class NothingTrainable(GraphRule):
    code = "GL117"
    severity = Severity.ERROR
    message = "`{model}` is trained, but {why}"
    advice = "{cure}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        model = graph.model
        if not (model.trained and any(p.optimized for p in model.parameters)):
            return
        if not model.trainable:
            frozen = f"every one of its {len(model.parameters)} parameter tensors is frozen"
            yield self._said(graph, _frozen_at(model), frozen, UNFREEZE)
        elif _without_parameters(graph):
            yield self._said(graph, _lost_at(graph), "nothing that it returns depends on its parameters", USE_LAYERS)

    def _said(self, graph: ModelGraph, at: Frame | None, why: str, cure: str) -> Finding:
        name = graph.model.name
        return self.found(at, path=graph.model.path, model=name, why=why, cure=cure, extra={"model": name})


UNFREEZE = "leave trainable what is to learn: model.head.requires_grad_(True)"
USE_LAYERS = "use the result of the layers in what forward returns"


def _without_parameters(graph: ModelGraph) -> bool:
    """Whether the loss was computed, and no parameter has any part in it, nor in what the model returns."""
    touched = {p.node for p in graph.model.trainable if p.node is not None}
    known = graph.model.closed and bool(graph.model.targets)
    return known and not touched & (graph.useful | graph.reaching(graph.model.outputs))


def _lost_at(graph: ModelGraph) -> Frame | None:
    """The place that built what forward never uses; of parameters that it does use, the backward call."""
    unread = [p.made for p in graph.model.trainable if p.node is None]
    if len(unread) == len(graph.model.trainable) and unread[0]:
        return unread[0]
    passes = graph.training.of(EventKind.BACKWARD) if graph.training else ()
    return passes[0].frame if passes else None


def _frozen_at(model: Model) -> Frame | None:
    """The place that froze the last parameter."""
    return next((p.frozen for p in reversed(model.parameters) if p.frozen), None)
