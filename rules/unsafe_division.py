"""A divisor can be exactly 0.

A batch whose mask is empty, a row of zeros, a feature that is the same everywhere: the count, the norm, the deviation
is 0, the quotient is not a number, and after the next step no weight is one.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Pool(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 8, padding_idx=0)
            self.head = nn.Linear(8, 3)

        def forward(self, ids):
            mask = (ids != 0).float().unsqueeze(-1)
            return self.head((self.embed(ids) * mask).sum(dim=1) / mask.sum(dim=1))


    def train(steps=100):
        model = Pool()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            ids, y = torch.randint(0, 50, (8, 6)), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(ids), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:26 warning: the divisor can be exactly 0, where nothing is counted: the result is not a number
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Direction(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.second(torch.relu(self.first(x)))
            return z / z.norm(dim=1, keepdim=True)


    def train(steps=100):
        model = Direction()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:16 warning: the divisor can be exactly 0, where all entries are 0: the result is not a number
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Shares(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            part = torch.relu(self.second(torch.relu(self.first(x))))
            return part / part.sum(dim=1, keepdim=True)


    def train(steps=100):
        model = Shares()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.rand(16, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:16 warning: the divisor can be exactly 0, where every entry is cut off: the result is not a number
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Standard(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.first(x)
            z = (z - z.mean(dim=1, keepdim=True)) / z.std(dim=1, keepdim=True)
            return self.second(z)


    def train(steps=100):
        model = Standard()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:13 warning: the divisor can be exactly 0, where all entries are equal: the result is not a number
    ```

Good: an eps added, or a lower bound.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Bounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 8, padding_idx=0)
            self.head = nn.Linear(8, 3)

        def forward(self, ids):
            mask = (ids != 0).float().unsqueeze(-1)
            return self.head((self.embed(ids) * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1))


    def train(steps=100):
        model = Bounded()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            ids, y = torch.randint(0, 50, (8, 6)), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            z = model(ids)
            loss = F.cross_entropy(z / (z.norm(dim=1, keepdim=True) + 1e-6), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A sum that is positive by construction.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(9, 4)
            self.experts = nn.Linear(9, 4)

        def forward(self, x):
            top, place = torch.softmax(self.gate(x), dim=1).topk(2, dim=1)
            weight = top / top.sum(dim=1, keepdim=True)
            return (self.experts(x).gather(1, place) * weight).sum(dim=1)


    def train(steps=100):
        model = Experts()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Data, which need no gradient.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Scaled()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16, 4)
            x = (x - x.mean(dim=0)) / x.std(dim=0)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A divisor that `where` keeps away from 0.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            z = self.second(torch.relu(self.first(x)))
            length = z.norm(dim=1, keepdim=True)
            return z / torch.where(length > 0, length, torch.ones_like(length))


    def train(steps=100):
        model = Chosen()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16, 4)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A mean over the steps of sequences, of which none is empty; over patches that are hidden.

    ```python
    import torch
    from torch import nn


    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x, lengths):
            mask = (torch.arange(x.shape[1])[None] < lengths[:, None]).byte().type(x.type())
            return (self.layer(x).square().mean(dim=-1) * mask).sum() / mask.sum()


    class Masked(nn.Module):
        def __init__(self, patches=16, kept=4):
            super().__init__()
            self.kept = kept
            self.hidden = nn.Parameter(torch.randn(patches, 8))
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            order = torch.rand(x.shape[0], x.shape[1]).argsort(dim=1)
            mask = torch.ones(x.shape[0], x.shape[1])
            mask[:, : self.kept] = 0
            mask = torch.gather(mask, 1, order)
            error = (self.layer(x) - self.hidden).square().mean(dim=-1)
            return (error * mask).sum() / mask.sum()


    def gradlint_inputs():
        return torch.randn(2, 16, 8), torch.tensor([16, 9])
    ```

Zeros that were replaced, products of shares, the norm of a weight.

    ```python
    import torch
    from torch import nn


    class Attention(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
            self.score = nn.Parameter(torch.randn(width))

        def forward(self, x, mask):
            q, k = self.query(x), self.key(x)
            q[q == 0] = 1e-6
            k = k.masked_fill(k == 0, 1e-6)
            share = torch.softmax(self.key(x), dim=-1) * mask.unsqueeze(-1)
            same = share.transpose(1, 2) @ share
            q, k = (t / torch.linalg.norm(t, dim=-1, keepdim=True) for t in (q, k))
            return q @ k.transpose(1, 2), same / same.norm(), q / self.score.norm(p=2)
    ```

Symptoms: loss is nan for some batches; DivBackward0 returned nan values in its 0th output; nan after normalisation;
division by zero in masked mean; nan when a sequence is empty; 0/0
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.domains import Zero
from gradlint.analysis.hazards import divisions, hidden_by_guard
from gradlint.analysis.operands import once
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame

WHEN = {
    Zero.CUT: "where every entry is cut off",
    Zero.SQUARE: "where all entries are 0",
    Zero.COUNT: "where nothing is counted",
    Zero.SPREAD: "where all entries are equal",
}


class UnsafeDivision(GraphRule):
    code = "GL803"
    severity = Severity.WARNING
    message = "the divisor can be exactly 0, {when}: the result is not a number"
    advice = "add an eps to the divisor, or clamp it above 0"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        guarded = hidden_by_guard(graph)
        found = {hazard.call.id: hazard for hazard in divisions(graph) if hazard.call.id not in guarded}
        for call in once(hazard.call for hazard in found.values()):
            yield self.found(
                user_frame(call),
                path=graph.model.path,
                extra={"model": graph.model.name},
                when=WHEN[found[call.id].domain.zero],
            )
