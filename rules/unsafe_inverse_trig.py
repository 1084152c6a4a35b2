"""An inverse trigonometric function is taken at the edge of its domain.

The derivatives of acos and asin at 1 and -1 and of atanh are infinite there, and beyond the value itself is not a
number. Rounding takes the cosine of two equal vectors over 1. A clamp to exactly -1 and 1 does not help: its gradient
at the ends is 1.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Turn(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return F.normalize(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Turn()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, way = torch.randn(8, 8), F.normalize(torch.randn(8, 3), dim=1)
            optimizer.zero_grad()
            cosine = (model(x) * way).sum(dim=1)
            loss = torch.acos(cosine).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    23:16 warning: the argument of `acos` can get to 1 or -1, where its gradient is infinite
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Sphere(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Sphere()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, way = torch.randn(8, 8), torch.randn(8, 3)
            optimizer.zero_grad()
            cosine = F.cosine_similarity(model(x), way, dim=1)
            loss = cosine.clamp(-1.0, 1.0).arccos().mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    23:16 warning: the argument of `acos` can get to 1 or -1, where its gradient is infinite
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Squash(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return torch.tanh(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Squash()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 8), torch.randn(8, 3)
            optimizer.zero_grad()
            loss = F.mse_loss(torch.atanh(model(x)), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:27 warning: the argument of `atanh` can get to 1 or -1, where its gradient is infinite
    ```

Good: clamped inside.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Inside()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, way = torch.randn(8, 8), torch.randn(8, 3)
            optimizer.zero_grad()
            cosine = F.cosine_similarity(model(x), way, dim=1)
            loss = torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An argument that is scaled away from the edge.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return torch.asin(0.99 * torch.tanh(self.second(torch.relu(self.first(x)))))


    def train(steps=100):
        model = Scaled()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 8), torch.rand(8, 3)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An angle that is measured only.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Measured(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Measured()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, way = torch.randn(8, 8), torch.randn(8, 3)
            optimizer.zero_grad()
            cosine = F.cosine_similarity(model(x), way, dim=1)
            loss = 1 - cosine.mean()
            with torch.no_grad():
                print(torch.acos(cosine).mean().item())
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: acos gives nan; AcosBackward0 returned nan values in its 0th output; nan in geodesic loss; arccos of cosine
similarity is nan; atanh of tanh is inf
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.hazards import inverses
from gradlint.analysis.operands import once
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame


class UnsafeInverseTrig(GraphRule):
    code = "GL806"
    severity = Severity.WARNING
    message = "the argument of `{name}` can get to 1 or -1, where its gradient is infinite"
    advice = "clamp the argument a little inside of -1 and 1, or use atan2"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for call in once(hazard.call for hazard in inverses(graph)):
            yield self.found(user_frame(call), path=graph.model.path, extra={"model": graph.model.name}, name=call.op)
