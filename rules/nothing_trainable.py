"""The model is trained, and none of its parameters can learn."""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import Model, ModelGraph
from gradlint.rule import GraphRule


class NothingTrainable(GraphRule):
    code = "GL117"
    severity = Severity.ERROR
    message = "`{model}` is trained, but every one of its {count} parameter tensors is frozen"
    advice = "leave trainable what is to learn: model.head.requires_grad_(True)"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        model = graph.model
        if not (model.trained and model.parameters and not model.trainable and any(p.optimized for p in model.parameters)):
            return
        yield self.found(
            _frozen_at(model), path=model.path, model=model.name, count=len(model.parameters), extra={"model": model.name}
        )


def _frozen_at(model: Model) -> Frame | None:
    """The place that froze the last parameter."""
    return next((p.frozen for p in reversed(model.parameters) if p.frozen), None)
