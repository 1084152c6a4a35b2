"""A logarithm is infinite now and then, because its argument can be exactly 0.

In float32 softmax and sigmoid underflow to 0 where the scores are 104 apart, and ReLU is 0 half of the time. The
logarithm is then minus infinity, and its gradient, 1 / 0 times 0, is not a number: one such entry destroys all
weights. The fused forms compute the same without the intermediate result.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Policy()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, act, gain = torch.randn(8, 10), torch.randint(0, 6, (8, 1)), torch.randn(8, 1)
            optimizer.zero_grad()
            log_chance = torch.log(F.softmax(model(x), dim=-1))
            loss = -(log_chance.gather(1, act) * gain).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:22 warning: the logarithm is taken of softmax, which can be exactly 0: its gradient is not a number
    ```

    ```python
    import torch
    from torch import nn


    class Likely(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Likely()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            better, worse = torch.randn(8, 10), torch.randn(8, 10)
            optimizer.zero_grad()
            loss = -torch.sigmoid(model(better) - model(worse)).log().mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    21:17 warning: the logarithm is taken of sigmoid, which can be exactly 0: its gradient is not a number
    ```

    ```python
    import torch
    from torch import nn


    class Entropy(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return torch.softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Entropy()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 10)
            optimizer.zero_grad()
            chance = model(x)
            loss = -(chance * torch.log(chance)).sum(dim=1).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:27 warning: the logarithm is taken of softmax, which can be exactly 0: its gradient is not a number
    ```

    ```python
    import torch
    from torch import nn


    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 1)

        def forward(self, x):
            return torch.sigmoid(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Judge()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            real, fake = torch.randn(8, 10), torch.rand(8, 10)
            optimizer.zero_grad()
            loss = -(torch.log(model(real) + 1e-6) + torch.log(1 - model(fake))).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    21:50 warning: the logarithm is taken of a value, which can be exactly 0: its gradient is not a number
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Energy(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 4)

        def forward(self, x):
            return torch.relu(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Energy()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 10), torch.rand(8, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(torch.log10(model(x)), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:27 warning: the logarithm is taken of relu, which can be exactly 0: its gradient is not a number
    ```

Fixed:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Policy()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, act, gain = torch.randn(8, 10), torch.randint(0, 6, (8, 1)), torch.randn(8, 1)
            optimizer.zero_grad()
            log_chance = F.log_softmax(model(x), dim=-1)
            loss = -(log_chance.gather(1, act) * gain).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```python
    import torch
    from torch import nn


    class Likely(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Likely()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            better, worse = torch.randn(8, 10), torch.randn(8, 10)
            optimizer.zero_grad()
            loss = -nn.functional.logsigmoid(model(better) - model(worse)).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Good: an eps inside.

    ```python
    import torch
    from torch import nn


    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return torch.softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Careful()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 10)
            optimizer.zero_grad()
            chance = model(x)
            loss = -(chance * torch.log(chance + 1e-8)).sum(dim=1).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

The fused form.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return F.log_softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Fused()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 10)
            optimizer.zero_grad()
            log_chance = model(x)
            loss = (log_chance.exp() * log_chance).sum(dim=1).mean()
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


    class Positive(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return F.softplus(self.second(torch.relu(self.first(x)))) + 1e-4


    def train(steps=100):
        model = Positive()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 10), torch.rand(8, 6)
            optimizer.zero_grad()
            rate = model(x)
            loss = (rate - y * torch.log(rate)).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Clamped above 0.

    ```python
    import torch
    from torch import nn


    class Clamped(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 1)

        def forward(self, x):
            return torch.sigmoid(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Clamped()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 10), torch.rand(8, 1).round()
            optimizer.zero_grad()
            chance = model(x).clamp(1e-6, 1 - 1e-6)
            loss = -(y * chance.log() + (1 - y) * (1 - chance).log()).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

No gradient passes.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Quiet(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Quiet()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 10), torch.randint(0, 6, (8,))
            optimizer.zero_grad()
            scores = model(x)
            with torch.no_grad():
                surprise = -torch.log(scores.softmax(dim=1)).mean()
            loss = F.cross_entropy(scores, y)
            print(surprise.item())
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Data are no result of the model.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return self.second(torch.relu(self.first(torch.log(x))))


    def train(steps=100):
        model = Counts()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(8, 10), torch.randint(0, 6, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: loss is nan; loss becomes inf; log(0); log of softmax gives -inf; entropy is nan; nan after some epochs; the
generator loss is nan
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradlint.analysis.hazards import logarithms
from gradlint.analysis.operands import once, origin
from gradlint.code import Code
from gradlint.finding import Finding, Fix, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame

FUSED = {"softmax": "log_softmax", "sigmoid": "logsigmoid"}
"""What the logarithm of an activation is as one function."""

LOGSIGMOID = "torch.nn.functional.logsigmoid"


class UnsafeLog(GraphRule):
    code = "GL801"
    severity = Severity.WARNING
    message = "the logarithm is taken of {what}, which can be exactly 0: its gradient is not a number"
    advice = "{remedy}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        found = {hazard.call.id: hazard for hazard in logarithms(graph)}
        for call in once(hazard.call for hazard in found.values()):
            made = origin(graph, found[call.id].argument)
            fused = FUSED.get(made.op)
            yield self.found(
                user_frame(call),
                path=graph.model.path,
                extra={"model": graph.model.name},
                what=made.op if made.op not in ("sub", "mul", "add", "clamp", "div") else "a value",
                remedy=f"use {fused}, or add an eps" if fused else "add an eps, or clamp it above 0",
            )

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """`log(softmax(x))` as `log_softmax(x)`, `log(sigmoid(x))` as `logsigmoid(x)`."""
        match code.call:
            case ast.Call(func=ast.Attribute(value=ast.Call() as inner), args=[]):
                return _fused(code, inner)
            case ast.Call(args=[ast.Call() as inner]):
                return _fused(code, inner)
        return None


def _fused(code: Code, inner: ast.Call) -> Fix | None:
    resolved = code.resolved(inner.func)
    name = resolved.rpartition(".")[2]
    if resolved and name == "softmax":
        fused = resolved.replace("softmax", "log_softmax")
        return code.safe(code.rename(inner.func, fused), code.unwrap(code.call, inner))
    if resolved and name == "sigmoid":
        return code.safe(code.rename(inner.func, LOGSIGMOID), code.unwrap(code.call, inner))
    match inner.func:
        case ast.Attribute(attr="softmax") if not resolved:
            return code.safe(code.rename(inner.func, "log_softmax"), code.unwrap(code.call, inner))
    return None
