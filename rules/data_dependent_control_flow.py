"""Python decides by the value of a tensor inside of forward.

`if`, `while` and `assert` on a tensor need its value at once. On a GPU the program waits for it, `torch.compile`
breaks the graph there, and `torch.export` refuses the model. Shapes, dtypes, None and settings are known without.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Exits(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.one = nn.Linear(16, 4)
            self.two = nn.Linear(16, 4)

        def forward(self, x):
            x = torch.relu(self.first(x))
            if torch.softmax(self.one(x), dim=1).amax() > 0.9:
                return self.one(x)
            return self.one(x) + self.two(x)


    def train(steps=100):
        model = Exits()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 4, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    15:12 note: python decides here by a tensor's value, so the graph breaks: the compiler cannot follow both ways
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Checks(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = self.first(x)
            assert torch.isfinite(x).all()
            return self.second(torch.relu(x))


    def train(steps=100):
        model = Checks()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 4, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:9 note: python decides here by a tensor's value, so the graph breaks: the compiler cannot follow both ways
    ```

Good: by shapes, None and settings.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)
            self.residual = True

        def forward(self, x, mask=None):
            if x.ndim == 1:
                x = x.unsqueeze(0)
            if mask is not None:
                x = x * mask
            if self.training and self.residual and x.shape[0] > 1:
                x = F.dropout(x, 0.1)
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Plain()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 4, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

By torch.where.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.one = nn.Linear(16, 4)
            self.two = nn.Linear(16, 4)

        def forward(self, x):
            x = torch.relu(self.first(x))
            sure = torch.softmax(self.one(x), dim=1).amax(dim=1, keepdim=True) > 0.9
            return torch.where(sure, self.one(x), self.one(x) + self.two(x))


    def train(steps=100):
        model = Chosen()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 4, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Outside of forward.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Stops(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Stops()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 4, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            if not torch.isfinite(loss):
                continue
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: Dynamo: data-dependent branching; Unsupported: Data-dependent branching; torch._dynamo.exc.UserError: Dynamic
control flow is not supported at the moment; GuardOnDataDependentSymNode; Converting a tensor to a Python boolean might
cause the trace to be incorrect
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.compiler import breaks, chain, severity, unsaid
from gradlint.analysis.operands import once
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame

TRUTH = "__bool__"
CHECKED = "checked"
"""Literal of an assertion that the compiler keeps in its graph: torch checks it on the device (torch 2.13)."""


class DataDependentControlFlow(GraphRule):
    code = "GL202"
    severity = Severity.NOTE
    message = "python decides here by a tensor's value, so the graph breaks: the compiler cannot follow both ways"
    advice = "use torch.where or torch.cond, or decide by shapes and settings"

    compiled: bool = False
    """Whether models are meant to be compiled, also where the program does not show it."""

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        extra, kind = {"model": graph.model.name}, severity(graph, self.compiled)
        for place, found in breaks(graph, data_dependent=True):
            yield self.found(place, path=graph.model.path, severity=kind, related=chain(found), extra=extra)
        for test in once(unsaid(graph, (node for node in graph.nodes if node.op == TRUTH))):
            weight = Severity.NOTE if CHECKED in test.literals else kind
            yield self.found(user_frame(test), path=graph.model.path, severity=weight, extra=extra)
