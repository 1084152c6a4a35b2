"""Binary cross-entropy is taken of a prediction that is no probability.

`BCELoss` takes the logarithm of the prediction and of one minus the prediction. Outside of the range from 0 to 1 it
raises on the CPU, stops the process with a device-side assert on a GPU, and is not a number without the check.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Churn(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x))).squeeze(1)


    def train(steps=100):
        model = Churn()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(32, 10), torch.rand(32).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 error: binary cross-entropy is taken of what can leave the range from 0 to 1: the loss raises or is nan
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.BCELoss()


    class Mask(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1), nn.ReLU())

        def forward(self, x):
            return self.layers(x)


    def train(steps=100):
        model = Mask()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, mask = torch.rand(4, 3, 16, 16), torch.rand(4, 1, 16, 16).round()
            optimizer.zero_grad()
            loss = criterion(model(x), mask)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 error: binary cross-entropy is taken of what can leave the range from 0 to 1: the loss raises above 1
    ```

    ```python
    import torch
    from torch import nn


    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.user = nn.Embedding(40, 8)
            self.item = nn.Embedding(60, 8)

        def forward(self, user, item):
            return (self.user(user) * self.item(item)).sum(dim=1)


    def train(steps=100):
        model = Pairs()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            user, item = torch.randint(0, 40, (32,)), torch.randint(0, 60, (32,))
            liked = torch.rand(32).round()
            optimizer.zero_grad()
            loss = nn.BCELoss()(model(user, item), liked)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 error: binary cross-entropy is taken of what can leave the range from 0 to 1: the loss raises or is nan
    ```

Good: a sigmoid ends the model.

    ```python
    import torch
    from torch import nn


    class Rain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())

        def forward(self, x):
            return self.layers(x).squeeze(1)


    def train(steps=100):
        model = Rain()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(32, 10), torch.rand(32).round()
            optimizer.zero_grad()
            loss = nn.BCELoss()(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Tanh, moved into the range of a probability.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Edges(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return (torch.tanh(self.second(torch.relu(self.first(x)))) + 1) / 2


    def train(steps=100):
        model = Edges()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(32, 10), torch.rand(32, 4).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

The probability of one of two classes.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            return F.softmax(self.second(torch.relu(self.first(x))), dim=1)[:, 1]


    def train(steps=100):
        model = Either()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(32, 10), torch.rand(32).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Clamped.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Overlap(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(12, 8)

        def forward(self, x):
            z = self.encode(x)
            return (z @ z.t()).clamp(0.0, 1.0)


    def train(steps=100):
        model = Overlap()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, edge = torch.rand(10, 12), torch.rand(10, 10).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy(model(x), edge)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: RuntimeError: all elements of input should be between 0 and 1; Assertion `input_val >= zero && input_val <=
one` failed; CUDA error: device-side assert triggered in BCELoss; BCELoss is nan
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.learning import takes_part
from gradlint.analysis.losses import is_exchanged, losses
from gradlint.analysis.values_of import domain
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame

TOLERANCE = 1e-6
"""What a probability may exceed its bounds by, as by a smoothing constant."""


class BceWithoutSigmoid(GraphRule):
    code = "GL604"
    severity = Severity.ERROR
    message = "binary cross-entropy is taken of what can leave the range from 0 to 1: {why}"
    advice = "use binary_cross_entropy_with_logits, or put sigmoid before the loss"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, "binary_cross_entropy"):
            values = domain(graph, loss.prediction)
            if not values.known or values.inside(-TOLERANCE, 1 + TOLERANCE) or is_exchanged(graph, loss):
                continue
            if takes_part(graph, loss.prediction):
                yield self.found(
                    user_frame(loss.call),
                    path=graph.model.path,
                    extra={"model": graph.model.name},
                    why="the loss raises or is nan" if values.low < 0 else "the loss raises above 1",
                )
