"""A root is taken of what can be exactly 0.

The derivative of a root at 0 is infinite. The distance of a point to itself, a loss that is met exactly and a row of
zeros are 0, and infinity times 0 is not a number. torch's own `norm`, `std` and `cdist` define the gradient there as
0.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Points(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 32)
            self.second = nn.Linear(32, 8)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Points()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, far = torch.randn(6, 3), torch.rand(6, 6)
            optimizer.zero_grad()
            z = model(x)
            apart = (z.unsqueeze(0) - z.unsqueeze(1)).pow(2).sum(dim=-1)
            loss = F.mse_loss(torch.sqrt(apart), far)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    24:27 warning: the argument of this root can be exactly 0, where its gradient is infinite: the weights turn into nan
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Prices(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Prices()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16, 1)
            optimizer.zero_grad()
            loss = torch.sqrt(F.mse_loss(model(x), y))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 warning: the argument of this root can be exactly 0, where its gradient is infinite: the weights turn into nan
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Lengths(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.second(torch.relu(self.first(x)))
            return (z * z).sum(dim=1) ** 0.5


    def train(steps=100):
        model = Lengths()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.rand(16)
            optimizer.zero_grad()
            loss = F.l1_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:16 warning: the argument of this root can be exactly 0, where its gradient is infinite: the weights turn into nan
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Unit(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.first(x)
            return self.second(z * torch.rsqrt(z.square().mean(dim=1, keepdim=True)))


    def train(steps=100):
        model = Unit()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:32 warning: the argument of this root can be exactly 0, where its gradient is infinite: the weights turn into nan
    ```

Good: an eps inside.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Guarded(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 32)
            self.second = nn.Linear(32, 8)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Guarded()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, far = torch.randn(6, 3), torch.rand(6, 6)
            optimizer.zero_grad()
            z = model(x)
            apart = (z.unsqueeze(0) - z.unsqueeze(1)).pow(2).sum(dim=-1)
            loss = F.mse_loss(torch.sqrt(apart + 1e-12), far)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Torch's norm and std.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Norms(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Norms()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.rand(16)
            optimizer.zero_grad()
            z = model(x)
            loss = F.l1_loss(z.norm(dim=1), y) + torch.relu(1 - z.std(dim=0)).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Behind a ReLU, whose backward pass masks it.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return torch.sqrt(torch.relu(self.second(torch.relu(self.first(x)))))


    def train(steps=100):
        model = Masked()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.rand(16, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Positive by construction.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Widths(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return torch.sqrt(F.softplus(self.second(torch.relu(self.first(x)))))


    def train(steps=100):
        model = Widths()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.rand(16, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A root of constants.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 9)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Noise()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, noise, kept = torch.randn(16, 9), torch.randn(16, 9), torch.rand(16, 1)
            optimizer.zero_grad()
            mixed = torch.sqrt(kept) * x + torch.sqrt(1 - kept) * noise
            loss = F.mse_loss(model(mixed), noise)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An eps that is kept as a tensor.

    ```python
    import torch
    from torch import nn


    class ResponseNorm(nn.Module):
        def __init__(self, width=8, eps=1e-6):
            super().__init__()
            self.layer = nn.Conv2d(3, width, 3)
            self.scale = nn.Parameter(torch.ones(1, width, 1, 1))
            self.register_buffer("eps", torch.tensor([eps]))

        def forward(self, x):
            x = self.layer(x)
            power = x.pow(2).mean(dim=(2, 3), keepdim=True)
            return self.scale * x * torch.rsqrt(power + self.eps.abs())
    ```

Symptoms: gradient of sqrt is nan; nan in backward of sqrt at 0; SqrtBackward0 returned nan values; PowBackward0
returned nan values in its 0th output; RMSE loss is nan; distance to itself gives nan gradient
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.hazards import roots
from gradlint.analysis.operands import once
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame


class UnsafeSqrt(GraphRule):
    code = "GL802"
    severity = Severity.WARNING
    message = "the argument of this root can be exactly 0, where its gradient is infinite: the weights turn into nan"
    advice = "add an eps inside of the root"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for call in once(hazard.call for hazard in roots(graph)):
            yield self.found(user_frame(call), path=graph.model.path, extra={"model": graph.model.name})
