"""A value leaves the framework for numpy, scipy or Python's math and comes back into the computation.

Arrays and numbers of other libraries carry no history, so backward ends where the value left. The advice that torch
itself gives, `tensor.detach().numpy()`, makes the exception go away and the gradient with it. Numpy beside the
computation (data loading, metrics, plots) is fine; on the way from a parameter to the loss it is a cut.

Bad:

    ```python
    import numpy as np
    import torch
    from torch import nn


    class Smoothed(nn.Module):
        def __init__(self):
            super().__init__()
            self.trend = nn.Linear(24, 24)
            self.level = nn.Linear(24, 1)

        def forward(self, series):
            trend = self.trend(series)
            spectrum = np.fft.rfft(trend.detach().cpu().numpy(), axis=1)
            spectrum[:, 4:] = 0
            smooth = torch.from_numpy(np.fft.irfft(spectrum, n=24, axis=1)).float()
            return self.level(smooth)
    ```

    ```text
    14:32 error: `.numpy()` takes the value out of autograd and leaves 2 parameter tensors without a gradient
    ```

    ```python
    import numpy as np
    import torch
    from torch import nn


    def spectral_loss(predicted, wanted):
        predicted, wanted = predicted.detach().numpy(), wanted.numpy()
        return np.abs(np.fft.rfft(predicted) - np.fft.rfft(wanted)).mean(axis=1)


    def train(steps=100):
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            clean = torch.randn(16, 32)
            optimizer.zero_grad()
            loss = torch.from_numpy(spectral_loss(model(clean + 0.1 * torch.randn_like(clean)), clean)).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    7:25 error: `.numpy()` takes the value out of autograd and leaves 4 parameter tensors without a gradient
    ```

Good: conversion after the loss, for a metric.

    ```python
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 3))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        accuracies = []
        for _ in range(steps):
            x, y = torch.randn(32, 12), torch.randint(0, 3, (32,))
            optimizer.zero_grad()
            scores = model(x)
            loss = F.cross_entropy(scores, y)
            loss.backward()
            optimizer.step()
            accuracies.append(np.mean(scores.detach().numpy().argmax(axis=1) == y.numpy()))
        return np.mean(accuracies)


    if __name__ == "__main__":
        train()
    ```

Evaluation.

    ```python
    import numpy as np
    import torch
    from torch import nn


    class Forecast(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 6))

        def forward(self, series):
            return self.layers(series)

        @torch.no_grad()
        def predict(self, series):
            ahead = self(torch.from_numpy(series).float()).numpy()
            return np.clip(ahead, 0, None)
    ```

Data loading.

    ```python
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset


    class Windows(Dataset):
        def __init__(self, length=256, width=16):
            self.signal = np.sin(np.linspace(0, 60, length)).astype(np.float32)
            self.width = width

        def __len__(self):
            return len(self.signal) - self.width

        def __getitem__(self, index):
            window = np.array(self.signal[index : index + self.width + 1])
            return torch.from_numpy(window[:-1]), torch.tensor(window[-1])


    def train(epochs=2):
        model = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(epochs):
            for window, following in DataLoader(Windows(), batch_size=32, shuffle=True):
                optimizer.zero_grad()
                loss = F.mse_loss(model(window).squeeze(1), following)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Plotting: an attention map is kept for a figure.

    ```python
    import torch
    from torch import nn


    class Attended(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.query = nn.Linear(width, width)
            self.key = nn.Linear(width, width)
            self.value = nn.Linear(width, width)
            self.map = None

        def forward(self, x):
            weight = (self.query(x) @ self.key(x).transpose(1, 2) / x.shape[-1] ** 0.5).softmax(dim=-1)
            self.map = weight.detach().cpu().numpy()
            return weight @ self.value(x)


    def gradlint_inputs():
        return torch.randn(2, 5, 16)
    ```

Numpy and math on shapes and constants.

    ```python
    import math

    import numpy as np
    import torch
    from torch import nn


    class Positions(nn.Module):
        def __init__(self, width=16, longest=64):
            super().__init__()
            place, channel = np.arange(longest)[:, None], np.arange(0, width, 2)[None]
            angle = place / np.power(10000.0, channel / width)
            table = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
            self.register_buffer("table", torch.from_numpy(table).float())
            self.mix = nn.Linear(width, width)

        def forward(self, x):
            scale = math.sqrt(x.shape[-1])
            rows = int(np.minimum(x.shape[1], len(self.table)))
            return self.mix(x[:, :rows] * scale + self.table[:rows])


    def gradlint_inputs():
        return torch.randn(2, 10, 16)
    ```

Symptoms: RuntimeError: Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead; element
0 of tensors does not require grad and does not have a grad_fn; loss does not change after using numpy; scipy in
forward; gradient lost after from_numpy; metric as loss does not train
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class NumpyRoundTrip(PathRule):
    code = "GL102"
    severity = Severity.ERROR
    message = "`{expression}` takes the value out of autograd and leaves {count} without a gradient"
    advice = "compute this step with torch's own functions, and convert a copy for metrics and plots"
    reasons = frozenset({Reason.NUMPY})
