"""A tensor is read as a Python number, and the number flows on into the output or the loss.

`.item()`, `.tolist()`, `float(t)` and `int(t)` return plain numbers, which carry no history. For a log line that is
what you want. In the computation it freezes the value: the parameters behind it get no gradient, although they change
the result.

Bad:

    ```python
    import torch
    from torch import nn


    class Contrast(nn.Module):
        def __init__(self):
            super().__init__()
            self.image = nn.Linear(32, 16)
            self.text = nn.Linear(24, 16)
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, image, text):
            logits = self.image(image) @ self.text(text).T
            return self.scale.item() * logits


    def gradlint_inputs():
        return torch.randn(4, 32), torch.randn(4, 24)
    ```

    ```text
    14:16 error: `.item()` turns a tensor into a Python number and leaves 1 parameter tensor without a gradient
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Reward(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))

        def forward(self, step):
            return self.score(step)


    def train(episodes=50):
        model = Reward()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(episodes):
            predicted = [float(model(step)) for step in torch.randn(8, 6)]
            optimizer.zero_grad()
            loss = F.mse_loss(torch.tensor(predicted, requires_grad=True), torch.ones(8))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    19:22 error: `float()` turns a tensor into a Python number and leaves 4 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Weighted(nn.Module):
        def __init__(self, tasks=2):
            super().__init__()
            self.log_variance = nn.Parameter(torch.zeros(tasks))

        def forward(self, losses):
            total = 0.0
            for i, loss in enumerate(losses):
                spread = float(self.log_variance[i])
                total = total + loss * 2.718**-spread + spread
            return total


    def train(steps=100):
        model, criterion = nn.Linear(10, 2), Weighted()
        optimizer = torch.optim.Adam([*model.parameters(), *criterion.parameters()], lr=1e-3)
        for _ in range(steps):
            x = torch.randn(16, 10)
            first, second = model(x).unbind(dim=1)
            optimizer.zero_grad()
            loss = criterion([F.mse_loss(first, x[:, 0]), F.mse_loss(second, x[:, 1])])
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:22 error: `float()` turns a tensor into a Python number and leaves 1 parameter tensor without a gradient
    ```

Good: a number for the log.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        total = 0.0
        for step in range(steps):
            x = torch.randn(32, 12)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), x.sum(dim=1, keepdim=True))
            loss.backward()
            optimizer.step()
            total += loss.item()
            if step % 10 == 0:
                print(f"step {step}: loss {float(loss):.4f}")
        return total / steps


    if __name__ == "__main__":
        train()
    ```

A comparison for early stopping.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def fit(epochs=20, patience=3):
        model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        best, waited = float("inf"), 0
        for _ in range(epochs):
            x = torch.randn(64, 12)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), x[:, :1])
            loss.backward()
            optimizer.step()
            waited = 0 if loss.item() < best else waited + 1
            best = min(best, loss.item())
            if waited > patience:
                break
        return best


    if __name__ == "__main__":
        fit()
    ```

Arithmetic on shapes and lengths.

    ```python
    import torch
    from torch import nn


    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 16)
            self.head = nn.Linear(16, 2)

        def forward(self, tokens, lengths):
            longest = int(lengths.max())
            states = self.embed(tokens[:, :longest])
            return self.head(states.sum(dim=1) / float(longest))


    def gradlint_inputs():
        return torch.randint(0, 50, (3, 9)), torch.tensor([9, 5, 7])
    ```

Symptoms: RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn; parameter does not
change; temperature does not learn; item() breaks gradient; param.grad is None after backward; a Tensor with N
elements cannot be converted to Scalar
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class ScalarRoundTrip(PathRule):
    code = "GL103"
    severity = Severity.ERROR
    message = "`{expression}` turns a tensor into a Python number and leaves {count} without a gradient"
    advice = "compute with the tensor, and read a number off it only for logging"
    reasons = frozenset({Reason.SCALAR})
