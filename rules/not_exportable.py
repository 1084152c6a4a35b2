"""torch.export refuses the model.

An exported program has one graph that holds for all inputs of its shapes. Where forward decides by a tensor's value,
takes a number out of a tensor or calls what the exporter cannot follow, there is no such graph, and the export for
deployment, for quantisation or for ONNX fails. The finding quotes the exporter's reason at the user's own line, for the
mode that refuses: "strict" reads the program's bytecode, "non-strict" (the default of torch) runs it on symbols.

Bad:

    ```python
    import torch
    from torch import nn


    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = torch.relu(self.first(x))
            if x.sum() > 0:
                x = x / x.sum()
            return self.second(x)


    def deploy():
        return torch.export.export(Gate().eval(), (torch.randn(2, 12),))
    ```

    ```text
    13:12 note: torch.export refuses it (non-strict, strict): Could not guard on data-dependent expression Eq(u0, 1)
    ```

Good: both ways are in the graph.

    ```python
    import torch
    from torch import nn


    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = torch.relu(self.first(x))
            total = x.sum()
            x = torch.where(total > 0, x / total.clamp(min=1e-6), x)
            return self.second(x)


    def deploy():
        return torch.export.export(Gate().eval(), (torch.randn(2, 12),))
    ```

Symptoms: torch.export fails; torch._dynamo.exc.UserError: Could not guard on data-dependent expression;
GuardOnDataDependentSymNode; Could not extract specialized integer from data-dependent expression; dynamic control flow
is not supported; torch.onnx.export with dynamo=True fails
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, related_at


class NotExportable(GraphRule):
    code = "GL204"
    severity = Severity.NOTE
    message = "torch.export refuses it ({modes}): {reason}"
    advice = "decide by shapes and settings, or use torch.where or torch.cond; keep numbers tensors"
    needs_recording = True

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        refusals = graph.model.compilation.refusals if graph.model.compilation else ()
        if not refusals:
            return
        first, modes = refusals[0], ", ".join(refusal.mode for refusal in refusals)
        own = [frame for frame in first.frames if frame.user]
        yield self.found(
            own[0] if own else None,
            path=graph.model.path,
            modes=modes,
            reason=first.reason.rstrip("."),
            related=tuple(place for frame in own[1:] for place in related_at(frame, "called from here")),
            extra={"model": graph.model.name},
        )
