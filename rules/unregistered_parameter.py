"""A tensor that wants a gradient is an attribute of the model without being a parameter of it.

Only an `nn.Parameter` is registered. A plain tensor with `requires_grad=True` gets its gradient and no optimizer
steps it. The same happens to `nn.Parameter(...).to(device)`, `.cuda()` or `nn.Parameter(...) * 0.02`: the call
returns a new tensor, computed from the parameter, and the parameter itself is dropped. On a machine without an
accelerator `.to(device)` returns the parameter itself, so the fault appears where the model is trained and not where
it was tested.

Bad:

    ```python
    import torch
    from torch import nn


    class Calibrated(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(10, 3)
            self.temperature = torch.ones(1, requires_grad=True)

        def forward(self, x):
            return self.score(x) / self.temperature
    ```

    ```text
    9:28 error: `temperature` wants a gradient and is no parameter of the model, so no optimizer trains it
    ```

    ```python
    import torch
    from torch import nn


    class Prefixed(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.prefix = nn.Parameter(torch.randn(1, 4, width)) * 0.02
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            x = torch.cat([self.prefix.expand(len(x), -1, -1), x], dim=1)
            return self.head(x.mean(dim=1))


    def gradlint_inputs():
        return torch.randn(2, 5, 16)
    ```

    ```text
    8:23 error: `prefix` is computed from a parameter and is no parameter itself, so no optimizer trains it
    ```

    ```python
    import torch
    from torch import nn


    class Biased(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(10, 3, bias=False)
            self.shift = nn.Parameter(torch.zeros(3)).cuda()

        def forward(self, x):
            return self.score(x) + self.shift
    ```

    ```text
    9:22 error: `shift` is computed from a parameter and is no parameter itself, so no optimizer trains it
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(10, 3)

        def forward(self, x):
            self.scale = nn.Parameter(torch.ones(3))
            return self.score(x) * self.scale


    def train(steps=100):
        model = Scaled()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 10), torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    12:22 error: `scale` is made in forward, after the optimizer took the parameters, so no optimizer trains it
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Crossed(nn.Module):
        def __init__(self, fields=10):
            super().__init__()
            self.score = nn.Linear(fields, 3)
            self.fields = fields

        def crossed(self, x):
            factors = nn.Parameter(torch.randn(self.fields, 3) * 0.05)
            return (x @ factors).pow(2)

        def forward(self, x):
            return self.score(x) + self.crossed(x)


    def train(steps=100):
        model = Crossed()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 10), torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:19 error: `nn.Parameter` wants a gradient and is no parameter of the model, so no optimizer trains it
    ```

Good: a parameter; the arithmetic stands inside of it or in forward.

    ```python
    import torch
    from torch import nn


    class Wrapped(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.prefix = nn.Parameter(torch.randn(1, 4, width) * 0.02)
            self.temperature = nn.Parameter(torch.ones(1))
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            x = torch.cat([self.prefix.expand(len(x), -1, -1), x], dim=1)
            return self.head(x.mean(dim=1)) / self.temperature


    def build(device):
        return Wrapped().to(device)


    def gradlint_inputs():
        return torch.randn(2, 5, 16)
    ```

A buffer.

    ```python
    import torch
    from torch import nn


    class Standardised(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(10))
            self.register_buffer("scale", torch.ones(10))
            self.score = nn.Linear(10, 3)

        def forward(self, x):
            return self.score((x - self.mean) * self.scale)
    ```

A constant that wants no gradient.

    ```python
    import torch
    from torch import nn


    class Windowed(nn.Module):
        def __init__(self):
            super().__init__()
            self.window = torch.hann_window(16)
            self.score = nn.Linear(16, 3)

        def forward(self, x):
            return self.score(x * self.window)
    ```

A parameter that the optimizer was given by hand.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tempered(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(10, 3)
            self.temperature = torch.ones(1, requires_grad=True)

        def forward(self, x):
            return self.score(x) / self.temperature


    def train(steps=100):
        model = Tempered()
        optimizer = torch.optim.Adam([*model.parameters(), model.temperature], lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 10), torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A tensor of the helper's own that nobody trains.

    ```python
    import torch
    from torch import nn


    class Masked(nn.Module):
        def __init__(self, fields=10):
            super().__init__()
            self.score = nn.Linear(fields, 3)
            self.mix = nn.Parameter(torch.randn(fields, 3) * 0.05)

        def crossed(self, x):
            noise = torch.randn_like(x) * 0.05
            return ((x + noise) @ self.mix).pow(2)

        def forward(self, x):
            return self.score(x) + self.crossed(x)


    def gradlint_inputs():
        return torch.randn(16, 10)
    ```

Symptoms: ValueError: can't optimize a non-leaf Tensor; parameter not in model.parameters(); parameter is not saved in
state_dict; cannot assign 'torch.FloatTensor' as parameter; learnable tensor does not update; UserWarning: The .grad
attribute of a Tensor that is not a leaf Tensor is being accessed; nn.Parameter .cuda() not registered
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.gradient_path import would_learn
from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule


class UnregisteredParameter(GraphRule):
    code = "GL111"
    severity = Severity.ERROR
    message = "`{holder}` {why}, so no optimizer trains it"
    advice = "{cure}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for hidden in graph.model.hidden:
            if hidden.kind == "tensor" and not hidden.optimized and would_learn(graph, hidden):
                why, cure = (NON_LEAF, COMPUTE_INSIDE) if hidden.non_leaf else (LEAF, WRAP)
                yield self._said(graph, hidden.frame, hidden.holder, why, cure)
        for parameter in graph.model.trainable:
            if parameter.made and parameter.made.function.endswith(FORWARD) and parameter.optimized is False:
                yield self._said(graph, parameter.made, parameter.name, MADE_LATE, MAKE_ONCE)

    def _said(self, graph: ModelGraph, at: Frame | None, holder: str, why: str, cure: str) -> Finding:
        extra = {"model": graph.model.name, "module": holder}
        return self.found(at, path=graph.model.path, holder=holder, why=why, cure=cure, extra=extra)


FORWARD = ".forward"
MADE_LATE = "is made in forward, after the optimizer took the parameters"
MAKE_ONCE = "make it once, in __init__"
NON_LEAF = "is computed from a parameter and is no parameter itself"
LEAF = "wants a gradient and is no parameter of the model"
COMPUTE_INSIDE = "compute inside of nn.Parameter(...), and move the whole model with model.to(device)"
WRAP = "wrap it in nn.Parameter"
