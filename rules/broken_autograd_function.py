"""A custom autograd function whose backward is missing or wrong."""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.gradient_path import affected
from gradlint.analysis.reach import reach
from gradlint.finding import Evidence, Finding, Severity
from gradlint.graph import ModelGraph, Reason
from gradlint.rule import GraphRule, related_at


class BrokenAutogradFunction(GraphRule):
    code = "GL113"
    severity = Severity.ERROR
    message = "`{function}`: {fault}"
    advice = "return the derivative for every tensor input; None only for inputs that need no gradient"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for checked in graph.model.functions:
            if checked.fault:
                yield self.found(
                    checked.frame,
                    path=graph.model.path,
                    evidence=Evidence.MEASURED,
                    related=related_at(checked.call_frame, "applied here"),
                    function=checked.name,
                    fault=checked.fault,
                    extra=_starved_by(graph, set(checked.nodes)),
                )


def _starved_by(graph: ModelGraph, nodes: set[int]) -> dict[str, object]:
    causes = [c for c in reach(graph).causes if c.cut.reason is Reason.CUSTOM_FUNCTION and c.cut.node.id in nodes]
    return affected(graph.model, tuple(p for cause in causes for p in cause.parameters))
