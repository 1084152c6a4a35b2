"""The negative log-likelihood is taken of something that is no log-probability.

`NLLLoss` picks the score of the right class and negates it: no more. On raw scores it falls without a bound while the
weights grow; on probabilities its gradient is smallest where the prediction is worst.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Languages(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(40, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return self.second(torch.tanh(self.first(x)))


    def train(steps=100):
        model = Languages()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 40), torch.randint(0, 6, (16,))
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 error: this loss takes log-probabilities and gets raw scores: it falls without a bound
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.NLLLoss()


    class Surnames(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(30, 8)
            self.head = nn.Linear(8, 12)

        def forward(self, ids):
            return torch.softmax(self.head(self.embed(ids).mean(dim=1)), dim=-1)


    def train(steps=100):
        model = Surnames()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            ids, nation = torch.randint(0, 30, (16, 9)), torch.randint(0, 12, (16,))
            optimizer.zero_grad()
            loss = criterion(model(ids), nation)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    23:16 error: this loss takes log-probabilities and gets probabilities: its gradient fades where they are wrong
    ```

Good: log-probabilities.

    ```python
    import torch
    from torch import nn


    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 8)
            self.head = nn.Linear(8, 50)
            self.log = nn.LogSoftmax(dim=1)

        def forward(self, ids):
            return self.log(self.head(self.embed(ids).sum(dim=1)))


    def train(steps=100):
        model = Words()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            ids, word = torch.randint(0, 50, (16, 4)), torch.randint(0, 50, (16,))
            optimizer.zero_grad()
            loss = nn.NLLLoss()(model(ids), word)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

The logarithm of a mixture of probabilities.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Mixture(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(10, 5)
            self.two = nn.Linear(10, 5)

        def forward(self, x):
            both = F.softmax(self.one(x), dim=1) + F.softmax(self.two(x), dim=1)
            return torch.log(both / 2 + 1e-6)


    def train(steps=100):
        model = Mixture()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 10), torch.randint(0, 5, (16,))
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Log-probabilities by hand.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(10, 16)
            self.second = nn.Linear(16, 5)

        def forward(self, x):
            scores = self.second(torch.relu(self.first(x)))
            return scores - scores.logsumexp(dim=1, keepdim=True)


    def train(steps=100):
        model = Normalised()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 10), torch.randint(0, 5, (16,))
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Log-probabilities of a gate added to those of what it chooses among.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Copying(nn.Module):
        def __init__(self, width=8, words=10, places=4):
            super().__init__()
            self.gate, self.word, self.place = nn.Linear(width, 1), nn.Linear(width, words), nn.Linear(width, places)

        def forward(self, h, wanted):
            gate = torch.sigmoid(self.gate(h))
            new = torch.log(gate + 1e-6) + torch.log_softmax(self.word(h), -1)
            copied = torch.log(1 - gate + 1e-6) + torch.log_softmax(self.place(h), -1)
            return F.nll_loss(torch.cat([new, copied], -1), wanted)


    def gradlint_inputs():
        return torch.randn(3, 8), torch.randint(0, 14, (3,))
    ```

Symptoms: NLLLoss is negative; the loss goes to minus infinity; negative loss in PyTorch; NLLLoss without log_softmax;
difference between CrossEntropyLoss and NLLLoss
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.learning import takes_part
from gradlint.analysis.losses import JOINED, activation, is_exchanged, losses
from gradlint.analysis.operands import inputs, origin
from gradlint.analysis.values_of import domain
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, user_frame

LOGARITHMIC = frozenset({"log", "log2", "log10", "logsumexp", "log_softmax", "logsigmoid"})
SUMS = frozenset({"add", "sub"})
"""What multiplies probabilities: a gate's with a softmax's."""


def _is_logarithmic(graph: ModelGraph, value: Node) -> bool:
    """Whether a value is a logarithm, or some of its parts or summands are."""
    pending, seen = [value], set()
    while pending:
        made = origin(graph, pending.pop())
        if made.op in LOGARITHMIC:
            return True
        if made.id not in seen and made.op in JOINED | SUMS:
            seen.add(made.id)
            pending.extend(inputs(graph, made))
    return False


class NllWithoutLogSoftmax(GraphRule):
    code = "GL603"
    severity = Severity.ERROR
    message = "this loss takes log-probabilities and gets {what}: {why}"
    advice = "put log_softmax before it, or use cross_entropy on the scores"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, "nll_loss"):
            values = domain(graph, loss.prediction)
            made = activation(graph, loss.prediction)
            if not values.known or values.high <= 0 or _is_logarithmic(graph, loss.prediction):
                continue
            if takes_part(graph, loss.prediction) and not is_exchanged(graph, loss):
                probable = made.op == "softmax"
                yield self.found(
                    user_frame(loss.call),
                    path=graph.model.path,
                    extra={"model": graph.model.name},
                    what="probabilities" if probable else "raw scores",
                    why="its gradient fades where they are wrong" if probable else "it falls without a bound",
                )
