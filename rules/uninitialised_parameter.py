"""A parameter is made of memory that nothing fills.

`torch.empty` and `torch.Tensor(n, m)` hand out memory as it is: zeros today, 1e38 or NaN tomorrow. A parameter made of
it trains from whatever lies there, and no seed reproduces that.

Bad:

    ```python
    import torch
    from torch import nn


    class Relations(nn.Module):
        def __init__(self, width=16, count=4):
            super().__init__()
            self.project = nn.Linear(width, width)
            self.relation = nn.Parameter(torch.empty(count, width, width))

        def forward(self, head, tail):
            return torch.einsum("bi,rij,bj->br", self.project(head), self.relation, self.project(tail))


    def gradlint_inputs():
        return torch.randn(2, 16), torch.randn(2, 16)
    ```

    ```text
    9:25 error: nothing fills 1 parameter (`relation`) made of uninitialised memory, so training starts from any values
    ```

Good: filled later in the constructor, by a method of its own, or by a function that is applied.

    ```python
    import torch
    from torch import nn


    class Filled(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.first = nn.Parameter(torch.empty(width, width))
            self.second = nn.Parameter(torch.Tensor(width, width))
            self.third = nn.Parameter(torch.empty(width))
            nn.init.orthogonal_(self.first.data)
            self.reset_parameters()
            self.apply(self.shift)

        def reset_parameters(self):
            for row in range(self.second.shape[0]):
                self.second.data[row].normal_(0, 0.1)

        @staticmethod
        def shift(module):
            with torch.no_grad():
                module.third[:] = torch.linspace(0, 1, module.third.numel())

        def forward(self, x):
            return torch.relu(x @ self.first) @ self.second + self.third
    ```

Symptoms: loss is nan from the first step, but not always; results differ between runs with the same seed; parameter
has values like 1e-38; torch.empty parameter not initialized; torch.Tensor(n, m) contains garbage
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.gradient_path import affected, counted, listed
from gradlint.finding import Finding, Severity
from gradlint.graph import Frame, ModelGraph, Parameter
from gradlint.rule import GraphRule

UNFILLED = frozenset({"empty", "empty_like", "new_empty", "empty_strided"})


class UninitialisedParameter(GraphRule):
    code = "GL306"
    severity = Severity.ERROR
    message = "nothing fills {count} ({names}) made of uninitialised memory, so training starts from any values"
    advice = "call one of nn.init on it, or make it of torch.zeros or torch.randn"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        if not graph.model.closed:
            return
        groups: dict[Frame | None, list[Parameter]] = {}
        for parameter in graph.model.trainable:
            if _is_unfilled(parameter):
                groups.setdefault(parameter.made, []).append(parameter)
        for place, group in groups.items():
            names = tuple(group)
            extra = affected(graph.model, names)
            count = counted(names, "parameter")
            yield self.found(place, path=graph.model.path, count=count, names=listed(names), extra=extra)


def _is_unfilled(parameter: Parameter) -> bool:
    """Whether all that happened to a parameter's memory is its allocation, as far as the file goes."""
    calls = parameter.initialisations
    allocated = bool(calls) and all(call.name in UNFILLED and call.frame != parameter.made for call in calls)
    return allocated and parameter.elements > 0 and not parameter.filled_elsewhere
