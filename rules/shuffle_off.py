"""The training loader neither shuffles nor has a sampler.

Data often lie sorted by class or by time. Without shuffling a batch then holds one kind of example only, the steps
pull the weights to and fro, batch norm sees statistics that no other batch has, and each epoch repeats the same
batches.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset


    class Links(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(epochs=2):
        model = Links()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = TensorDataset(torch.randn(64, 12), torch.randint(0, 2, (64,)))
        loader = DataLoader(data, batch_size=8)
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    21:14 warning: the training loader hands out its items in one order, so every epoch has the same batches
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset


    class Wafers(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    class Wafer(Dataset):
        def __init__(self):
            self.x, self.y = torch.randn(64, 12), torch.arange(64) // 32

        def __len__(self):
            return 64

        def __getitem__(self, index):
            return self.x[index], self.y[index]


    def train(epochs=2):
        model = Wafers()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        loader = DataLoader(Wafer(), batch_size=8, shuffle=False, num_workers=0)
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    31:14 warning: the training loader hands out its items in one order, so every epoch has the same batches
    ```

Good: shuffled.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset


    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(epochs=2):
        model = Shuffled()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = TensorDataset(torch.randn(64, 12), torch.randint(0, 2, (64,)))
        loader = DataLoader(data, batch_size=8, shuffle=True)
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A sampler.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, RandomSampler, TensorDataset


    class Sampled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(epochs=2):
        model = Sampled()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = TensorDataset(torch.randn(64, 12), torch.randint(0, 2, (64,)))
        loader = DataLoader(data, batch_size=8, sampler=RandomSampler(data))
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

The loader of the validation.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset


    class Checked(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(epochs=2):
        model = Checked()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = TensorDataset(torch.randn(64, 12), torch.randint(0, 2, (64,)))
        held = TensorDataset(torch.randn(32, 12), torch.randint(0, 2, (32,)))
        loader, check = DataLoader(data, batch_size=8, shuffle=True), DataLoader(held, batch_size=8)
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                hits = sum((model(x).argmax(dim=1) == y).sum().item() for x, y in check)
            model.train()
            print(hits)


    if __name__ == "__main__":
        train()
    ```

A stream, which cannot be shuffled.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, IterableDataset


    class Streamed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    class Stream(IterableDataset):
        def __iter__(self):
            for _ in range(64):
                yield torch.randn(12), torch.randint(0, 2, ())


    def train(epochs=2):
        model = Streamed()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        loader = DataLoader(Stream(), batch_size=8)
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A series whose state goes on from batch to batch.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset


    class Series(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRU(4, 8, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, x, state=None):
            hidden, state = self.cell(x, state)
            return self.head(hidden[:, -1]), state


    def train(epochs=2):
        model = Series()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        data = TensorDataset(torch.randn(64, 5, 4), torch.randn(64, 2))
        loader = DataLoader(data, batch_size=8)
        for _ in range(epochs):
            state = None
            for x, y in loader:
                optimizer.zero_grad()
                answer, state = model(x, state)
                loss = F.mse_loss(answer, y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                state = state.detach()


    if __name__ == "__main__":
        train()
    ```

Symptoms: accuracy jumps up and down between batches; training does not converge without shuffle; the loss has a
sawtooth shape in each epoch; the model predicts only the last class; DataLoader shuffle=False for training
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gradlint.analysis.learning import learnt
from gradlint.analysis.operands import once
from gradlint.finding import Finding, Severity
from gradlint.graph import Frame, ModelGraph, Node, NodeKind
from gradlint.rule import GraphRule, user_frame

LOADER = "DataLoader"
BATCH = "batch"


class ShuffleOff(GraphRule):
    code = "GL903"
    severity = Severity.WARNING
    message = "the training loader hands out its items in one order, so every epoch has the same batches"
    advice = "pass shuffle=True or a sampler"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        if graph.model.reach_at != "loss" or _is_stateful(graph):
            return
        for loader in once(node for node in graph.nodes if _is_ordered(graph, node)):
            yield self.found(user_frame(loader), path=graph.model.path)


def _is_ordered(graph: ModelGraph, node: Node) -> bool:
    """Whether a node is a loader that mixes nothing, from which a loss is computed."""
    return node.native == LOADER and node.literals.get("ordered") is True and node.id in graph.useful


def _is_stateful(graph: ModelGraph) -> bool:
    """Whether a loss reads what an earlier step computed, as for a series whose order matters."""
    steps: dict[Frame | None, list[int]] = {}
    for target in sorted(graph.model.targets):
        steps.setdefault(user_frame(graph.node(target)), []).append(target)
    return any(_carries(graph, one, other) for places in steps.values() for one, other in pairwise(places))


def _carries(graph: ModelGraph, earlier: int, later: int) -> bool:
    """Whether of two losses of one place the later reads a value that the model computed for the earlier."""
    fed = learnt(graph)
    return any(_is_kept(graph, graph.node(one), fed) for one in graph.reaching([later]) if one <= earlier)


def _is_kept(graph: ModelGraph, node: Node, fed: frozenset[int]) -> bool:
    """Whether a value was computed by the model, if only up to a cut."""
    if node.kind is not NodeKind.OP:
        return False
    return node.id in fed or any(edge.source in fed for edge in graph.incoming(node.id))
