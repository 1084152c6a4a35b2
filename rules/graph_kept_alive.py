"""A sum over the steps keeps the graph of every step in memory.

A loss is the end of a graph. `total += loss` chains the graphs of all steps together, so none of them is freed:
memory grows with every batch until it is full, hours later and somewhere else. A number is all that a log needs.

Bad:

    ```python
    import torch
    from torch import nn


    class Gesture(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(16, 40)
            self.last = nn.Linear(40, 6)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)))


    def train(epochs=20):
        model, criterion = Gesture(), nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for epoch in range(epochs):
            epoch_loss = 0
            for _ in range(50):
                x, y = torch.randn(8, 16), torch.randint(0, 6, (8,))
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                epoch_loss += loss
            print(f"epoch {epoch} mean loss {epoch_loss / 50:.4f}")


    if __name__ == "__main__":
        train()
    ```

    ```text
    26:13 warning: this sum keeps the graph of every step alive, so memory grows with each of them
    ```

Fixed:

    ```python
    import torch
    from torch import nn


    class Gesture(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(16, 40)
            self.last = nn.Linear(40, 6)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)))


    def train(epochs=20):
        model, criterion = Gesture(), nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for epoch in range(epochs):
            epoch_loss = 0
            for _ in range(50):
                x, y = torch.randn(8, 16), torch.randint(0, 6, (8,))
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item()
            print(f"epoch {epoch} mean loss {epoch_loss / 50:.4f}")


    if __name__ == "__main__":
        train()
    ```

Good: the number is accumulated.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(epochs=20):
        model = nn.Linear(16, 6)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(epochs):
            total, seen = 0.0, torch.zeros(())
            for _ in range(50):
                x, y = torch.randn(8, 16), torch.randint(0, 6, (8,))
                loss = F.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
                seen += loss.detach()
            print(total, seen)


    if __name__ == "__main__":
        train()
    ```

The sum is what is backpropagated.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(rounds=20):
        model = nn.Linear(16, 6)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(rounds):
            total = 0
            for _ in range(4):
                x, y = torch.randn(8, 16), torch.randint(0, 6, (8,))
                total += F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            (total / 4).backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A list that a forward pass fills for itself, also where the graph that it reads hands on what was put into it.

    ```python
    import torch
    from torch import nn


    class Hops(nn.Module):
        def __init__(self, width=8, hops=3):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(hops)])

        def forward(self, graph, x):
            found = []
            for layer in self.layers:
                found.append(layer(x))
                graph.ndata["h"] = x
                graph.update_all("copy", "sum")
                x = graph.ndata.pop("h")
            return torch.cat(found, dim=1)


    def train(graph, x, y, epochs=20):
        net, criterion = Hops(), nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(epochs):
            optimizer.zero_grad()
            loss = criterion(net(graph, x), y)
            loss.backward()
            optimizer.step()
        net.eval()
        return (net(graph, x).argmax(dim=1) == y).float().mean().item()
    ```

A sum of numbers, by an object of its own.

    ```python
    import torch
    from torch import nn


    class Accumulator:
        def __init__(self, n):
            self.values = [0.0] * n

        def add(self, *more):
            self.values = [a + float(b) for a, b in zip(self.values, more)]


    def train(net, loader, optimizer):
        criterion, seen = nn.CrossEntropyLoss(), Accumulator(2)
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                seen.add(loss * len(y), len(y))
        return seen.values
    ```

Symptoms: CUDA out of memory after some epochs; memory grows with every iteration; RuntimeError: CUDA out of memory
although the batch fits; training gets slower and slower; memory leak in training loop; running_loss += loss
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradlint.code import Code
from gradlint.finding import Evidence, Finding, Fix, Severity
from gradlint.rule import TrainingRule
from gradlint.training import EventKind, TrainingStep

COLLECTED = "older"
"""Fact of an event about a list: the value that it got in an earlier pass."""

SUM = ("sum", "add the number instead: total += loss.item()")
LIST = ("list", "append the number instead: losses.append(loss.item())")


class GraphKeptAlive(TrainingRule):
    code = "GL710"
    severity = Severity.WARNING
    message = "this {kept} keeps the graph of every step alive, so memory grows with each of them"
    advice = "{instead}"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        for event in step.of(EventKind.KEPT):
            kept, instead = LIST if COLLECTED in event.facts else SUM
            yield self.found(event.frame, path="", evidence=Evidence.STATIC_GRAPH, kept=kept, instead=instead)

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """Adds, or appends, the number of the loss."""
        match code.statement:
            case ast.AugAssign(op=ast.Add(), value=ast.Name() | ast.Attribute() as value):
                return code.safe(code.suffix(value, ".item()"))
            case ast.Assign(value=ast.BinOp(op=ast.Add(), right=ast.Name() | ast.Attribute() as value)):
                return code.safe(code.suffix(value, ".item()"))
        return None
