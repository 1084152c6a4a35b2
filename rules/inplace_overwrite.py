"""An in-place write changes a tensor that the backward pass needs, or a leaf that requires a gradient."""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.steps import carried_over
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule
from gradlint.training import Event

NEEDED = "modified by an inplace operation"
LEAF = "is being used in an in-place operation"


class InplaceOverwrite(GraphRule):
    code = "GL112"
    severity = Severity.ERROR
    message = "{what}"
    advice = "{cure}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for event in graph.training.events if graph.training else ():
            if NEEDED in event.error and not carried_over(graph, event):
                yield self._said(graph, event, "this in-place write changes a value that backward needs", OUT_OF_PLACE)
            elif LEAF in event.error:
                yield self._said(graph, event, "this in-place write changes a leaf that requires a gradient", UNDER_NO_GRAD)

    def _said(self, graph: ModelGraph, event: Event, what: str, cure: str) -> Finding:
        return self.found(
            event.written or event.frame, path=graph.model.path, what=what, cure=cure, extra={"model": graph.model.name}
        )


OUT_OF_PLACE = "write a new tensor instead (x = x * y, masked_fill, torch.where)"
UNDER_NO_GRAD = "put an update under torch.no_grad(), or compute a new tensor"
