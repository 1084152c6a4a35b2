"""A batch norm is trained on batches of fewer than four items.

Batch norm normalises by the mean and variance of its batch. Of two or three items these are mostly noise: the error
of a ResNet-50 rises by ten points at a batch of two (Wu and He 2018), and the running statistic that evaluation uses
fits no batch. Gradient accumulation does not help. Group norm and layer norm do not look at the batch.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset


    class Volumes(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(1, 8, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm3d(8)
            self.out = nn.Linear(8, 2)

        def forward(self, volume):
            return self.out(torch.relu(self.norm(self.conv(volume))).mean(dim=(2, 3, 4)))


    def train(epochs=2):
        model = Volumes()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = TensorDataset(torch.randn(16, 1, 4, 4, 4), torch.randint(0, 2, (16,)))
        for _ in range(epochs):
            for volume, label in DataLoader(data, batch_size=2, shuffle=True):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(volume), label)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    10:21 warning: batch norm is trained on batches of 2, whose mean and variance are mostly noise
    ```

Good: a group norm.

    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset


    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(1, 8, 3, padding=1, bias=False)
            self.norm = nn.GroupNorm(2, 8)
            self.out = nn.Linear(8, 2)

        def forward(self, volume):
            return self.out(torch.relu(self.norm(self.conv(volume))).mean(dim=(2, 3, 4)))


    def train(epochs=2):
        model = Grouped()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = TensorDataset(torch.randn(16, 1, 4, 4, 4), torch.randint(0, 2, (16,)))
        for _ in range(epochs):
            for volume, label in DataLoader(data, batch_size=2, shuffle=True):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(volume), label)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A large batch, and a small one where nothing is trained.

    ```python
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset


    def train(epochs=2):
        model = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = TensorDataset(torch.randn(64, 12), torch.randint(0, 2, (64,)))
        for _ in range(epochs):
            model.train()
            for x, y in DataLoader(data, batch_size=16, shuffle=True):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                hits = [(model(x).argmax(dim=1) == y).item() for x, y in DataLoader(data, batch_size=1)]
            print(sum(hits))


    if __name__ == "__main__":
        train()
    ```

Symptoms: batch norm with batch size 1 or 2; validation loss jumps while training loss falls; model.eval() gives much
worse results than model.train(); small batch segmentation or detection training is unstable
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gradlint import ops
from gradlint.analysis.norms import BATCH_NORM, is_kind, parameters_of, standardises
from gradlint.finding import Finding, Severity
from gradlint.graph import Frame, ModelGraph, Node, NodeKind
from gradlint.rule import GraphRule
from gradlint.training import EventKind

READ = "source"
"""How a program is captured whose sizes are its own: a recording may run on fewer items."""

LOADER = "DataLoader"
REARRANGING = (ops.Kind.RESHAPE, ops.Kind.INDEXING, ops.Kind.JOIN)
KEEPING = frozenset({"flatten", "unsqueeze", "squeeze"})
"""Ops that leave the batch axis alone, as they are mostly used."""

BEHIND_BATCH = {"flatten": ("1", "start_dim")}


class SmallBatchNorm(GraphRule):
    code = "GL504"
    severity = Severity.WARNING
    message = "batch norm is trained on batches of {size}, whose mean and variance are mostly noise"
    advice = "use nn.GroupNorm or nn.LayerNorm, or a larger batch"
    smallest: int = Field(4, ge=1, description="Smallest accepted batch.")

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        if graph.model.capture != READ or graph.model.reach_at != "loss" or _is_at_rest(graph):
            return
        for node in graph.nodes:
            size = _batch(graph, node) if _is_trained(graph, node) else None
            if size is not None and size < self.smallest:
                extra = {"model": graph.model.name, "module": node.module or None}
                yield self.found(_place(graph, node), path=graph.model.path, size=size, extra=extra)
                return


def _is_trained(graph: ModelGraph, node: Node) -> bool:
    """Whether a node is a batch norm in training, of this process' batch alone, whose scale learns."""
    if node.op != BATCH_NORM or not standardises(node) or node.literals.get("synchronised"):
        return False
    return node.id in graph.useful and all(parameter.trainable for parameter in parameters_of(graph, node))


def _is_at_rest(graph: ModelGraph) -> bool:
    """Whether some part is put into evaluation mode that is not put back as it was."""
    events = graph.training.anywhere(EventKind.EVAL, EventKind.TRAIN) if graph.training else ()
    back = {event.parameters for event in events if event.kind is EventKind.TRAIN}
    return any(event.kind is EventKind.EVAL and event.parameters not in back for event in events)


def _batch(graph: ModelGraph, norm: Node) -> int | None:
    """The size of the batches that a norm sees; None where it is not known, or not one."""
    behind = graph.reaching([norm.id])
    sizes = {graph.node(n).literals.get("batch_size") for n in behind if graph.node(n).native == LOADER}
    if not sizes:
        return norm.shape[0] if norm.shape else None
    if len(sizes) != 1 or not all(isinstance(size, int) for size in sizes):
        return None
    between = behind & graph.reached(n for n in behind if graph.node(n).native == LOADER)
    kept = all(_keeps_batch(graph.node(n)) for n in between)
    return sizes.pop() if kept else None


def _keeps_batch(node: Node) -> bool:
    if node.kind is NodeKind.OPAQUE:
        return False
    if node.kind is not NodeKind.OP or not is_kind(node, *REARRANGING):
        return True
    first = next((node.literals[key] for key in BEHIND_BATCH.get(node.native, ()) if key in node.literals), 1)
    return node.native in KEEPING and first != 0


def _place(graph: ModelGraph, norm: Node) -> Frame | None:
    """Where the norm's layer was built, else where it is called."""
    made = (parameter.made for parameter in parameters_of(graph, norm))
    return next((frame for frame in made if frame is not None), None) or norm.at
