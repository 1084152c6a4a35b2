"""The data are changed in place in every pass of the loop.

A dataset is read again in each epoch. What one epoch writes into it in place, the next one finds there: targets that
are divided by 100 in the loop are divided by 10,000 in the second epoch, and noise that is added to the inputs piles
up. The same happens in `__getitem__`, where the row of a tensor, or of an array behind `from_numpy`, is a view of the
data and no copy.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(epochs=3):
        model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        x, y = torch.randn(32, 5), torch.rand(32, 1) * 100
        for _ in range(epochs):
            y /= 100
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    11:9 note: this changes the data in place in every pass, so each epoch begins with what the last one left
    ```

Good: a new tensor in every pass, or one change before the loop.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(epochs=3):
        model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        x, y = torch.randn(32, 5), torch.rand(32, 1) * 100
        y /= 100
        for _ in range(epochs):
            noisy = x.clone()
            noisy += 0.1 * torch.randn_like(x)
            optimizer.zero_grad()
            loss = F.mse_loss(model(noisy), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

What the program learns or counts itself: a centre that follows the outputs, a state that a loop carries on.

    ```python
    import torch
    from torch import nn


    def train(steps=3):
        model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 4))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        centre = torch.zeros(4)
        for _ in range(steps):
            out = model(torch.randn(32, 5))
            loss = ((out - centre) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            centre.mul_(0.9).add_(0.1 * out.detach().mean(dim=0))


    if __name__ == "__main__":
        train()
    ```

Symptoms: the loss changes from epoch to epoch though the learning rate is 0; targets shrink or grow in training; the
first epoch is fine and the later ones are not; the numpy array changes too; __getitem__ modifies the dataset
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.norms import is_kind
from gradlint.analysis.operands import history, inputs, once
from gradlint.analysis.signals import FILLED
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.rule import GraphRule, user_frame

CHANGING = frozenset(
    {"add", "sub", "mul", "div", "neg", "pow", "log", "log1p", "sqrt", "square", "exp", "floor_divide"}
)
"""Writes that make something else of the old content at every call."""

FAR = 40
"""Views and writes behind one another that are looked at."""


class InPlaceTarget(GraphRule):
    code = "GL902"
    severity = Severity.NOTE
    message = "this changes the data in place in every pass, so each epoch begins with what the last one left"
    advice = "make a new tensor of them, or change them once before the loop"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        if graph.model.reach_at != "loss":
            return
        for node in once(node for node in graph.nodes if _is_repeated(graph, node) and _is_data(graph, node)):
            yield self.found(user_frame(node), path=graph.model.path, extra={"model": graph.model.name})


def _is_repeated(graph: ModelGraph, node: Node) -> bool:
    """Whether the same line wrote into the same memory before."""
    if not node.inplace or node.op not in CHANGING or node.id not in graph.useful:
        return False
    before = _memory(graph, node)
    for _ in range(FAR):
        if before is None or (before.inplace and before.op == node.op and before.frames == node.frames):
            return before is not None
        before = _memory(graph, before)
    return False


def _memory(graph: ModelGraph, node: Node) -> Node | None:
    """The value whose memory a write or a view has."""
    shares = node.inplace or is_kind(node, ops.Kind.INDEXING, ops.Kind.RESHAPE)
    return next(iter(inputs(graph, node)), None) if shares else None


def _is_data(graph: ModelGraph, node: Node) -> bool:
    """Whether a value came from outside of all models, and was not begun by the program as zeros to be filled."""
    behind = list(history(graph, node))
    began = [one for one in behind if not any(graph.incoming(one.id))]
    learnt = any(one.kind is NodeKind.PARAMETER or one.literals.get("requires_grad") for one in behind)
    return not learnt and not any(one.op in FILLED for one in began)
