"""A tensor is rebuilt from tensors, and the new one forgets how they were computed.

`torch.tensor`, `torch.Tensor`, `torch.FloatTensor`, `torch.as_tensor` of a list and `Variable(t.data)` copy values
into a new leaf. `torch.stack` and `torch.cat` join tensors and keep their history. `requires_grad=True` on the copy
does not bring it back: it only makes the exception go away.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Ranker(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))

        def forward(self, documents):
            return torch.tensor([self.score(document) for document in documents])


    def train(steps=100):
        model = Ranker()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            documents, relevance = torch.randn(8, 10), torch.rand(8)
            optimizer.zero_grad()
            loss = F.mse_loss(model(documents), relevance)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    12:16 error: `tensor()` copies values into a new leaf and leaves 4 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn


    class Corners(nn.Module):
        def __init__(self):
            super().__init__()
            self.centre = nn.Linear(32, 2)
            self.size = nn.Linear(32, 2)

        def forward(self, features):
            x, y = self.centre(features).mean(dim=0)
            w, h = self.size(features).mean(dim=0).exp()
            return torch.FloatTensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    ```

    ```text
    14:16 error: `FloatTensor()` copies values into a new leaf and leaves 4 parameter tensors without a gradient
    ```

Good: the history is kept.

    ```python
    import torch
    from torch import nn


    class Boxes(nn.Module):
        def __init__(self):
            super().__init__()
            self.centre = nn.Linear(32, 2)
            self.size = nn.Linear(32, 2)

        def forward(self, features):
            x, y = self.centre(features).mean(dim=0)
            w, h = self.size(features).mean(dim=0).exp()
            return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    ```

The input is data, not a result of the model.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def batch(size=16):
        rows = [[float(i + j) / size for j in range(4)] for i in range(size)]
        return torch.tensor(rows), torch.FloatTensor([sum(row) for row in rows])


    def train(steps=100):
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = batch()
            optimizer.zero_grad()
            loss = F.mse_loss(model(torch.as_tensor(x)).squeeze(1), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A constant of the forward pass.

    ```python
    import torch
    from torch import nn


    class Luminance(nn.Module):
        def __init__(self):
            super().__init__()
            self.filters = nn.Conv2d(1, 8, 3, padding=1)

        def forward(self, image):
            weight = torch.tensor([0.299, 0.587, 0.114], device=image.device).view(1, 3, 1, 1)
            return self.filters((image * weight).sum(dim=1, keepdim=True))


    def gradlint_inputs():
        return torch.rand(2, 3, 16, 16)
    ```

Symptoms: UserWarning: To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone();
element 0 of tensors does not require grad and does not have a grad_fn; weights don't update after torch.tensor(list);
list of losses to tensor; param.grad is None after backward
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class RewrappedTensor(PathRule):
    code = "GL104"
    severity = Severity.ERROR
    message = "`{expression}` copies values into a new leaf and leaves {count} without a gradient"
    advice = "join tensors with torch.stack or torch.cat, or use the tensor itself"
    reasons = frozenset({Reason.REWRAP})
