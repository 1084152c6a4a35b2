"""A tensor that wants a gradient, kept as an attribute without being a parameter of the model."""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Finding, Severity
from gradlint.graph import Hidden, ModelGraph
from gradlint.rule import GraphRule


class UnregisteredParameter(GraphRule):
    code = "GL111"
    severity = Severity.ERROR
    message = "`{holder}` {why}, so `parameters()` misses it and no optimizer trains it"
    advice = "{cure}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for hidden in graph.model.hidden:
            if hidden.kind == "tensor" and not hidden.optimized and _is_used(graph, hidden):
                yield self.found(
                    hidden.frame,
                    path=graph.model.path,
                    holder=hidden.holder,
                    why=NON_LEAF if hidden.non_leaf else LEAF,
                    cure=COMPUTE_INSIDE if hidden.non_leaf else WRAP,
                    extra={"model": graph.model.name, "module": hidden.holder},
                )


NON_LEAF = "is computed from a parameter and is itself none"
LEAF = "is a plain tensor with requires_grad"
COMPUTE_INSIDE = "compute inside of nn.Parameter(...), and move the whole model with model.to(device)"
WRAP = "wrap it in nn.Parameter"


def _is_used(graph: ModelGraph, hidden: Hidden) -> bool:
    flowing = graph.reaching(graph.model.targets, lambda edge: edge.open)
    return any(node in flowing for node in hidden.nodes)
