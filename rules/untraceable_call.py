"""Forward does something beside computing.

Printing, reading and writing files, the clock, and random numbers of Python are no part of a graph. `torch.compile`
breaks the graph there or does it once, while it compiles; an exported model does not do it at all, and a random number
becomes a constant.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Shown(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = self.first(x)
            print("hidden", x.shape)
            return self.second(torch.relu(x))


    def train(steps=100):
        model = Shown()
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
    14:9 note: `print` in forward is no part of the graph: a compiler breaks there, an export drops it
    ```

    ```python
    import random

    import torch
    from torch import nn
    from torch.nn import functional as F


    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(12, 12) for _ in range(4))
            self.head = nn.Linear(12, 4)

        def forward(self, x):
            for block in self.blocks:
                if random.random() < 0.8:
                    x = x + torch.relu(block(x))
            return self.head(x)


    def train(steps=100):
        model = Dropped()
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
    16:16 note: `random.random` in forward is no part of the graph: a compiler breaks there, an export drops it
    ```

Good: printed in the training loop.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Logged(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Logged()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 4, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            print(loss.item())
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Torch's own random numbers.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = x + 0.1 * torch.randn_like(x)
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Noisy()
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

Symptoms: Graph break from print; torch.compile: builtin print; Unsupported: call to random.random; TracerWarning;
torch.export ignores print; logging in forward breaks the graph
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.operands import once
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, user_frame

PYTHON = "python:"
"""What the native name begins with of a call that is not torch's and does something beside computing."""

FORWARD = "forward"


class UntraceableCall(GraphRule):
    code = "GL203"
    severity = Severity.NOTE
    message = "`{call}` in forward is no part of the graph: a compiler breaks there, an export drops it"
    advice = "move it out of forward"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for call in once(node for node in graph.nodes if _is_in_forward(node)):
            name = call.native.removeprefix(PYTHON).removeprefix("builtins.")
            yield self.found(user_frame(call), path=graph.model.path, call=name)


def _is_in_forward(node: Node) -> bool:
    own = (frame for frame in node.frames if frame.user)
    return node.native.startswith(PYTHON) and any(f.function.rpartition(".")[2] == FORWARD for f in own)
