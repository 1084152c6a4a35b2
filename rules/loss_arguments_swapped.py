"""The target stands where the prediction belongs, and the prediction where the target belongs.

torch's losses take the prediction first, as `loss(prediction, target)`; scikit-learn's and Keras' functions take the
target first. With a loss that is not symmetric the exchange raises, or takes the logarithm of 0 and 1.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Weather(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())

        def forward(self, x):
            return self.layers(x).squeeze(1)


    def train(steps=100):
        model = Weather()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, rain = torch.randn(16, 10), torch.rand(16).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy(rain, model(x))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    21:16 warning: the target stands first and the prediction second, so the logarithm is taken of the target
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.BCEWithLogitsLoss()


    class Storm(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Storm()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, seen = torch.randn(16, 10), torch.rand(16, 3).round()
            optimizer.zero_grad()
            loss = criterion(seen, model(x))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    23:16 warning: the target stands first and the prediction second, so the logarithm is taken of the target
    ```

Good: a symmetric loss.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Heat(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x))).squeeze(1)


    def train(steps=100):
        model = Heat()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, heat = torch.randn(16, 10), torch.randn(16)
            optimizer.zero_grad()
            loss = F.mse_loss(heat, model(x))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

The prediction first.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Wind(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())

        def forward(self, x):
            return self.layers(x).squeeze(1)


    def train(steps=100):
        model = Wind()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, wind = torch.randn(16, 10), torch.rand(16).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy(model(x), wind)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Both sides are computed by the model.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Twins()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(16, 10)
            noisy = x + 0.1 * torch.randn_like(x)
            optimizer.zero_grad()
            one, two = model(x), model(noisy)
            loss = F.cross_entropy(one, F.softmax(two, dim=1)) + F.cross_entropy(two, F.softmax(one, dim=1))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: RuntimeError: all elements of target should be between 0 and 1; BCELoss is 100 or 50 from the start; the
derivative for 'target' is not implemented; loss is negative with BCEWithLogitsLoss; wrong order of arguments in loss
function
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.losses import BINARY, CATEGORICAL, is_exchanged, losses
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame

ORDERED = (*CATEGORICAL, *BINARY, "poisson_nll_loss", "gaussian_nll_loss", "multi_margin_loss", "soft_margin_loss")


class LossArgumentsSwapped(GraphRule):
    code = "GL609"
    severity = Severity.WARNING
    message = "the target stands first and the prediction second, so the logarithm is taken of the target"
    advice = "call the loss as loss(prediction, target)"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, *ORDERED):
            if is_exchanged(graph, loss):
                yield self.found(user_frame(loss.call), path=graph.model.path, extra={"model": graph.model.name})
