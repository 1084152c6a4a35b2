"""The targets have a form that this loss does not take.

`NLLLoss` and `CrossEntropyLoss` take class numbers as integers; one-hot integers or class numbers as floating point
raise, or are taken for something else. Binary cross-entropy takes floating-point numbers.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Leaves(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 20)
            self.second = nn.Linear(20, 5)

        def forward(self, x):
            return F.log_softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Leaves()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, kind = torch.randn(16, 12), torch.randint(0, 5, (16,))
            target = F.one_hot(kind, 5)
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), target)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    23:16 error: the targets are one-hot rows, and this loss takes class numbers: it raises
    ```

    ```python
    import torch
    from torch import nn


    class Fruits(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 20)
            self.second = nn.Linear(20, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Fruits()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, kind = torch.randn(16, 12), torch.randint(0, 4, (16,)).float()
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss()(model(x), kind)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    21:16 error: the targets are floating-point class numbers, and this loss takes integers: it raises
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.BCEWithLogitsLoss()


    class Toxic(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 20)
            self.second = nn.Linear(20, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Toxic()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, kind = torch.randn(16, 12), torch.randint(0, 2, (16, 3))
            optimizer.zero_grad()
            loss = criterion(model(x), kind)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    23:16 error: the targets are integers, and this loss takes numbers from 0 to 1: it raises
    ```

Good: class numbers.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Trees(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 20)
            self.second = nn.Linear(20, 5)

        def forward(self, x):
            return F.log_softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Trees()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, kind = torch.randn(16, 12), torch.randint(0, 5, (16,))
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), kind)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Class probabilities of cross-entropy.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Smooth(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 20)
            self.second = nn.Linear(20, 5)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Smooth()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, kind = torch.randn(16, 12), torch.randint(0, 5, (16,))
            soft = 0.9 * F.one_hot(kind, 5).float() + 0.02
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), soft)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

One label for each pixel.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Pixels(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.second = nn.Conv2d(8, 4, 1)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Pixels()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, kind = torch.rand(2, 3, 8, 8), torch.randint(0, 4, (2, 8, 8))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), kind)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Integers made floating for binary cross-entropy.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Polite(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 20)
            self.second = nn.Linear(20, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Polite()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, kind = torch.randn(16, 12), torch.randint(0, 2, (16, 3)).float()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(x), kind)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: RuntimeError: 0D or 1D target tensor expected, multi-target not supported; expected scalar type Long but
found Float; "nll_loss_forward_reduce_cuda_kernel_2d_index" not implemented for 'Float'; result type Float can't be
cast to the desired output type Long; Expected floating point type for target with class probabilities, got Long
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.losses import BATCHED, BINARY, CATEGORICAL, Loss, is_exchanged, losses
from gradlint.analysis.operands import origin
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, user_frame

FLOATING = ("float", "bfloat", "double", "half")
WHOLE = ("int", "uint")


class TargetFormat(GraphRule):
    code = "GL607"
    severity = Severity.ERROR
    message = "{what}, and this loss takes {wanted}: it raises"
    advice = "{remedy}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, *CATEGORICAL, *BINARY):
            fault = None if is_exchanged(graph, loss) else _fault(graph, loss)
            if fault is not None:
                what, wanted, remedy = fault
                yield self.found(
                    user_frame(loss.call),
                    path=graph.model.path,
                    extra={"model": graph.model.name},
                    what=what,
                    wanted=wanted,
                    remedy=remedy,
                )


def _fault(graph: ModelGraph, loss: Loss) -> tuple[str, str, str] | None:
    target = loss.target
    if target is None or target.dtype is None:
        return None
    if loss.call.op in BINARY:
        whole = target.dtype.startswith(WHOLE)
        return ("the targets are integers", "numbers from 0 to 1", "hand over target.float()") if whole else None
    if _is_one_hot(graph, target) and (target.dtype.startswith(WHOLE) or loss.call.op == "nll_loss"):
        return "the targets are one-hot rows", "class numbers", "hand over the class numbers, as target.argmax(dim=1)"
    if target.dtype.startswith(FLOATING) and not _may_be_probabilities(loss, target):
        return "the targets are floating-point class numbers", "integers", "hand over target.long()"
    return None


def _is_one_hot(graph: ModelGraph, target: Node) -> bool:
    return origin(graph, target).op == "one_hot"


def _may_be_probabilities(loss: Loss, target: Node) -> bool:
    """Whether floating targets of cross-entropy have the shape of the scores, as probabilities must."""
    scores = loss.prediction.shape
    if loss.call.op == "nll_loss":
        return False
    if scores is None or target.shape is None or len(scores) < BATCHED:
        return True
    return len(scores) == len(target.shape)
