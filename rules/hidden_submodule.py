"""A module or parameter kept in a plain list, tuple or dict, where `parameters()` does not see it."""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Finding, Severity
from gradlint.graph import Hidden, ModelGraph
from gradlint.rule import GraphRule

CONTAINERS = {
    ("module", "dict"): "nn.ModuleDict",
    ("parameter", "dict"): "nn.ParameterDict",
    ("parameter", "list"): "nn.ParameterList",
    ("parameter", "tuple"): "nn.ParameterList",
}


class HiddenSubmodule(GraphRule):
    code = "GL110"
    severity = Severity.ERROR
    message = "`{holder}` is a plain {container}, so `parameters()` misses {count} in it and no optimizer trains them"
    advice = "keep them in an {better}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for hidden in graph.model.hidden:
            if hidden.kind in ("module", "parameter") and not hidden.optimized and _learns(graph, hidden):
                yield self.found(
                    hidden.frame,
                    path=graph.model.path,
                    holder=hidden.holder,
                    container=hidden.container,
                    count=f"{len(hidden.names)} tensor{'' if len(hidden.names) == 1 else 's'}",
                    better=CONTAINERS.get((hidden.kind, hidden.container), "nn.ModuleList"),
                    extra={"model": graph.model.name, "module": hidden.holder},
                )


def _learns(graph: ModelGraph, hidden: Hidden) -> bool:
    """Whether a gradient would arrive, so that only the registration is missing."""
    flowing = graph.reaching(graph.model.targets, lambda edge: edge.open)
    return any(node in flowing for node in hidden.nodes)
