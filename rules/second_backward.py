"""The graph of an earlier step is reached again, because one of its values was kept.

A hidden state, a running average or a memory that is carried from batch to batch without `detach()` links each step
to all steps before it. backward has freed their buffers and raises. `retain_graph=True` silences the exception: the
steps grow slower one by one, memory fills, and weights that were changed since are used with stale values.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(4, 16)
            self.head = nn.Linear(16, 4)
            self.state = torch.zeros(8, 16)

        def forward(self, x):
            self.state = self.cell(x, self.state)
            return self.head(self.state)


    def train(steps=100):
        model = Forecaster()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), x)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:22 error: this value comes from an earlier step's graph, which backward then enters a second time
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Language(nn.Module):
        def __init__(self, words=40):
            super().__init__()
            self.embed = nn.Embedding(words, 8)
            self.cell = nn.LSTM(8, 16, batch_first=True)
            self.head = nn.Linear(16, words)

        def forward(self, ids, state):
            hidden, state = self.cell(self.embed(ids), state)
            return self.head(hidden), state


    def train(steps=100):
        model = Language()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
        state = (torch.zeros(1, 4, 16), torch.zeros(1, 4, 16))
        for _ in range(steps):
            ids = torch.randint(0, 40, (4, 10))
            optimizer.zero_grad()
            scores, state = model(ids[:, :-1], state)
            loss = F.cross_entropy(scores.flatten(0, 1), ids[:, 1:].flatten())
            loss.backward(retain_graph=True)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    25:25 error: this value comes from an earlier step's graph, which backward then enters a second time
    ```

Good: the state is detached between the steps.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(4, 16)
            self.head = nn.Linear(16, 4)
            self.state = torch.zeros(8, 16)

        def forward(self, x):
            state = self.cell(x, self.state)
            self.state = state.detach()
            return self.head(state)


    def train(steps=100):
        model = Detached()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), x)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Higher-order gradients: the inner gradient is part of the graph.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Sine(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(0.1 * torch.randn(1, 8))
            self.out = nn.Parameter(0.1 * torch.randn(8, 1))

        def forward(self, x, weight=None):
            return torch.tanh(x @ (self.weight if weight is None else weight)) @ self.out


    def train(steps=100, rate=0.1):
        model = Sine()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            phase = torch.rand(1)
            x, query = torch.rand(10, 1), torch.rand(10, 1)
            inner = F.mse_loss(model(x), torch.sin(x + phase))
            (gradient,) = torch.autograd.grad(inner, model.weight, create_graph=True)
            optimizer.zero_grad()
            outer = F.mse_loss(model(query, model.weight - rate * gradient), torch.sin(query + phase))
            outer.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Several losses on one graph.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Linear(10, 16)
            self.price = nn.Linear(16, 1)
            self.kind = nn.Linear(16, 3)

        def forward(self, x):
            x = torch.relu(self.trunk(x))
            return self.price(x).squeeze(1), self.kind(x)


    def train(steps=100):
        model = TwoHeads()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, cost, label = torch.randn(16, 10), torch.rand(16), torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            price, kind = model(x)
            F.mse_loss(price, cost).backward(retain_graph=True)
            F.cross_entropy(kind, label).backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: RuntimeError: Trying to backward through the graph a second time (or directly access saved tensors after
they have already been freed); Specify retain_graph=True if you need to backward through the graph a second time;
training gets slower every step; memory grows with every iteration; one of the variables needed for gradient
computation has been modified by an inplace operation after retain_graph=True
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.steps import carried_over, place_of
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, related_at
from gradlint.training import OVERWRITTEN, RETAINED, SECOND_TIME, Event, EventKind


class SecondBackward(GraphRule):
    code = "GL116"
    severity = Severity.ERROR
    message = "this value comes from an earlier step's graph, which backward then enters a second time"
    advice = "detach what is carried from step to step: h = h.detach()"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for event in graph.training.of(EventKind.BACKWARD) if graph.training else ():
            old = carried_over(graph, event)
            if old is not None and (_failed(event) or _kept(graph, event)):
                yield self.found(
                    place_of(graph, event, old),
                    path=graph.model.path,
                    related=related_at(event.frame, "the backward call"),
                    extra={"model": graph.model.name},
                )
                return


def _failed(event: Event) -> bool:
    return SECOND_TIME in event.error or OVERWRITTEN in event.error


def _kept(graph: ModelGraph, event: Event) -> bool:
    """Whether retain_graph hides the exception."""
    losses = graph.training.of(EventKind.LOSS) if graph.training else ()
    return any(loss.error == RETAINED and loss.frame == event.frame for loss in losses)
