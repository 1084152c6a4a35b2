"""A gradient is switched on again behind a cut: the exception goes away, and training does not happen.

"element 0 of tensors does not require grad" says that the loss has no way back to any parameter. `loss.requires_grad
= True` or `Variable(loss, requires_grad=True)` makes the loss a new leaf. backward then runs, fills the loss's own
gradient, and stops there. The cut that caused the exception is still in place and is named under `related`.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Emotions(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 6))

        def forward(self, x):
            return self.layers(x)


    def train(steps=100):
        model = Emotions()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 6, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x).detach(), y)
            loss.requires_grad = True
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:9 error: `.requires_grad = True` silences the exception and still leaves 4 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn
    from torch.autograd import Variable
    from torch.nn import functional as F


    class Depth(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Conv2d(3, 8, 3, padding=1)
            self.decoder = nn.Conv2d(8, 1, 3, padding=1)

        def forward(self, image):
            return self.decoder(torch.relu(self.encoder(image)))


    def train(steps=100):
        model = Depth()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
        for _ in range(steps):
            image, wanted = torch.rand(2, 3, 16, 16), torch.rand(2, 1, 16, 16)
            optimizer.zero_grad()
            depth = Variable(model(image).data, requires_grad=True)
            loss = F.l1_loss(depth, wanted)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    23:17 error: `Variable()` silences the exception and still leaves 4 parameter tensors without a gradient
    ```

Good: a leaf input for a saliency map.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

        def forward(self, image):
            return self.layers(image)


    def saliency(model, image):
        image = image.clone().detach().requires_grad_(True)
        model(image).max(dim=1).values.sum().backward()
        return image.grad.abs()


    def train(steps=100):
        model = Digits()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            image, digit = torch.rand(16, 1, 8, 8), torch.randint(0, 10, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(image), digit)
            loss.backward()
            optimizer.step()
        return saliency(model, torch.rand(1, 1, 8, 8))


    if __name__ == "__main__":
        train()
    ```

An adversarial example.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Signs(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))

        def forward(self, x):
            return self.layers(x)


    def attacked(model, x, y, step=0.05):
        x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y), x)
        return (x + step * gradient.sign()).detach()


    def train(steps=100):
        model = Signs()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
        for _ in range(steps):
            x, y = torch.randn(16, 20), torch.randint(0, 4, (16,))
            x = attacked(model, x, y)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A gradient penalty.

    ```python
    import torch
    from torch import nn


    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

        def forward(self, x):
            return self.layers(x).squeeze(1)


    def penalty(critic, real, fake):
        share = torch.rand(len(real), 1)
        between = (share * real + (1 - share) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return (gradient.square().sum(dim=1).add(1e-8).sqrt() - 1).square().mean()


    def train(steps=100):
        critic = Critic()
        optimizer = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.0, 0.9))
        for _ in range(steps):
            real, fake = torch.randn(16, 16), torch.rand(16, 16)
            optimizer.zero_grad()
            loss = critic(fake).mean() - critic(real).mean() + 10 * penalty(critic, real, fake)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A physics-informed loss.

    ```python
    import torch
    from torch import nn


    class Oscillator(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))

        def forward(self, time):
            return self.layers(time)


    def slope(value, time):
        return torch.autograd.grad(value.sum(), time, create_graph=True)[0]


    def train(steps=100):
        model = Oscillator()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            time = torch.rand(64, 1).requires_grad_(True)
            optimizer.zero_grad()
            position = model(time)
            loss = (slope(slope(position, time), time) + position).square().mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: I set loss.requires_grad = True, the error is gone but the loss does not go down; loss.requires_grad_(True);
loss = Variable(loss, requires_grad=True); element 0 of tensors does not require grad and does not have a grad_fn;
RuntimeError: you can only change requires_grad flags of leaf variables; weights don't update; loss is constant
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class MaskedGradientBreak(PathRule):
    code = "GL115"
    severity = Severity.ERROR
    needs_recording = True
    message = "`{expression}` silences the exception and still leaves {count} without a gradient"
    advice = "remove it, and mend the cut that it hides"
    reasons = frozenset({Reason.MASKED})
