"""A registered trainable parameter that no output depends on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from gradlint.analysis.gradient_path import affected, counted
from gradlint.analysis.reach import reach
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Parameter
from gradlint.rule import GraphRule, user_frame


class UnusedParameter(GraphRule):
    code = "GL109"
    severity = Severity.WARNING
    message = "`{part}` takes no part in the result, {count} never get a gradient"
    advice = "use it, remove it, or freeze it with requires_grad_(False)"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        model, result = graph.model, reach(graph)
        if not model.complete:
            return
        unused = [p for p in model.trainable if p.name in result.unused and p.node is None and not p.owner_read]
        for part, members in groupby(filter(_is_trained, unused), key=lambda p: p.unused_part):
            lost = tuple(members)
            yield self.found(
                lost[0].made, path=model.path, part=part, count=counted(lost, "parameter tensor"), extra=affected(model, lost)
            )
        yield from self._dropped(graph, tuple(filter(_is_trained, result.dropped)))

    def _dropped(self, graph: ModelGraph, dropped: tuple[Parameter, ...]) -> Iterator[Finding]:
        """Modules that are called and whose result goes nowhere."""
        for part, members in groupby(dropped, key=lambda p: p.name.rpartition(".")[0] or p.name):
            lost = tuple(members)
            last = graph.node(max(graph.reached([p.node for p in lost if p.node is not None])))
            yield self.found(
                user_frame(last) or lost[0].made,
                path=graph.model.path,
                part=part,
                count=counted(lost, "parameter tensor"),
                extra=affected(graph.model, lost),
            )


def _is_trained(parameter: Parameter) -> bool:
    return parameter.optimized is not False
