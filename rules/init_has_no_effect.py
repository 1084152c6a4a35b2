"""An initialiser writes where no parameter sees it, or another one overwrites all that it wrote.

`weight.clone()`, `weight + 0` and `weight[[0, 1]]` are copies: what is written into them is gone with them, and the
layer keeps the default that its constructor drew. Of two initialisers of one weight the last one counts.

Bad:

    ```python
    import torch
    from torch import nn


    class Voice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(40, 64)
            self.second = nn.Linear(64, 1)
            for layer in (self.first, self.second):
                weight = layer.weight.data.clone()
                nn.init.kaiming_normal_(weight, nonlinearity="relu")

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))
    ```

    ```text
    12:13 warning: `kaiming_normal_` is written into a copy of a weight that nothing reads, so it has no effect
    ```

    ```python
    import torch
    from torch import nn


    def initialise(module):
        if isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")


    class Value(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 32)
            self.value = nn.Linear(32, 1)
            nn.init.normal_(self.value.weight, std=0.001)
            self.apply(initialise)

        def forward(self, x):
            return self.value(torch.relu(self.first(x)))
    ```

    ```text
    15:9 warning: `normal_` is overwritten by a later initialiser, so it has no effect
    ```

    ```python
    from torch import nn


    class Price(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(13, 32)
            self.price = nn.Linear(32, 1)
            self.first.weight.data.clone().normal_(0, 0.3)

        def forward(self, x):
            return self.price(self.first(x).relu())
    ```

    ```text
    9:9 warning: `normal_` is written into a copy of a weight that nothing reads, so it has no effect
    ```

Good: the parameter itself is filled, also through its data, and a copy that is put back.

    ```python
    import torch
    from torch import nn


    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(40, 64)
            self.second = nn.Linear(64, 64)
            self.third = nn.Linear(64, 1)
            nn.init.kaiming_normal_(self.first.weight.data, nonlinearity="relu")
            weight = self.second.weight.detach().clone()
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
            with torch.no_grad():
                self.second.weight.copy_(weight)

        def forward(self, x):
            return self.third(torch.relu(self.second(torch.relu(self.first(x)))))
    ```

Two parts of one parameter, each filled in its own way.

    ```python
    import torch
    from torch import nn


    class Relations(nn.Module):
        def __init__(self, width, relations, self_loop=True):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(relations + self_loop, width, width))
            end = -1 if self_loop else None
            nn.init.uniform_(self.weight[:end], -0.1, 0.1)
            if self_loop:
                nn.init.xavier_uniform_(self.weight[-1])

        def forward(self, x):
            return torch.relu(x @ self.weight[0]) + x @ self.weight[-1]


    def gradlint_model():
        return Relations(8, 3)


    def gradlint_inputs():
        return (torch.randn(4, 8),)
    ```

One rule for all layers, and then another one for the last.

    ```python
    import torch
    from torch import nn


    class Special(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 32)
            self.value = nn.Linear(32, 1)
            for part in self.modules():
                if isinstance(part, nn.Linear):
                    nn.init.kaiming_uniform_(part.weight, nonlinearity="relu")
            nn.init.normal_(self.value.weight, std=0.001)

        def forward(self, x):
            return self.value(torch.relu(self.first(x)))
    ```

Symptoms: changing the initialisation changes nothing; weights are still torch's default after init; kaiming_normal_ on
weight.clone(); custom init is overwritten by apply
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Finding, Related, Severity
from gradlint.graph import Frame, Initialisation, ModelGraph, Node, NodeKind, Parameter
from gradlint.rule import GraphRule, related_at, user_frame

RANDOM = frozenset(
    """uniform_ normal_ trunc_normal_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_ orthogonal_
    sparse_""".split()
)
FILLING = RANDOM | frozenset("constant_ zeros_ ones_ eye_ dirac_ zero_ fill_".split())
COPYING = frozenset(
    """clone to float half double cpu cuda contiguous get:data detach __getitem__ index_select get:T t transpose
    add mul __add__ __mul__""".split()
)
"""Calls whose result is a copy, or a view on the way to one."""

TAKING = frozenset({"copy_", "set:data", "__setitem__", "opaque", "add_", "set_"})
"""Writes that take the values of another tensor."""

COPIED = "is written into a copy of a weight that nothing reads, so it"
UNAPPLIED = "initialises weights and is never applied, so it"
OVERWRITTEN = "is overwritten by a later initialiser, so it"


class InitHasNoEffect(GraphRule):
    code = "GL307"
    severity = Severity.WARNING
    message = "`{function}` {why} has no effect"
    advice = "initialise the parameter itself, and let the initialiser that is meant come last"
    needs_recording = True

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        said = {call.frame for parameter in graph.model.parameters for call in parameter.initialisations}
        for node in graph.nodes if not _is_copied_into(graph) else ():
            place = user_frame(node)
            if place is not None and place not in said and _fills_copy(graph, node):
                said.add(place)
                yield self._said(graph, node.native, place, COPIED, ())
        yield from self._overwritten(graph)
        for call in graph.model.unapplied if graph.model.trained else ():
            if call.frame is not None:
                yield self._said(graph, call.name, call.frame, UNAPPLIED, ())

    def _overwritten(self, graph: ModelGraph) -> Iterator[Finding]:
        filled: dict[Frame, list[tuple[list[Initialisation], Initialisation]]] = {}
        built = frozenset(graph.model.built.values())
        for parameter in graph.model.parameters:
            own = list(_own(parameter, built))
            for call in own:
                assert call.frame is not None
                filled.setdefault(call.frame, []).append((own, call))
        for place, group in filled.items():
            later = [_later(own, call) for own, call in group]
            if all(later) and _is_of_model(graph, place):
                related = related_at(later[0].frame if later[0] else None, "the initialiser that counts")
                yield self._said(graph, group[0][1].name, place, OVERWRITTEN, related)

    def _said(self, graph: ModelGraph, function: str, place: Frame, why: str, related: tuple[Related, ...]) -> Finding:
        extra = {"model": graph.model.name}
        return self.found(place, path=graph.model.path, function=function, why=why, related=related, extra=extra)


def _fills_copy(graph: ModelGraph, node: Node) -> bool:
    """Whether an initialiser writes into a copy of a parameter, of which nothing is made afterwards."""
    if not node.inplace or node.native not in FILLING or node.id in graph.useful:
        return False
    if any(True for _ in graph.outgoing(node.id)):
        return False
    copied = False
    while node.kind is NodeKind.OP and (node.native in COPYING or node.inplace):
        before = [graph.node(edge.source) for edge in graph.incoming(node.id)]
        if len(before) != 1:
            return False
        node, copied = before[0], True
    return copied and node.kind is NodeKind.PARAMETER


def _is_copied_into(graph: ModelGraph) -> bool:
    """Whether values are written into a parameter that may come from a copy."""
    calls = (call for parameter in graph.model.parameters for call in parameter.initialisations)
    return any(call.name in TAKING for call in calls)


def _own(parameter: Parameter, built: frozenset[Frame]) -> Iterator[Initialisation]:
    """The user's own initialiser calls on a whole parameter, those aside that stand where it is made."""
    line = parameter.made.line if parameter.made is not None else 0
    for call in parameter.initialisations:
        own = call.frame is not None and not call.library and call.frame not in built and call.frame.line != line
        if own and call.name in FILLING:
            yield call


def _later(own: list[Initialisation], call: Initialisation) -> Initialisation | None:
    """A random initialiser, of another line, that fills a parameter after a call."""
    behind = own[len(own) - own[::-1].index(call) :]
    return next((other for other in behind if other.name in RANDOM and other.frame != call.frame), None)


def _is_of_model(graph: ModelGraph, place: Frame) -> bool:
    """Whether a call stands in the model's own class: a part may fill itself before the whole does it in its way."""
    return place.function.partition(".")[0] == graph.model.name
