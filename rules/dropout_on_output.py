"""A dropout behind the last weight layer zeroes predictions at random.

Dropout keeps hidden units from relying on each other. On logits or on a regression's result there is nothing left to
do so: a share p of the outputs becomes 0 and the rest grows by 1 / (1 - p), and the loss is computed on that.

Bad:

    ```python
    import torch
    from torch import nn


    class Intents(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(32, 48)
            self.out = nn.Linear(48, 9)
            self.dropout = nn.Dropout(0.5)

        def forward(self, x):
            return self.dropout(self.out(torch.relu(self.hidden(x))))


    def train(steps=100):
        model = Intents()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 32), torch.randint(0, 9, (8,))
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 warning: dropout behind the last weight layer sets predictions to zero at random, which the loss then judges
    ```

    ```python
    import torch
    from torch import nn


    def train(steps=100):
        model = nn.Sequential(
            nn.Linear(12, 24),
            nn.ReLU(),
            nn.Linear(24, 1),
            nn.Dropout(0.1),
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 12), torch.randn(8)
            optimizer.zero_grad()
            loss = ((model(x).squeeze(1) - y) ** 2).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    10:9 warning: dropout behind the last weight layer sets predictions to zero at random, which the loss then judges
    ```

Good: dropout before the last layer.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(32, 48)
            self.out = nn.Linear(48, 9)

        def forward(self, x):
            return self.out(F.dropout(torch.relu(self.hidden(x)), 0.3, self.training))


    def train(steps=100):
        model = Hidden()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 32), torch.randint(0, 9, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An encoder whose result another layer reads, and a residual branch.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Branch(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(width, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, width), nn.Dropout(0.1)
            )

        def forward(self, x):
            return x + self.layers(x)


    def train(steps=100):
        body, head = Branch(), nn.Linear(16, 3)
        optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 16), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(head(body(x)), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: training loss is far above validation loss; dropout on logits; some predictions are exactly zero while
training; regression output is 0; loss is noisy
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.learning import learning
from gradlint.analysis.norms import built_at, drops, is_kind, parameters_of
from gradlint.finding import Finding, Severity
from gradlint.graph import Frame, ModelGraph, Node
from gradlint.rule import GraphRule

COMPARED = (
    ops.Kind.ACTIVATION,
    ops.Kind.CAST,
    ops.Kind.ELEMENTWISE,
    ops.Kind.INDEXING,
    ops.Kind.POOL,
    ops.Kind.RESHAPE,
    ops.Kind.REDUCTION,
    ops.Kind.LOSS,
)
"""What stands between a prediction and its loss, and between a prediction and its weight layer."""

WEIGHTED = (ops.Kind.LINEAR, ops.Kind.CONV)


class DropoutOnOutput(GraphRule):
    code = "GL507"
    severity = Severity.WARNING
    message = "dropout behind the last weight layer sets predictions to zero at random, which the loss then judges"
    advice = "put the dropout before the last layer"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        if graph.model.reach_at != "loss":
            return
        said: set[Frame | None] = set()
        for node in _last_dropouts(graph):
            place = built_at(graph, node)
            if place not in said and _drops_prediction(graph, node):
                said.add(place)
                extra = {"model": graph.model.name, "module": node.module or None}
                yield self.found(place, path=graph.model.path, extra=extra)


def _last_dropouts(graph: ModelGraph) -> Iterator[Node]:
    """The dropouts whose result the loss is computed of, one learning value at a time; sums of losses part the ways."""
    waiting, seen = [*graph.model.targets], set(graph.model.targets)
    while waiting:
        node = graph.node(waiting.pop())
        if drops(node):
            yield node
        elif is_kind(node, *COMPARED):
            before = _learning_sources(graph, node)
            fresh = before if _is_number(node) or (len(before) == 1 and not _mixes_in_model(graph, node)) else []
            waiting += [source for source in fresh if source not in seen]
            seen.update(fresh)


def _learning_sources(graph: ModelGraph, node: Node) -> list[int]:
    return [edge.source for edge in graph.incoming(node.id) if edge.open and edge.source in learning(graph)]


def _mixes_in_model(graph: ModelGraph, node: Node) -> bool:
    """Whether a model joins two values in its forward, as a skip connection does."""
    made = [edge.source for edge in graph.incoming(node.id) if graph.node(edge.source).shape != ()]
    return len(made) > 1 and node.id in graph.reaching(graph.model.outputs)


def _is_number(node: Node) -> bool:
    return node.shape == ()


def _drops_prediction(graph: ModelGraph, dropout: Node) -> bool:
    """Whether a dropout takes what one weight layer made; activations and views may stand between."""
    node = dropout
    while drops(node) or is_kind(node, ops.Kind.ACTIVATION, ops.Kind.RESHAPE, ops.Kind.CAST):
        before = _learning_sources(graph, node)
        if len(before) != 1:
            return False
        node = graph.node(before[0])
    return is_kind(node, *WEIGHTED) and any(len(p.shape) > 1 for p in parameters_of(graph, node))
