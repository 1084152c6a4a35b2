"""The graph of an earlier step is reached again, because a value of it was kept."""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.steps import carried_over
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, related_at
from gradlint.training import RETAINED, Event, EventKind

SECOND_TIME = "backward through the graph a second time"
OVERWRITTEN = "modified by an inplace operation"


class SecondBackward(GraphRule):
    code = "GL116"
    severity = Severity.ERROR
    message = "this value comes from an earlier step's graph, which backward then enters a second time"
    advice = "detach what is carried from step to step: h = h.detach()"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for event in graph.training.of(EventKind.BACKWARD) if graph.training else ():
            old = carried_over(graph, event)
            if old is not None and (_failed(event) or _kept(graph, event)):
                yield self.found(
                    old.at,
                    path=graph.model.path,
                    related=related_at(event.frame, "the backward call"),
                    extra={"model": graph.model.name},
                )
                return


def _failed(event: Event) -> bool:
    return SECOND_TIME in event.error or OVERWRITTEN in event.error


def _kept(graph: ModelGraph, event: Event) -> bool:
    """Whether retain_graph hides the exception."""
    losses = graph.training.of(EventKind.LOSS) if graph.training else ()
    return any(loss.error == RETAINED and loss.frame == event.frame for loss in losses)
