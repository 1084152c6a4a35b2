"""torch.compile breaks the graph here.

The compiler turns forward into one graph of tensors. A number that Python takes out of a tensor (`item()`, `float()`,
`int()`, `tolist()`), and a shape that depends on a tensor's values (indexing by a mask, `nonzero`, `unique`), are not
known while it compiles: the graph ends there, the program runs on in Python, and a second graph begins. What could be
fused is not, a GPU waits for the number, and `torch.export` refuses the model.

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
    15:29 note: the compiler's graph breaks here: python takes a number out of a tensor
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
    13:16 note: the compiler's graph breaks here: the result's shape depends on a tensor's values
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

Symptoms: where is the graph break?; torch._dynamo.explain shows graph breaks; Graph break from `Tensor.item()`,
consider setting torch._dynamo.config.capture_scalar_outputs = True; Unsupported Tensor.item() call with
capture_scalar_outputs=False; Dynamic shape operator; torch.compile gives no speed-up; fullgraph=True raises
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.operands import inputs, once
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, user_frame

NUMBERS = frozenset({"item", "tolist", "__float__", "__int__", "__complex__"})
SHAPED_BY_VALUES = frozenset({"nonzero", "masked_select", "unique", "unique_consecutive", "bincount", "argwhere"})
INDEXING, WHERE, MASK = "getitem", "where", "bool"
TRUTH, FORWARD = "__bool__", "forward"


class GraphBreak(GraphRule):
    code = "GL201"
    severity = Severity.NOTE
    message = "the compiler's graph breaks here: {why}"
    advice = "keep it a tensor of fixed shape, or move it out of forward"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        tested = {edge.source for node in graph.nodes if node.op == TRUTH for edge in graph.incoming(node.id)}
        breaks = (node for node in graph.nodes if node.id not in tested and _is_in_forward(node))
        for node in once(node for node in breaks if _why(graph, node)):
            yield self.found(
                user_frame(node), path=graph.model.path, why=_why(graph, node), extra={"model": graph.model.name}
            )


def _why(graph: ModelGraph, node: Node) -> str:
    """Why Dynamo ends its graph at a call (torch 2.13 with its default settings); empty where it does not."""
    if node.op in NUMBERS:
        return "python takes a number out of a tensor"
    masked = node.op == INDEXING and any((read.dtype or "").endswith(MASK) for read in inputs(graph, node)[1:])
    positions = node.op == WHERE and len(inputs(graph, node)) == 1 and not node.literals
    shaped = masked or positions or node.op in SHAPED_BY_VALUES
    return "the result's shape depends on a tensor's values" if shaped else ""


def _is_in_forward(node: Node) -> bool:
    """Whether a call was made by a model's forward, by itself or through helpers."""
    return any(frame.user and frame.function.rpartition(".")[2] == FORWARD for frame in node.frames)
