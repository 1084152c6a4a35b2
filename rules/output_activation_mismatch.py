"""The targets cannot be met, because the last activation has another range than they have.

A ReLU gives no negative number and tanh none above 1: targets outside of the range cannot be met, and where the ReLU
is off no gradient says so. A sigmoid before cross-entropy keeps the scores between 0 and 1, so that no class becomes
likely. Softmax over one unit is always 1. A label for which the model has no unit makes the loss raise.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Returns(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 24)
            self.second = nn.Linear(24, 3)

        def forward(self, x):
            return torch.relu(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Returns()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 20), torch.randn(16, 3)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 warning: relu ends the model and gives 0 to any number, so targets in any number cannot be met
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Ages(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 24)
            self.second = nn.Linear(24, 1)

        def forward(self, x):
            return torch.tanh(self.second(torch.relu(self.first(x)))).squeeze(1)


    def train(steps=100):
        model = Ages()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, age = torch.randn(16, 20), torch.randint(0, 90, (16,)).float()
            optimizer.zero_grad()
            loss = F.l1_loss(model(x), age)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 warning: tanh ends the model and gives -1 to 1, so targets in 0 to 89 cannot be met
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Species(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 24)
            self.second = nn.Linear(24, 5)

        def forward(self, x):
            return torch.sigmoid(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Species()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 20), torch.randint(0, 5, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 warning: sigmoid bounds the scores that cross_entropy takes as logits, so no class can become likely
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Passed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 24)
            self.second = nn.Linear(24, 1)

        def forward(self, x):
            return F.softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Passed()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 20), torch.rand(16, 1).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 warning: softmax is taken over one unit, so the prediction is always 1
    ```

Good: targets in the range of the activation.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Depths(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 24)
            self.second = nn.Linear(24, 3)

        def forward(self, x):
            return torch.relu(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Depths()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 20), 10 * torch.rand(16, 3)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Scaled into the targets' range.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Angles(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 24)
            self.second = nn.Linear(24, 1)

        def forward(self, x):
            return 90 * torch.tanh(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Angles()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 20), 180 * torch.rand(16, 1) - 90
            optimizer.zero_grad()
            loss = F.smooth_l1_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An actor's tanh, which its environment reads too.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Actor(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.Linear(6, 2)
            self.judge = nn.Linear(8, 1)

        def forward(self, x):
            action = torch.tanh(self.act(x))
            return action, self.judge(torch.cat([x, action], dim=1))


    def train(steps=100):
        model = Actor()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, shown = torch.randn(16, 6), torch.randn(16, 2)
            optimizer.zero_grad()
            action, value = model(x)
            loss = F.mse_loss(action, shown) - 0.1 * value.mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An encoder's ReLU.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Code(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(20, 8)
            self.decode = nn.Linear(8, 20)

        def forward(self, x):
            code = torch.relu(self.encode(x))
            return code, self.decode(code)


    def train(steps=100):
        model = Code()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(16, 20)
            optimizer.zero_grad()
            code, back = model(x)
            loss = F.mse_loss(back, x) + 0.1 * F.l1_loss(code, torch.zeros_like(code))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

One sigmoid for each of several labels.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Labels(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 24)
            self.second = nn.Linear(24, 5)

        def forward(self, x):
            return torch.sigmoid(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Labels()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 20), torch.rand(16, 5).round()
            optimizer.zero_grad()
            loss = F.binary_cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: the model never predicts negative values; regression output is always zero or positive; predictions saturate
at 1; loss stuck with sigmoid and CrossEntropyLoss; softmax output is always 1; IndexError: Target 9 is out of bounds
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradlint.analysis.domains import Domain
from gradlint.analysis.learning import takes_part
from gradlint.analysis.losses import (
    CATEGORICAL,
    REGRESSION,
    Loss,
    activation,
    classes,
    is_exchanged,
    is_used_elsewhere,
    losses,
    other_place,
    place,
)
from gradlint.analysis.values_of import domain
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, user_frame

RANGED = ("relu", "relu6", "tanh", "sigmoid", "hardsigmoid", "hardtanh", "softplus", "softmax", "softsign")
PROBABLE = ("sigmoid", "hardsigmoid")
TOLERANCE = 1e-6


class OutputActivationMismatch(GraphRule):
    code = "GL605"
    severity = Severity.WARNING
    message = "{what}, so {why}"
    advice = "choose the last activation by the targets: none for any number, softmax for one class"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, *REGRESSION):
            yield from self.out_of_range(graph, loss)
        for loss in losses(graph, *CATEGORICAL):
            yield from self.too_few(graph, loss)
        for loss in losses(graph, "cross_entropy", "binary_cross_entropy_with_logits"):
            yield from self.bounded_scores(graph, loss)
        for loss in losses(graph, *REGRESSION, "nll_loss", "binary_cross_entropy"):
            yield from self.one_unit(graph, loss)

    def out_of_range(self, graph: ModelGraph, loss: Loss) -> Iterator[Finding]:
        """A regression whose last activation cannot give what the file's targets hold."""
        made = activation(graph, loss.prediction)
        if made.op not in RANGED or loss.target is None or not takes_part(graph, made):
            return
        given, wanted = domain(graph, loss.prediction), domain(graph, loss.target)
        if given.known and wanted.known and not _covers(given, wanted) and not is_used_elsewhere(graph, made, loss):
            what = f"{made.op} ends the model and gives {_shown(given)}"
            yield self.said(graph, made, loss, what, f"targets in {_shown(wanted)} cannot be met")

    def too_few(self, graph: ModelGraph, loss: Loss) -> Iterator[Finding]:
        """A classifier with fewer units than the file has labels."""
        count = classes(loss.prediction)
        if count is None or count == 1 or loss.target is None or not _is_whole(loss.target):
            return
        labels = domain(graph, loss.target)
        if labels.known and math.isfinite(labels.high) and labels.high >= count and not is_exchanged(graph, loss):
            what = f"labels reach {labels.high:.0f} and the model has {count} units"
            yield self.said(graph, loss.call, loss, what, "the loss raises for the classes that have none")

    def bounded_scores(self, graph: ModelGraph, loss: Loss) -> Iterator[Finding]:
        """A probability of something else where scores are wanted."""
        made = activation(graph, loss.prediction)
        wrong = PROBABLE if loss.call.op == "cross_entropy" else ("softmax",)
        if made.op in wrong and takes_part(graph, made) and not is_exchanged(graph, loss):
            what = f"{made.op} bounds the scores that {loss.call.op} takes as logits"
            yield self.said(graph, made, loss, what, "no class can become likely")

    def one_unit(self, graph: ModelGraph, loss: Loss) -> Iterator[Finding]:
        """Softmax over an axis of one unit."""
        made = activation(graph, loss.prediction)
        if made.op == "softmax" and _is_constant(made) and takes_part(graph, made):
            yield self.said(graph, made, loss, "softmax is taken over one unit", "the prediction is always 1")

    def said(self, graph: ModelGraph, made: Node, loss: Loss, what: str, why: str) -> Finding:
        """The finding at the activation, or at the loss for one that a container called."""
        itself = made is loss.call
        return self.found(
            user_frame(made) if itself else place(graph, made, loss),
            path=graph.model.path,
            related=() if itself else other_place(graph, made, loss),
            extra={"model": graph.model.name},
            what=what,
            why=why,
        )


def _covers(given: Domain, wanted: Domain) -> bool:
    return wanted.inside(given.low - TOLERANCE, given.high + TOLERANCE)


def _shown(values: Domain) -> str:
    low = "any number" if values.low == -math.inf else f"{values.low:g}"
    high = "any number" if values.high == math.inf else f"{values.high:g}"
    if low == high:
        return low
    return f"{low} to {high}"


def _is_whole(node: Node) -> bool:
    return node.dtype is not None and node.dtype.startswith("int")


def _is_constant(made: Node) -> bool:
    axis = made.literals.get("dim", made.literals.get("1"))
    shape = made.shape
    if shape is None or not isinstance(axis, int) or len(shape) < 2 or axis in (0, -len(shape)):
        return False
    return -len(shape) <= axis < len(shape) and shape[axis] == 1
