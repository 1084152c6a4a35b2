"""Categorical cross-entropy is taken over one output unit.

Softmax over one score is 1 whatever the score, so the loss is constant (0 for class 0) and every gradient is 0. Two
classes take either two units, or one unit and binary cross-entropy.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Spam(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(50, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Spam()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 50), torch.rand(16, 1).round()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 error: categorical cross-entropy over one output unit compares it with nothing: the loss is constant
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.CrossEntropyLoss()


    class Alarm(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 1))

        def forward(self, x):
            return self.layers(x)


    def train(steps=100):
        model = Alarm()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.zeros(16, dtype=torch.long)
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 error: categorical cross-entropy over one output unit compares it with nothing: the loss is constant
    ```

Good: one unit and binary cross-entropy.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Ham(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(50, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Ham()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 50), torch.rand(16, 1).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

One unit for each class.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Kinds(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(50, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Kinds()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 50), torch.randint(0, 2, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

One score for each candidate, compared over the candidates.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Ranker(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x))).squeeze(-1)


    def train(steps=100):
        model = Ranker()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, best = torch.randn(16, 7, 9), torch.randint(0, 7, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), best)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Also: GL108 says that the gradient is zero, where the shapes alone prove it

Symptoms: loss is 0 from the start; loss is constant at 0.0; cross entropy is always zero; gradients are all zero with
CrossEntropyLoss and one output; binary classification with CrossEntropyLoss does not learn
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.losses import CATEGORICAL, compares_nothing, losses
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame


class SingleLogitCrossEntropy(GraphRule):
    code = "GL606"
    severity = Severity.ERROR
    message = "categorical cross-entropy over one output unit compares it with nothing: the loss is constant"
    advice = "use binary_cross_entropy_with_logits, or give the model one unit for each class"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, *CATEGORICAL):
            if compares_nothing(graph, loss):
                yield self.found(user_frame(loss.call), path=graph.model.path, extra={"model": graph.model.name})
