"""The forward pass or the loss is computed with gradients switched off, and is then trained on.

`torch.no_grad`, `inference_mode` and `set_grad_enabled(False)` record nothing, so backward finds no way back to the
parameters that were used inside. `eval()` is something else: it changes dropout and batch norm and keeps the
gradient. Whoever freezes a network on purpose also says so: `requires_grad_(False)`, or no optimizer that holds it.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Captioner(nn.Module):
        def __init__(self):
            super().__init__()
            self.vision = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.words = nn.Linear(8, 50)

        def forward(self, image):
            with torch.no_grad():
                features = self.vision(image)
            return self.words(features)


    def train(steps=100):
        model = Captioner()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        for _ in range(steps):
            image, word = torch.rand(4, 3, 16, 16), torch.randint(0, 50, (4,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(image), word)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:9 error: gradients are switched off here, which leaves 2 parameter tensors without one
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Matcher(nn.Module):
        def __init__(self):
            super().__init__()
            self.tower = nn.Linear(12, 8)
            self.compare = nn.Linear(8, 1)

        @torch.inference_mode()
        def embed(self, x):
            return F.normalize(self.tower(x), dim=1).clone()

        def forward(self, one, other):
            return self.compare((self.embed(one) - self.embed(other)).abs()).squeeze(1)


    def train(steps=100):
        model = Matcher()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            same = torch.randint(0, 2, (16,)).float()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(torch.randn(16, 12), torch.randn(16, 12)), same)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    12:5 error: gradients are switched off here, which leaves 2 parameter tensors without one
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_grad_enabled(False)


    def train(steps=100):
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
        for _ in range(steps):
            x = torch.randn(32, 6)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x).squeeze(1), x.sum(dim=1))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    5:1 error: gradients are switched off here, which leaves 4 parameter tensors without one
    ```

Good: evaluation.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    @torch.no_grad()
    def evaluate(model):
        model.eval()
        x = torch.randn(64, 6)
        return F.mse_loss(model(x).squeeze(1), x.sum(dim=1)).item()


    def train(epochs=5):
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(epochs):
            model.train()
            x = torch.randn(32, 6)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x).squeeze(1), x.sum(dim=1))
            loss.backward()
            optimizer.step()
            print(evaluate(model))


    if __name__ == "__main__":
        train()
    ```

A feature extractor that is out of the optimizer.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Probe(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
            self.head = nn.Linear(16, 3)

        def forward(self, x):
            with torch.no_grad():
                features = self.backbone(x)
            return self.head(features)


    def train(steps=100):
        model = Probe()
        optimizer = torch.optim.Adam(model.head.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(32, 12), torch.randint(0, 3, (32,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A frozen one.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Distilled(nn.Module):
        def __init__(self):
            super().__init__()
            self.teacher = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 3))
            self.teacher.requires_grad_(False)
            self.student = nn.Linear(12, 3)

        def forward(self, x):
            with torch.no_grad():
                wanted = self.teacher(x).softmax(dim=1)
            return F.kl_div(self.student(x).log_softmax(dim=1), wanted, reduction="batchmean")


    def train(steps=100):
        model = Distilled()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(torch.randn(32, 12))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An average of the weights.

    ```python
    import copy

    import torch
    from torch import nn
    from torch.nn import functional as F


    class Averaged(nn.Module):
        def __init__(self):
            super().__init__()
            self.fast = nn.Linear(12, 8)
            self.slow = copy.deepcopy(self.fast)

        def forward(self, x):
            with torch.no_grad():
                self.update()
                wanted = self.slow(x)
            return F.mse_loss(self.fast(x + 0.1 * torch.randn_like(x)), wanted)

        def update(self):
            for old, new in zip(self.slow.parameters(), self.fast.parameters()):
                old.data.mul_(0.99).add_(new.data, alpha=0.01)


    def train(steps=100):
        model = Averaged()
        optimizer = torch.optim.Adam(model.fast.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(torch.randn(32, 12))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Generation.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Characters(nn.Module):
        def __init__(self, alphabet=30):
            super().__init__()
            self.embed = nn.Embedding(alphabet, 16)
            self.cell = nn.GRU(16, 32, batch_first=True)
            self.head = nn.Linear(32, alphabet)

        def forward(self, text):
            return self.head(self.cell(self.embed(text))[0])

        @torch.no_grad()
        def generate(self, text, length):
            for _ in range(length):
                following = torch.multinomial(self(text)[:, -1].softmax(dim=-1), 1)
                text = torch.cat([text, following], dim=1)
            return text


    def train(steps=100):
        model = Characters()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            text = torch.randint(0, 30, (8, 12))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return model.generate(torch.zeros(1, 1, dtype=torch.long), 10)


    if __name__ == "__main__":
        train()
    ```

Symptoms: RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn; Inference tensors
cannot be saved for backward. Please do not use Tensors created in inference mode in computation tracked by autograd;
None of the inputs have requires_grad=True. Gradients will be None; does .eval() freeze my encoder; Linear layer has
no grad if the first forward was under no_grad; no_grad in forward
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class GradientDisabled(PathRule):
    code = "GL107"
    severity = Severity.ERROR
    message = "gradients are switched off here, which leaves {count} without one"
    advice = "take the trained part out of it, or freeze these parameters and leave them out of the optimizer"
    reasons = frozenset({Reason.GRAD_DISABLED})
