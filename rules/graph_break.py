"""torch.compile breaks the graph here.

The compiler turns forward into one graph of tensors. A number that Python takes out of a tensor (`item()`, `float()`,
`int()`, `tolist()`), and a shape that depends on a tensor's values (indexing by a mask, `nonzero`, `unique`), are not
known while it compiles: the graph ends there, the program runs on in Python, and a second graph begins. What could be
fused is not, a GPU waits for the number, and `torch.export` refuses the model. The same holds where a list is indexed
by a tensor, where a tensor is written into a text, and for functions that the compiler skips, such as `copy.deepcopy`
of a module, `torch.manual_seed` or `torch.autograd.grad`.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)
            self.largest = []

        def forward(self, x):
            x = torch.relu(self.first(x))
            self.largest.append(x.amax().item())
            return self.second(x)


    def train(steps=100):
        model = Watched()
        compiled = torch.compile(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 4, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(compiled(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:5 warning: compiled anew for the same shapes: `len(self.largest) == 2` no longer holds
    15:29 warning: graph break GB0124 (2 graphs): Unsupported Tensor.item() call with capture_scalar_outputs=False
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Padded(nn.Module):
        def __init__(self, words=40):
            super().__init__()
            self.embed = nn.Embedding(words, 8)
            self.score = nn.Linear(8, 4)

        def forward(self, ids):
            kept = self.score(self.embed(ids))[ids > 0]
            return kept.logsumexp(dim=0)


    def train(steps=100):
        model = Padded()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.mse_loss(model(torch.randint(0, 40, (4, 10))), torch.randn(4))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 note: graph break: the result's shape depends on a tensor's values
    ```

Good: what is watched stays a tensor, numbers are taken out in the training loop.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)
            self.register_buffer("largest", torch.zeros(()))

        def forward(self, x):
            x = torch.relu(self.first(x))
            self.largest.copy_(x.detach().amax())
            return self.second(x)


    def train(steps=100):
        model = Kept()
        compiled = torch.compile(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 4, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(compiled(x), y)
            loss.backward()
            optimizer.step()
            print(loss.item(), model.largest.item())


    if __name__ == "__main__":
        train()
    ```

Masked entries are multiplied with zero.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Whole(nn.Module):
        def __init__(self, words=40):
            super().__init__()
            self.embed = nn.Embedding(words, 8)
            self.score = nn.Linear(8, 4)

        def forward(self, ids):
            scores = self.score(self.embed(ids)) * (ids > 0).unsqueeze(-1)
            return scores[:, 1:].sum(dim=1)


    def train(steps=100):
        model = Whole()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(torch.randint(0, 40, (4, 10))), torch.randint(0, 4, (4,)))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: where is the graph break?; Failed to trace builtin operator; Attempted to call function marked as skipped;
Dynamo does not know how to trace; torch._dynamo.explain shows graph breaks; Graph break from `Tensor.item()`,
consider setting torch._dynamo.config.capture_scalar_outputs = True; Unsupported Tensor.item() call with
capture_scalar_outputs=False; Dynamic shape operator; torch.compile gives no speed-up; fullgraph=True raises
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradlint.analysis.compiler import breaks, chain, severity, unsaid
from gradlint.analysis.operands import inputs, once
from gradlint.compilation import DEFINITION, NUMBER, SHAPE, TEXT, UNTRACED, Break
from gradlint.finding import Finding, Severity
from gradlint.frame import Frame
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, user_frame

NUMBERS = frozenset({"item", "tolist", "__float__", "__int__", "__complex__", "equal", "allclose", "is_nonzero"})
SHAPED_BY_VALUES = frozenset(
    {"nonzero", "masked_select", "unique", "unique_consecutive", "bincount", "argwhere", "combinations"}
)
INDEXING, WHERE, MASK = "getitem", "where", "bool"
TRUTH = "__bool__"
BREAK = "graph break: {why}"
AGAIN = "compiled anew for the same shapes: `{guard}` no longer holds"
LASTING = "let what changes from call to call be a tensor: self.register_buffer(...)"
PLACE = "keep it a tensor of fixed shape, or move it out of forward"


class GraphBreak(GraphRule):
    code = "GL201"
    severity = Severity.NOTE
    message = "{why}"
    advice = "{remedy}"
    needs_recording = True

    compiled: bool = False
    """Whether models are meant to be compiled, also where the program does not show it."""

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for place, found in breaks(graph, data_dependent=False):
            yield self._at(graph, place, _told(graph, found), _remedy(found), related=chain(found))
        tested = {edge.source for node in graph.nodes if node.op == TRUTH for edge in graph.incoming(node.id)}
        calls = (node for node in graph.nodes if node.id not in tested and _why(graph, node))
        for node in once(unsaid(graph, calls)):
            yield self._at(graph, user_frame(node), BREAK.format(why=_why(graph, node)), PLACE)
        for again in graph.model.compilation.recompilations if graph.model.compilation else ():
            yield self._at(graph, again.frame, AGAIN.format(guard=again.guard), LASTING)

    def _at(self, graph: ModelGraph, place: Frame | None, why: str, remedy: str, **more: Any) -> Finding:
        extra = {"model": graph.model.name}
        kind = severity(graph, self.compiled)
        return self.found(place, path=graph.model.path, why=why, remedy=remedy, severity=kind, extra=extra, **more)


def _told(graph: ModelGraph, found: Break) -> str:
    """Torch's own words, with the number of the reason and of the graphs that result."""
    graphs = graph.model.compilation.graphs if graph.model.compilation else 0
    number = f" {found.id}" if found.id else ""
    return f"graph break{number} ({graphs} graph{'s' * (graphs != 1)}): {found.title}"


def _remedy(found: Break) -> str:
    """What to do, and torch's own first hint."""
    hint = found.hints[0].rstrip(".") if found.hints else ""
    return f"{PLACE}; torch's hint: {hint}" if hint else PLACE


WHY = {
    NUMBER: "python takes a number out of a tensor",
    TEXT: "python writes the values of a tensor as text",
    SHAPE: "the result's shape depends on a tensor's values",
    DEFINITION: "a class is defined while the model runs",
}
"""Why Dynamo ends its graph (torch 2.13 with its default settings)."""


def _why(graph: ModelGraph, node: Node) -> str:
    """Why Dynamo ends its graph at a call; empty where it does not."""
    if node.native.startswith(UNTRACED):
        what = node.native.removeprefix(UNTRACED)
        return WHY.get(what) or f"dynamo does not trace `{what}`"
    if node.op in NUMBERS:
        return WHY[NUMBER]
    masked = node.op == INDEXING and any((read.dtype or "").endswith(MASK) for read in inputs(graph, node)[1:])
    positions = node.op == WHERE and len(inputs(graph, node)) == 1 and not node.literals
    shaped = masked or positions or node.op in SHAPED_BY_VALUES
    return WHY[SHAPE] if shaped else ""
