"""Images go into the model with values from 0 to 255.

Layers are initialised for inputs of about unit size. With bytes the outputs of the first layer, the loss and the first
gradients are two orders of magnitude too large: the loss starts in the hundreds, training is unstable, ReLUs die.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset


    class Signals(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.second = nn.Linear(8, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)).mean(dim=(2, 3)))


    class Signs(Dataset):
        def __init__(self):
            self.images = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8)
            self.labels = torch.randint(0, 4, (32,))

        def __len__(self):
            return 32

        def __getitem__(self, index):
            return self.images[index].float(), self.labels[index]


    def train(epochs=2):
        model = Signals()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        loader = DataLoader(Signs(), batch_size=8, shuffle=True)
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
    26:16 warning: values from 0 to 255 go into the first layer: its outputs and gradients are far too large
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.second = nn.Linear(8, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)).mean(dim=(2, 3)))


    def train(steps=100):
        model = Frames()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randint(0, 256, (8, 3, 16, 16)).float(), torch.randint(0, 4, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    20:16 warning: values from 0 to 255 go into the first layer: its outputs and gradients are far too large
    ```

Good: divided by 255.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset


    class Unit(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.second = nn.Linear(8, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)).mean(dim=(2, 3)))


    class Signs(Dataset):
        def __init__(self):
            self.images = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8)
            self.labels = torch.randint(0, 4, (32,))

        def __len__(self):
            return 32

        def __getitem__(self, index):
            return self.images[index].float() / 255, self.labels[index]


    def train(epochs=2):
        model = Unit()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        loader = DataLoader(Signs(), batch_size=8, shuffle=True)
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A norm layer first.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.second = nn.Linear(8, 4)

        def forward(self, x):
            x = self.norm(x)
            return self.second(torch.relu(self.first(x)).mean(dim=(2, 3)))


    def train(steps=100):
        model = Normed()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randint(0, 256, (8, 3, 16, 16)).float(), torch.randint(0, 4, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Bytes into an embedding.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Bytes(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(256, 8)
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.embed(x).mean(dim=1))


    def train(steps=100):
        model = Bytes()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randint(0, 256, (8, 20)), torch.randint(0, 4, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Scaled inside of the model.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.second = nn.Linear(8, 4)

        def forward(self, x):
            x = (x - 127.5) / 127.5
            return self.second(torch.relu(self.first(x)).mean(dim=(2, 3)))


    def train(steps=100):
        model = Inside()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randint(0, 256, (8, 3, 16, 16)).float(), torch.randint(0, 4, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Arrays that are scaled before they become tensors.

    ```python
    import cv2
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(paths=()):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for path in paths:
            image = cv2.imread(path).astype(np.float32) / 255.0
            x = torch.from_numpy(np.transpose(image[:, :, ::-1], (2, 0, 1)).copy()).float().unsqueeze(0)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), torch.zeros(1, dtype=torch.long))
            loss.backward()
            optimizer.step()
    ```

Symptoms: the loss starts in the hundreds; loss is huge in the first steps; nan in the first epoch with images; forgot
ToTensor; forgot to divide by 255; all ReLUs are dead
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.operands import inputs, once
from gradlint.analysis.values_of import domain
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.rule import GraphRule, related_at, user_frame

LARGE, BYTE = 200.0, 256.0
"""Bytes reach 255; what was divided by a mean or by 127.5 stays far below."""


class UnscaledInput(GraphRule):
    code = "GL901"
    severity = Severity.WARNING
    message = "values from {low:g} to {high:g} go into the first layer: its outputs and gradients are far too large"
    advice = "divide by 255, or normalise the images before the model"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        if graph.model.reach_at != "loss":
            return
        for call in once(node for node in graph.nodes if _is_first(graph, node)):
            values = domain(graph, inputs(graph, call)[0])
            made = _made(graph, call)
            yield self.found(
                user_frame(made),
                path=graph.model.path,
                related=related_at(user_frame(call), "the first layer") if made is not call else (),
                extra={"model": graph.model.name, "module": call.module or None},
                low=values.low,
                high=values.high,
            )
            return


def _is_first(graph: ModelGraph, node: Node) -> bool:
    """Whether a trained layer reads bytes as they are."""
    known = ops.facts(node.op) if node.kind is NodeKind.OP else None
    if known is None or known.kind not in (ops.Kind.CONV, ops.Kind.LINEAR) or node.id not in graph.useful:
        return False
    read = inputs(graph, node)
    if not any(one.kind is NodeKind.PARAMETER for one in read[1:]):
        return False
    values = domain(graph, read[0])
    return values.known and values.low >= 0 and LARGE <= values.high <= BYTE


def _made(graph: ModelGraph, call: Node) -> Node:
    """Where the data of a layer become numbers to compute with: the cast of the bytes, else the layer itself."""
    node = call
    for _ in range(len(graph)):
        read = inputs(graph, node)
        if not read or read[0].kind not in (NodeKind.OP, NodeKind.CONSTANT):
            break
        node = read[0]
        known = ops.facts(node.op)
        if known is not None and known.kind is ops.Kind.CAST and user_frame(node) is not None:
            return node
    return call
