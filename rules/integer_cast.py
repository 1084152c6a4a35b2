"""A cast to an integer or Boolean type stands on every way to the loss.

Only floating and complex tensors carry a gradient. `.long()`, `.int()`, `.bool()` and `.to(torch.uint8)` round the
value and end its history; a cast back to float does not restore it.

Bad:

    ```python
    import torch
    from torch import nn


    class Compressed(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(32, 8)
            self.decode = nn.Linear(8, 32)

        def forward(self, signal):
            code = (self.encode(signal) * 127).to(torch.int8)
            return self.decode(code.float() / 127)
    ```

    ```text
    12:16 error: `.to()` casts to a type that carries no gradient, which leaves 2 parameter tensors without one
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.density = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))

        def forward(self, image):
            return self.density(image).sum(dim=(1, 2, 3)).long()


    def train(steps=100):
        model = Counter()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
        for _ in range(steps):
            image, people = torch.rand(4, 3, 16, 16), torch.randint(0, 30, (4,))
            optimizer.zero_grad()
            loss = F.l1_loss(model(image).float(), people.float())
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    12:16 error: `.long()` casts to a type that carries no gradient, which leaves 4 parameter tensors without one
    ```

Good: indices.

    ```python
    import torch
    from torch import nn


    class Bucketed(nn.Module):
        def __init__(self, buckets=10):
            super().__init__()
            self.buckets = buckets
            self.age = nn.Embedding(buckets, 8)
            self.head = nn.Linear(8 + 3, 1)

        def forward(self, features):
            bucket = (features[:, 0].clamp(0, 0.99) * self.buckets).long()
            return self.head(torch.cat([self.age(bucket), features[:, 1:]], dim=1))


    def gradlint_inputs():
        return torch.rand(8, 4)
    ```

Labels.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.rand(32, 6)
            label = (x[:, 0] * 3).long()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), label)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A mask beside the value.

    ```python
    import torch
    from torch import nn


    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(16, 1)
            self.body = nn.Linear(16, 16)

        def forward(self, x):
            weight = torch.sigmoid(self.gate(x))
            keep = (weight.squeeze(1) * 2).int().bool()
            return torch.where(keep.unsqueeze(1), weight * self.body(x), 0.1 * weight * x)
    ```

Symptoms: RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn; only Tensors of
floating point and complex dtype can require gradients; long() breaks the gradient; expected Long but found Float;
quantised layer does not learn
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class IntegerCast(PathRule):
    code = "GL106"
    severity = Severity.ERROR
    message = "`{expression}` casts to a type that carries no gradient, which leaves {count} without one"
    advice = "keep the floating values on the way to the loss, or use a straight-through estimator"
    reasons = frozenset({Reason.INTEGER_CAST})
