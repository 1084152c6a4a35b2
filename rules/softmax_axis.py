"""A softmax is taken over the wrong axis.

Over an axis of size 1 it is always 1, whatever the scores, and no gradient comes back. Over the batch axis the samples
of a batch compete with each other: the loss may fall, but a prediction depends on its neighbours. Without `dim` torch
chooses by the number of axes (0 for one or three, else 1) and says so in a warning.

Bad:

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Pool(nn.Module):
        def __init__(self, width=24, states=4):
            super().__init__()
            self.score = nn.Linear(width, 1)
            self.out = nn.Linear(width, states)

        def forward(self, windows):
            weights = F.softmax(self.score(windows), dim=-1)
            return self.out((weights * windows).sum(dim=1))


    def gradlint_inputs():
        return torch.randn(3, 10, 24)
    ```

    ```text
    13:19 warning: softmax: over an axis of size 1 it is 1, whatever the scores
    ```

    ```python
    import torch
    from torch import nn


    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(1, 8, 3, stride=2),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(8 * 13 * 13, 10),
                nn.LogSoftmax(dim=0),
            )

        def forward(self, image):
            return self.layers(image)


    def gradlint_inputs():
        return torch.randn(4, 1, 28, 28)
    ```

    ```text
    13:13 warning: log_softmax: over the batch axis the samples of a batch compete with each other
    ```

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Species(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(4, 16)
            self.out = nn.Linear(16, 3)

        def forward(self, x):
            return F.softmax(self.out(torch.relu(self.hidden(x))))
    ```

    ```text
    13:16 warning: softmax: the axis is left implicit, so it depends on how many there are
    ```

Good: over the windows, which have one score each.

    ```python
    import torch
    import torch.nn.functional as F
    from torch import nn


    class Pooled(nn.Module):
        def __init__(self, width=24, states=4):
            super().__init__()
            self.score = nn.Linear(width, 1)
            self.out = nn.Linear(width, states)

        def forward(self, windows):
            weights = F.softmax(self.score(windows), dim=1)
            return self.out((weights * windows).sum(dim=1))


    def gradlint_inputs():
        return torch.randn(3, 10, 24)
    ```

Over the instances of one bag, and over mixing weights that have no batch.

    ```python
    import torch
    from torch import nn


    class Bag(nn.Module):
        def __init__(self, width=24):
            super().__init__()
            self.score = nn.Linear(width, 1)
            self.mix = nn.Parameter(torch.zeros(2, 1))
            self.out = nn.Linear(width, 2)

        def forward(self, instances):
            weights = torch.softmax(self.score(instances), dim=0)
            bag = (weights * instances).sum(dim=0)
            first, second = torch.softmax(self.mix, dim=0)
            return first * self.out(bag) + second * self.out(instances.mean(dim=0))


    def gradlint_inputs():
        return torch.randn(12, 24)
    ```

Over the classes.

    ```python
    import torch
    from torch import nn


    class Classes(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3, padding=1)
            self.softmax = nn.Softmax(dim=1)

        def forward(self, image):
            return self.softmax(self.conv(image))


    def gradlint_inputs():
        return torch.randn(2, 3, 8, 8)
    ```

Symptoms: softmax output is always 1; implicit dimension choice for softmax has been deprecated; probabilities do not
sum to 1; attention weights are all ones; predictions depend on the batch size
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.activations import SOFTMAX, activations, is_weighing
from gradlint.analysis.axes import Origin, is_judged_by_class, origin_of
from gradlint.analysis.operands import inputs, literal
from gradlint.analysis.signals import written_at
from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule

DIM = "dim"
WHY = {
    Origin.ONE: "over an axis of size 1 it is {always}, whatever the scores",
    Origin.BATCH: "over the batch axis the samples of a batch compete with each other",
    Origin.UNKNOWN: "the axis is left implicit, so it depends on how many there are",
}


class SoftmaxAxis(GraphRule):
    code = "GL407"
    severity = Severity.WARNING
    message = "{op}: {why}"
    advice = "give the axis of the classes or of the attended positions as `dim`"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        said: set[Frame | None] = set()
        for node in activations(graph):
            why = _fault(graph, node) if node.op in SOFTMAX else None
            place = written_at(graph, node) if why is not None else None
            if why is not None and place not in said:
                said.add(place)
                yield self._said(graph, node, place, why)

    def _said(self, graph: ModelGraph, node: Node, place: Frame | None, why: Origin) -> Finding:
        always = "0" if node.op == "log_softmax" else "1"
        return self.found(
            place,
            path=graph.model.path,
            op=node.op,
            why=WHY[why].format(always=always),
            extra={"model": graph.model.name, "module": node.module or None},
        )


def _fault(graph: ModelGraph, node: Node) -> Origin | None:
    """What is wrong with the axis of a softmax; `UNKNOWN` for one that nobody chose, None when nothing is."""
    axis = literal(node, 1, DIM)
    if axis is None:
        return Origin.UNKNOWN if DIM in node.literals else None
    read = inputs(graph, node)
    if not isinstance(axis, int) or not read:
        return None
    found = origin_of(graph, read[0], axis)
    if found is Origin.ONE:
        return found
    first = axis == 0 or (node.shape is not None and axis == -len(node.shape))
    batch = first and not is_weighing(graph, node) and (found is Origin.BATCH or is_judged_by_class(graph, node))
    return Origin.BATCH if batch else None
