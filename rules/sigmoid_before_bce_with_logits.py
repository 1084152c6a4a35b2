"""Sigmoid goes into a binary cross-entropy that takes sigmoid by itself.

`BCEWithLogitsLoss` expects raw scores. A sigmoid before it limits them to the range from 0 to 1, so the probabilities
that the loss sees lie between 0.5 and 0.73: no negative example can ever be predicted, and the loss stops near 0.69.
The fix takes the activation out; it is unsafe, because code that compares the output with 0.5 must then compare it
with 0.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tags(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(24, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return torch.sigmoid(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Tags()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 24), torch.rand(16, 6).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 error: sigmoid goes into a loss with logits, which takes it again: probabilities below 0.5 cannot be learnt
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.BCEWithLogitsLoss()


    class Defects(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(8, 1, 1),
                nn.Sigmoid(),
            )

        def forward(self, x):
            return self.layers(x)


    def train(steps=100):
        model = Defects()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, mask = torch.rand(4, 1, 16, 16), torch.rand(4, 1, 16, 16).round()
            optimizer.zero_grad()
            loss = criterion(model(x), mask)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    27:16 error: sigmoid goes into a loss with logits, which takes it again: probabilities below 0.5 cannot be learnt
    ```

    ```python
    import torch
    from torch import nn


    class Fraud(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 1)
            self.squash = nn.Sigmoid()

        def forward(self, x):
            return self.squash(self.second(torch.relu(self.first(x)))).squeeze(1)


    def train(steps=100):
        model = Fraud()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(32, 10), torch.rand(32).round()
            optimizer.zero_grad()
            loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0))(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 error: sigmoid goes into a loss with logits, which takes it again: probabilities below 0.5 cannot be learnt
    ```

Fixed:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tags(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(24, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Tags()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 24), torch.rand(16, 6).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.BCEWithLogitsLoss()


    class Defects(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(8, 1, 1),
            )

        def forward(self, x):
            return self.layers(x)


    def train(steps=100):
        model = Defects()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, mask = torch.rand(4, 1, 16, 16), torch.rand(4, 1, 16, 16).round()
            optimizer.zero_grad()
            loss = criterion(model(x), mask)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Good: probabilities go into the plain loss.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Clicks(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return torch.sigmoid(self.second(torch.relu(self.first(x)))).squeeze(1)


    def train(steps=100):
        model = Clicks()
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

A gate inside of the model.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Linear(12, 16)
            self.gate = nn.Linear(12, 16)
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            return self.head(torch.sigmoid(self.gate(x)) * torch.tanh(self.value(x)))


    def train(steps=100):
        model = Gated()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.rand(16, 4).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Sigmoid for a focal factor and for the prediction beside the loss.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Focal(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Focal()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.rand(16, 3).round()
            optimizer.zero_grad()
            scores = model(x)
            chance = torch.sigmoid(scores)
            plain = F.binary_cross_entropy_with_logits(scores, y, reduction="none")
            loss = ((y - chance).square() * plain).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: loss stays at 0.69; BCEWithLogitsLoss does not decrease; all predictions are above 0.5; the model predicts
only positives; sigmoid before BCEWithLogitsLoss; double sigmoid
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.learning import takes_part
from gradlint.analysis.losses import activation, is_exchanged, losses, other_place, place
from gradlint.analysis.unwrapping import without
from gradlint.code import Code
from gradlint.finding import Finding, Fix, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule

SIGMOIDS = ("sigmoid", "hardsigmoid")


class SigmoidBeforeBceWithLogits(GraphRule):
    code = "GL602"
    severity = Severity.ERROR
    message = "sigmoid goes into a loss with logits, which takes it again: probabilities below 0.5 cannot be learnt"
    advice = "hand the raw scores to the loss, and keep sigmoid for predictions"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, "binary_cross_entropy_with_logits"):
            made = activation(graph, loss.prediction)
            if made.op in SIGMOIDS and takes_part(graph, made) and not is_exchanged(graph, loss):
                yield self.found(
                    place(graph, made, loss),
                    path=graph.model.path,
                    related=other_place(graph, made, loss),
                    extra={"model": graph.model.name},
                )

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """The scores without sigmoid."""
        return without(code, "sigmoid")
