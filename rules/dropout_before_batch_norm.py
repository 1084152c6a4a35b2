"""A batch norm right behind a dropout normalises by a variance that evaluation does not have.

In training, dropout raises the variance of what it lets through by 1 / (1 - p); batch norm learns that variance as its
running statistic. In evaluation dropout is off, the variance is smaller, and the running statistic no longer fits (Li
et al. 2019, "variance shift").

Bad:

    ```python
    from torch import nn


    class Fraud(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(28, 64),
                nn.ReLU(),
                nn.Dropout(0.3),
                nn.BatchNorm1d(64),
                nn.Linear(64, 2),
            )

        def forward(self, x):
            return self.layers(x)
    ```

    ```text
    11:13 note: a batch norm behind a dropout learns a variance that evaluation does not have
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tones(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 8, 5, bias=False)
            self.norm = nn.BatchNorm1d(8)
            self.out = nn.Linear(8, 3)

        def forward(self, sound):
            x = F.dropout(self.conv(sound), 0.2, self.training)
            return self.out(torch.relu(self.norm(x)).mean(dim=2))
    ```

    ```text
    15:36 note: a batch norm behind a dropout learns a variance that evaluation does not have
    ```

Good: dropout behind the norm.

    ```python
    from torch import nn


    class Behind(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(28, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 2)
            )

        def forward(self, x):
            return self.layers(x)
    ```

A dropout that is switched off, and a layer norm, which keeps no running statistic.

    ```python
    import torch
    from torch import nn


    class Off(nn.Module):
        def __init__(self, rate=0.0):
            super().__init__()
            self.first = nn.Sequential(nn.Linear(28, 64), nn.ReLU(), nn.Dropout(rate), nn.BatchNorm1d(64))
            self.second = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.LayerNorm(64))
            self.out = nn.Linear(64, 2)

        def forward(self, x):
            return self.out(self.second(self.first(x)))
    ```

Symptoms: validation accuracy drops in eval mode; dropout and batch norm together are worse than either; order of
dropout and batch normalization; variance shift
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.norms import BATCH_NORM, drops, is_kind, normalised, standardises
from gradlint.analysis.signals import written_at
from gradlint.finding import Finding, Severity
from gradlint.graph import Frame, ModelGraph, Node
from gradlint.rule import GraphRule, related_at

BETWEEN = (ops.Kind.ACTIVATION, ops.Kind.RESHAPE, ops.Kind.CAST)


class DropoutBeforeBatchNorm(GraphRule):
    code = "GL506"
    severity = Severity.NOTE
    message = "a batch norm behind a dropout learns a variance that evaluation does not have"
    advice = "put the dropout behind the norm and its activation"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        said: set[Frame | None] = set()
        for node in graph.nodes:
            dropout = _dropped(graph, node) if node.op == BATCH_NORM and standardises(node) else None
            place = written_at(graph, node) if dropout is not None else None
            if dropout is not None and place not in said:
                said.add(place)
                yield self._said(graph, place, dropout, node)

    def _said(self, graph: ModelGraph, place: Frame | None, dropout: Node, norm: Node) -> Finding:
        return self.found(
            place,
            path=graph.model.path,
            related=related_at(written_at(graph, dropout), "the dropout"),
            extra={"model": graph.model.name, "module": norm.module or None},
        )


def _dropped(graph: ModelGraph, norm: Node) -> Node | None:
    """The dropout right before a norm; activations and views may stand between."""
    node = normalised(graph, norm)
    while node is not None and is_kind(node, *BETWEEN):
        node = normalised(graph, node)
    return node if node is not None and drops(node) else None
