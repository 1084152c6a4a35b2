"""A weight inside the network is initialised to a constant, so that all units of its layer are equal.

Units with equal weights compute equal outputs, and behind an equal start they get equal or nearly equal gradients: the
layer is one unit wide (Goodfellow et al. 2016, section 8.4). With zeros nothing passes the layer at all, and no
gradient comes back through it.

Bad:

    ```python
    from torch import nn


    class Price(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(13, 32)
            self.second = nn.Linear(32, 16)
            self.price = nn.Linear(16, 1)
            nn.init.constant_(self.first.weight, 0.05)
            nn.init.zeros_(self.second.weight)

        def forward(self, x):
            return self.price(self.second(self.first(x).relu()).relu())
    ```

    ```text
    10:9 error: `constant_` makes 1 weight inside the network constant, so that all units stay the same
    11:9 error: `zeros_` makes 1 weight inside the network constant, so that all units stay the same
    ```

    ```python
    import torch
    from torch import nn


    def start(module):
        if isinstance(module, nn.Conv2d):
            module.weight.data.fill_(0.01)


    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
            )
            self.mix = nn.Parameter(torch.ones(8, 6))
            self.head = nn.Linear(6, 2)
            self.layers.apply(start)

        def forward(self, image):
            return self.head(torch.tanh(self.layers(image).mean(dim=(2, 3)) @ self.mix))
    ```

    ```text
    7:9 error: `fill_` makes 2 weights inside the network constant, so that all units stay the same
    16:33 error: `ones` makes 1 weight inside the network constant, so that all units stay the same
    ```

    ```python
    import torch
    from torch import nn


    class Price(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(13, 32)
            self.second = nn.Linear(32, 16)
            self.price = nn.Linear(16, 1)
            with torch.no_grad():
                self.second.weight.copy_(torch.zeros_like(self.second.weight))

        def forward(self, x):
            return self.price(self.second(self.first(x).relu()).relu())
    ```

    ```text
    12:13 error: `copy_` makes 1 weight inside the network constant, so that all units stay the same
    ```

Good: biases, norms, and the last layer of a residual branch.

    ```python
    import torch
    from torch import nn


    class Zeroed(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.stem = nn.Linear(4, width)
            self.norm = nn.LayerNorm(width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.head = nn.Linear(width, 3)
            for layer in (self.stem, self.up):
                nn.init.zeros_(layer.bias)
            nn.init.ones_(self.norm.weight)
            nn.init.zeros_(self.down.weight)
            nn.init.zeros_(self.head.weight)

        def forward(self, x):
            x = torch.relu(self.stem(x))
            return self.head(x + self.down(torch.relu(self.up(self.norm(x)))))
    ```

The second factor of a low-rank update, and a gate.

    ```python
    import torch
    from torch import nn


    class Adapted(nn.Module):
        def __init__(self, width=16, rank=2):
            super().__init__()
            self.base = nn.Linear(width, width)
            self.down = nn.Parameter(torch.randn(rank, width) * 0.02)
            self.up = nn.Parameter(torch.zeros(width, rank))
            self.gate = nn.Linear(width, width)
            nn.init.zeros_(self.gate.weight)
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            x = self.base(x) + x @ self.down.T @ self.up.T
            return self.head(torch.relu(x) * torch.sigmoid(self.gate(x)))
    ```

A layer that starts as a constant and is drawn at random afterwards.

    ```python
    import torch
    from torch import nn


    class Redrawn(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.first = nn.Parameter(torch.zeros(4, width))
            self.second = nn.Linear(width, 2)
            nn.init.xavier_uniform_(self.first)

        def forward(self, x):
            return self.second(torch.tanh(x @ self.first))
    ```

Symptoms: all hidden units are the same; loss stays at the mean of the targets; network with zero initial weights does
not learn; symmetry is not broken; every row of the weight matrix is equal
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.gradient_path import affected, counted
from gradlint.analysis.norms import is_kind, normalised, parameters_of
from gradlint.analysis.structure import PASSED, WEIGHTED, Layer, Run, runs
from gradlint.finding import Finding, Severity
from gradlint.graph import Frame, Initialisation, ModelGraph, Parameter
from gradlint.rule import GraphRule

THROUGH = PASSED | {ops.Kind.NORM}
CONSTANT = frozenset(
    "zeros_ ones_ constant_ zero_ fill_ zeros ones full zeros_like ones_like full_like new_zeros new_ones".split()
)

TAKING = frozenset({"copy_", "set:data", "mul_", "set_"})
"""Writes that make a weight what another value is."""

ROUNDING = 1e-9
"""Share of the mean square that single precision leaves of a variance of zero."""


class ConstantWeight(GraphRule):
    code = "GL303"
    severity = Severity.ERROR
    message = "`{function}` makes {count} inside the network constant, so that all units stay the same"
    advice = "draw it at random: nn.init.kaiming_uniform_, xavier_uniform_ or trunc_normal_"
    needs_recording = True

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        groups: dict[Frame | None, dict[str, tuple[Initialisation, Parameter]]] = {}
        for layer in (layer for run in runs(graph, THROUGH) if not run.bypassed for layer in _inner(graph, run)):
            call = _constant(layer.weight)
            if call is not None and _has_units(layer):
                groups.setdefault(call.frame, {})[layer.weight.name] = (call, layer.weight)
        for found in groups.values():
            yield self._said(graph, list(found.values()))

    def _said(self, graph: ModelGraph, group: list[tuple[Initialisation, Parameter]]) -> Finding:
        weights = tuple(weight for _, weight in group)
        return self.found(
            group[0][0].frame,
            path=graph.model.path,
            function=group[0][0].name,
            count=counted(weights, "weight"),
            extra=affected(graph.model, weights),
        )


def _inner(graph: ModelGraph, run: Run) -> Iterator[Layer]:
    """The layers whose result goes into weights and nothing else."""
    yield from run.layers[:-1]
    last = run.layers[-1]
    end = last.steps[-1] if last.steps else last.node
    readers = [graph.node(edge.target) for edge in graph.outgoing(end.id) if edge.target in graph.useful]
    weighing = (is_kind(node, *WEIGHTED) and normalised(graph, node) == end for node in readers)
    if readers and all(weighing) and all(any(parameters_of(graph, node)) for node in readers):
        yield last


def _constant(weight: Parameter) -> Initialisation | None:
    """The user's own call that filled a weight last, when it made it constant: by its name, or as was measured."""
    last = weight.initialisations[-1] if weight.initialisations else None
    if last is None or last.library or not last.frame:
        return None
    return last if last.name in CONSTANT or (last.name in TAKING and _is_one_number(weight)) else None


def _is_one_number(weight: Parameter) -> bool:
    found = weight.moments
    return found is not None and found.square - found.mean**2 <= ROUNDING * found.square


def _has_units(layer: Layer) -> bool:
    """Whether a layer has several units that see the same inputs; a depthwise kernel's see one each."""
    depthwise = is_kind(layer.node, ops.Kind.CONV) and layer.weight.shape[1] == 1
    return min(layer.weight.shape[:2]) > 1 or (layer.weight.shape[0] > 1 and not depthwise)
