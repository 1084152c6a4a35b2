"""He initialisation fills a weight whose output goes into a tanh, sigmoid or softsign.

He (Kaiming) initialisation doubles the variance to make up for the half of the signal that ReLU cuts off (He et al.
2015). A saturating activation cuts off nothing: it gets pre-activations that are too large, and where it is flat its
gradient vanishes. For tanh torch's own gain (5/3) is larger still, so that this is a note.

Bad:

    ```python
    import torch
    from torch import nn


    class Policy(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.first = nn.Linear(11, width)
            self.second = nn.Linear(width, width)
            self.mean = nn.Linear(width, 3)
            for layer in (self.first, self.second):
                nn.init.kaiming_normal_(layer.weight)

        def forward(self, state):
            return self.mean(torch.tanh(self.second(torch.tanh(self.first(state)))))
    ```

    ```text
    12:13 note: `kaiming_normal_` is made for ReLU, so 2 weights before `tanh` make it saturate
    ```

    ```python
    from torch import nn


    def initialise(module):
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_uniform_(module.weight, mode="fan_out", nonlinearity="relu")


    class Pulse(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv1d(1, 8, 5), nn.Sigmoid(), nn.Conv1d(8, 8, 5), nn.Softsign())
            self.out = nn.Conv1d(8, 1, 1)
            self.apply(initialise)

        def forward(self, signal):
            return self.out(self.layers(signal))
    ```

    ```text
    6:9 note: `kaiming_uniform_` is made for ReLU, so 2 weights before `sigmoid` make it saturate
    ```

Good: a norm layer stands between.

    ```python
    import torch
    from torch import nn


    class Normalised(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.first = nn.Linear(11, width)
            self.norm = nn.LayerNorm(width)
            self.out = nn.Linear(width, 3)
            nn.init.kaiming_normal_(self.first.weight)

        def forward(self, state):
            return self.out(torch.tanh(self.norm(self.first(state))))
    ```

A gain that was chosen for tanh, and ReLU before the last layer's sigmoid.

    ```python
    import torch
    from torch import nn


    class Chosen(nn.Module):
        def __init__(self, width=64):
            super().__init__()
            self.first = nn.Linear(11, width)
            self.second = nn.Linear(width, width)
            self.out = nn.Linear(width, 3)
            nn.init.kaiming_normal_(self.first.weight, nonlinearity="tanh")
            nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
            nn.init.kaiming_normal_(self.out.weight)

        def forward(self, state):
            return torch.sigmoid(self.out(torch.relu(self.second(torch.tanh(self.first(state))))))
    ```

Symptoms: tanh units saturate at the start of training; which initialisation for tanh or sigmoid; Xavier or He
(Kaiming, Glorot); activations are all near 1 and -1; slow start of a policy network
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.gradient_path import affected, counted
from gradlint.analysis.norms import is_kind
from gradlint.analysis.structure import Layer, Run, initialised_by, is_saturating, runs
from gradlint.finding import Finding, Severity
from gradlint.graph import Frame, Initialisation, ModelGraph, Node
from gradlint.rule import GraphRule

HE = frozenset({"kaiming_uniform_", "kaiming_normal_"})
SLOPE, NONLINEARITY = ("a", "0"), ("nonlinearity", "2")
"""Arguments of the initialiser by keyword, and by their position behind the tensor."""

RECTIFIERS = frozenset({"relu", "leaky_relu"})
LARGEST_SLOPE = 0.5
"""Up to this slope of a leaky ReLU the gain is above 1.25; `a=math.sqrt(5)`, torch's own default, makes it 0.6."""

KEEPS_SCALE = (ops.Kind.RESHAPE, ops.Kind.CAST, ops.Kind.DROPOUT, ops.Kind.PADDING, ops.Kind.POOL)
GATING = "mul"


class HeBeforeSaturating(GraphRule):
    code = "GL302"
    severity = Severity.NOTE
    message = "`{function}` is made for ReLU, so {count} before `{activation}` make it saturate"
    advice = "use nn.init.xavier_uniform_ or xavier_normal_"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        groups: dict[Frame | None, list[tuple[Initialisation, Layer, Node]]] = {}
        for layer in (layer for run in runs(graph) for layer in _hidden(graph, run)):
            call, activation = initialised_by(layer.weight), _first_activation(layer)
            if call is not None and activation is not None and _is_he(call) and is_saturating(activation):
                groups.setdefault(call.frame, []).append((call, layer, activation))
        for group in groups.values():
            yield self._said(graph, group)

    def _said(self, graph: ModelGraph, group: list[tuple[Initialisation, Layer, Node]]) -> Finding:
        call, _, activation = group[0]
        weights = tuple({layer.weight.name: layer.weight for _, layer, _ in group}.values())
        return self.found(
            call.frame,
            path=graph.model.path,
            function=call.name,
            count=counted(weights, "weight"),
            activation=activation.op,
            extra=affected(graph.model, weights),
        )


def _hidden(graph: ModelGraph, run: Run) -> tuple[Layer, ...]:
    """The layers that another one follows; a gate scales what another layer made."""
    last = run.layers[-1]
    ahead = (graph.node(e.target) for step in last.saturating for e in graph.outgoing(step.id))
    return run.layers if run.followed and not any(node.op == GATING for node in ahead) else run.layers[:-1]


def _is_he(call: Initialisation) -> bool:
    """Whether a call has the gain of ReLU, about the square root of 2."""
    if call.name not in HE:
        return False
    slope = next((call.arguments[key] for key in SLOPE if key in call.arguments), 0)
    meant = next((call.arguments[key] for key in NONLINEARITY if key in call.arguments), "leaky_relu")
    flat = isinstance(slope, (int, float)) and slope <= LARGEST_SLOPE
    return meant in RECTIFIERS and (meant == "relu" or flat)


def _first_activation(layer: Layer) -> Node | None:
    """The activation that a weight's output comes to, before anything that rescales it."""
    for step in layer.steps:
        if is_kind(step, ops.Kind.ACTIVATION) or is_saturating(step):
            return step
        if not (is_kind(step, *KEEPS_SCALE) or step.op == "add"):
            return None
    return None
