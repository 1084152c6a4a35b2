"""A `where` hides the value of an unsafe op, and not its gradient.

`where` computes both branches for every entry. In the backward pass the branch that was not taken gets a gradient of
0, and 0 times the infinite derivative behind it is not a number. The argument itself has to be made safe, with a
second `where` or a clamp.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Roots(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.second(torch.relu(self.first(x)))
            return torch.where(z > 0, torch.sqrt(z), torch.zeros_like(z))


    def train(steps=100):
        model = Roots()
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

    ```text
    14:16 warning: `where` hides the value of `sqrt` but not its gradient: 0 times infinity is not a number
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Logs(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.second(torch.relu(self.first(x)))
            return torch.log(z).masked_fill(z <= 0, -10.0)


    def train(steps=100):
        model = Logs()
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

    ```text
    14:16 warning: `masked_fill` hides the value of `log` but not its gradient: 0 times infinity is not a number
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Ratios(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            above, below = self.second(torch.relu(self.first(x))).unbind(dim=1)
            return torch.where(below != 0, above / below, torch.zeros_like(above))


    def train(steps=100):
        model = Ratios()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:16 warning: `where` hides the value of `div` but not its gradient: 0 times infinity is not a number
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Soft(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.first(x)
            return self.second(torch.where(z > 20, z, torch.log1p(torch.exp(z))))


    def train(steps=100):
        model = Soft()
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
    14:28 warning: `where` hides the value of `exp` but not its gradient: 0 times infinity is not a number
    ```

Good: the double where.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.second(torch.relu(self.first(x)))
            safe = torch.where(z > 0, z, torch.ones_like(z))
            return torch.where(z > 0, torch.sqrt(safe), torch.zeros_like(z))


    def train(steps=100):
        model = Doubled()
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

A branch whose argument is kept in the domain.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.second(torch.relu(self.first(x)))
            return torch.where(z > 0, torch.log(z.clamp(min=1e-6)), -z)


    def train(steps=100):
        model = Kept()
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

Branches without an edge.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Leaky(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.first(x)
            return self.second(torch.where(z > 0, z, 0.1 * z))


    def train(steps=100):
        model = Leaky()
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

A mask of attention scores.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.key = nn.Linear(8, 8)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            score = self.key(x) @ x.transpose(1, 2)
            score = score.masked_fill(score < -3, -1e9)
            return self.head((torch.softmax(score, dim=-1) @ x).mean(dim=1))


    def train(steps=100):
        model = Heads()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(4, 5, 8), torch.randint(0, 3, (4,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A cutoff that is divided by, and compared with.

    ```python
    import math

    import torch
    from torch import nn


    class Radial(nn.Module):
        def __init__(self, kernels=4):
            super().__init__()
            self.cutoff = nn.Parameter(torch.linspace(1.0, 8.0, kernels).reshape(-1, 1, 1))
            self.layer = nn.Linear(1, 1)

        def forward(self, distance):
            distance = self.layer(distance)
            wave = 0.5 * (torch.cos(math.pi * distance / self.cutoff) + 1)
            return torch.where(distance <= self.cutoff, wave, torch.zeros_like(wave))
    ```

Symptoms: torch.where gives nan gradient; nan gradient although the output is finite; where does not stop nan in
backward; WhereBackward; masked log has nan gradient; double where trick
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.hazards import hidden_by_guard
from gradlint.analysis.operands import once
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, related_at, user_frame


class WhereHidesNan(GraphRule):
    code = "GL804"
    severity = Severity.WARNING
    message = "`{guard}` hides the value of `{unsafe}` but not its gradient: 0 times infinity is not a number"
    advice = "guard the argument too: where(ok, x, 1) inside, or clamp it"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        guards = {guard.id: unsafe for unsafe, guard in hidden_by_guard(graph).items()}
        for guard in once(graph.node(one) for one in guards):
            unsafe = graph.node(guards[guard.id])
            yield self.found(
                user_frame(guard),
                path=graph.model.path,
                related=related_at(user_frame(unsafe), f"`{unsafe.op}` is computed for every entry"),
                extra={"model": graph.model.name},
                guard=guard.op,
                unsafe=unsafe.op,
            )
