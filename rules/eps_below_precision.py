"""An eps is too small for the type that it is added in.

The smallest number above 0 that float16 holds is 6e-8. An eps of 1e-8 or 1e-12, usual in float32, is rounded to 0
there, so that the division, logarithm or root that it should protect is as unsafe as without.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(16))
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            x = x.half()
            x = x * self.gain.half()
            size = x.pow(2).mean(dim=1, keepdim=True)
            x = x / torch.sqrt(size + 1e-8)
            return self.head(x.float())


    def train(steps=100):
        model = Scale()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 16), torch.randn(8, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    16:28 warning: an eps of 1e-08 is rounded to 0 in float16, so it protects from nothing
    ```

    ```python
    import torch
    from torch import nn


    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 4)

        def forward(self, x):
            return self.first(x).half().softmax(dim=1)


    def train(steps=100):
        model = Half()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 9)
            optimizer.zero_grad()
            chance = model(x)
            loss = -(chance * torch.log(chance + 1e-12)).float().sum(dim=1).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    21:37 warning: an eps of 1e-12 is rounded to 0 in float16, so it protects from nothing
    ```

Good: an eps that float16 holds.

    ```python
    import torch
    from torch import nn


    class Larger(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 4)

        def forward(self, x):
            return self.first(x).half().softmax(dim=1)


    def train(steps=100):
        model = Larger()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 9)
            optimizer.zero_grad()
            chance = model(x)
            loss = -(chance * torch.log(chance + 1e-5)).float().sum(dim=1).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Computed in float32.

    ```python
    import torch
    from torch import nn


    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 4)

        def forward(self, x):
            return self.first(x).half()


    def train(steps=100):
        model = Single()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(8, 9)
            optimizer.zero_grad()
            chance = model(x).float().softmax(dim=1)
            loss = -(chance * torch.log(chance + 1e-12)).sum(dim=1).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Also: GL712 for half precision without a scaler; GL801 to GL803 where the eps does not protect

Symptoms: nan in float16; loss is nan with half precision but not in float32; eps 1e-8 underflows in fp16; division by
zero in mixed precision; model.half() gives nan
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.hazards import added_number
from gradlint.analysis.operands import once
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, user_frame

SMALLEST = {"float16": 2.0**-25, "bfloat16": 2.0**-134, "float32": 2.0**-150}
"""Half of the smallest subnormal number of a type: what is not above it rounds to 0 (IEEE 754, round to even)."""


class EpsBelowPrecision(GraphRule):
    code = "GL807"
    severity = Severity.WARNING
    message = "an eps of {eps:g} is rounded to 0 in {dtype}, so it protects from nothing"
    advice = "use an eps of 1e-4 or more in half precision, or compute this part in float32"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for call in once(node for node in graph.nodes if _is_lost(graph, node)):
            yield self.found(
                user_frame(call),
                path=graph.model.path,
                extra={"model": graph.model.name},
                eps=abs(added_number(graph, call) or 0),
                dtype=call.dtype,
            )


def _is_lost(graph: ModelGraph, node: Node) -> bool:
    smallest = SMALLEST.get(node.dtype or "")
    if smallest is None or node.op not in ("add", "sub", "clamp", "clamp_min") or node.id not in graph.useful:
        return False
    eps = added_number(graph, node)
    return eps is not None and 0 < abs(eps) <= smallest
