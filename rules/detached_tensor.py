"""A detach takes the last way from a parameter to the loss.

`.detach()`, `.data` and their like return the same numbers without the history of how they were computed. Backward
ends there without a word: the parameters before the cut keep `grad = None`, the optimizer skips them, and the rest of
the model learns around them, so the loss still falls a little. A detach on a side branch is harmless and often right;
this rule speaks only when no other way to the loss is left, and names the parameters that lost theirs.

Bad:

    ```python
    import torch
    from torch import nn


    class PoseNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.head = nn.Linear(16, 6)

        def forward(self, image):
            features = self.backbone(image).detach()
            return self.head(features)
    ```

    ```text
    12:20 error: `.detach()` leaves 2 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(20, 4)
            self.decoder = nn.Linear(4, 20)

        def forward(self, spectrum):
            self.code = torch.tanh(self.encoder(spectrum))
            return self.decoder(self.code.data)


    def train(steps=100):
        model = Autoencoder()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            spectrum = torch.randn(32, 20)
            optimizer.zero_grad()
            loss = F.mse_loss(model(spectrum), spectrum)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:29 error: `.data` leaves 2 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def pairwise(embedding):
        unit = F.normalize(embedding.detach(), dim=1)
        return unit @ unit.T


    class Tracker(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(12, 8)

        def forward(self, boxes):
            return pairwise(self.embed(boxes))
    ```

    ```text
    7:24 error: `.detach()` leaves 2 parameter tensors without a gradient
    ```

Good: a copy for logging or a metric.

    ```python
    import torch
    from torch import nn


    class Monitored(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Linear(16, 16)
            self.head = nn.Linear(16, 6)
            self.last_norm = 0.0

        def forward(self, x):
            features = torch.relu(self.backbone(x))
            self.last_norm = features.detach().norm().item()
            return self.head(features)
    ```

A straight-through estimator: the value is quantised, the gradient takes the way around.

    ```python
    import torch
    from torch import nn


    class Quantised(nn.Module):
        def __init__(self, levels=16):
            super().__init__()
            self.levels = levels
            self.encoder = nn.Linear(20, 8)
            self.decoder = nn.Linear(8, 20)

        def forward(self, x):
            z = torch.sigmoid(self.encoder(x))
            quantised = torch.round(z * self.levels) / self.levels
            return self.decoder(z + (quantised - z).detach())
    ```

Stop-gradient on one branch of two (SimSiam): the other branch trains the same weights.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
            self.predictor = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

        def forward(self, one, other):
            z1, z2 = self.encoder(one), self.encoder(other)
            p1, p2 = self.predictor(z1), self.predictor(z2)
            half = F.cosine_similarity(p1, z2.detach(), dim=1).mean() / 2
            return -half - F.cosine_similarity(p2, z1.detach(), dim=1).mean() / 2


    def train(steps=100):
        model = Siamese()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(32, 16)
            optimizer.zero_grad()
            loss = model(x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A vector-quantised autoencoder: three detaches, and a way for every parameter.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class VectorQuantised(nn.Module):
        def __init__(self, codes=32, width=8):
            super().__init__()
            self.encoder = nn.Linear(20, width)
            self.codes = nn.Embedding(codes, width)
            self.decoder = nn.Linear(width, 20)

        def forward(self, x):
            z = self.encoder(x)
            nearest = torch.cdist(z, self.codes.weight).argmin(dim=1)
            code = self.codes(nearest)
            commitment = F.mse_loss(z, code.detach()) + F.mse_loss(code, z.detach())
            return self.decoder(z + (code - z).detach()), commitment


    def train(steps=100):
        model = VectorQuantised()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(32, 20)
            optimizer.zero_grad()
            reconstruction, commitment = model(x)
            loss = F.mse_loss(reconstruction, x) + 0.25 * commitment
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A momentum network is moved by hand and needs no gradient.

    ```python
    import copy

    import torch
    from torch import nn
    from torch.nn import functional as F


    class MomentumPair(nn.Module):
        def __init__(self, momentum=0.99):
            super().__init__()
            self.momentum = momentum
            self.online = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
            self.predictor = nn.Sequential(nn.ReLU(), nn.Linear(8, 8))
            self.target = copy.deepcopy(self.online)

        def forward(self, one, other):
            return F.mse_loss(self.predictor(self.online(one)), self.target(other).detach())

        @torch.no_grad()
        def move_target(self):
            for old, new in zip(self.target.parameters(), self.online.parameters()):
                old.lerp_(new, 1 - self.momentum)


    def train(steps=100):
        model = MomentumPair()
        optimizer = torch.optim.AdamW([*model.online.parameters(), *model.predictor.parameters()], lr=1e-3)
        for _ in range(steps):
            x = torch.randn(32, 16)
            optimizer.zero_grad()
            loss = model(x + 0.1 * torch.randn_like(x), x)
            loss.backward()
            optimizer.step()
            model.move_target()


    if __name__ == "__main__":
        train()
    ```

A target network of Q-learning: only the online network is trained.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def q_network():
        return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))


    def train(steps=100, discount=0.99):
        online, target = q_network(), q_network()
        optimizer = torch.optim.Adam(online.parameters(), lr=1e-3)
        for step in range(steps):
            if step % 20 == 0:
                target.load_state_dict(online.state_dict())
            state, following, reward = torch.randn(32, 4), torch.randn(32, 4), torch.randn(32)
            action = torch.randint(0, 2, (32, 1))
            wanted = reward + discount * target(following).max(dim=1).values.detach()
            optimizer.zero_grad()
            loss = F.smooth_l1_loss(online(state).gather(1, action).squeeze(1), wanted)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

The discriminator's step of a GAN: the generator has a step of its own.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))

        def forward(self, noise):
            return self.layers(noise)


    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

        def forward(self, sample):
            return self.layers(sample).squeeze(1)


    def train(steps=100):
        generator, discriminator = Generator(), Discriminator()
        opt_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        opt_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        ones, zeros = torch.ones(32), torch.zeros(32)
        for _ in range(steps):
            real, fake = torch.randn(32, 16), generator(torch.randn(32, 8))
            opt_d.zero_grad()
            loss_d = F.binary_cross_entropy_with_logits(discriminator(real), ones)
            loss_d = loss_d + F.binary_cross_entropy_with_logits(discriminator(fake.detach()), zeros)
            loss_d.backward()
            opt_d.step()
            opt_g.zero_grad()
            loss_g = F.binary_cross_entropy_with_logits(discriminator(fake), ones)
            loss_g.backward()
            opt_g.step()


    if __name__ == "__main__":
        train()
    ```

Truncated back-propagation: the state is carried from batch to batch, its history is not.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Speech(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRU(8, 16, batch_first=True)
            self.head = nn.Linear(16, 8)

        def forward(self, frames, state=None):
            hidden, state = self.cell(frames, state)
            return self.head(hidden), state.detach()


    def train(steps=100):
        model = Speech()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        state = None
        for _ in range(steps):
            frames = torch.randn(4, 10, 8)
            optimizer.zero_grad()
            predicted, state = model(frames[:, :-1], state)
            loss = F.mse_loss(predicted, frames[:, 1:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn; param.grad is None
after backward; weights don't update; encoder does not learn; only the last layers train; detach breaks the gradient;
Jittor: grads[i] doesn't have gradient. It will be set to zero; 梯度不知道在哪里断掉了;
No gradients provided for any variable
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class DetachedTensor(PathRule):
    code = "GL101"
    severity = Severity.ERROR
    message = "`{expression}` leaves {count} without a gradient"
    advice = "remove it, or detach only a copy that the loss does not use"
    reasons = frozenset({Reason.DETACH})
