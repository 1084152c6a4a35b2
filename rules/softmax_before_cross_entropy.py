"""Softmax goes into cross-entropy, which takes softmax by itself.

Cross-entropy expects raw scores. Probabilities lie between 0 and 1, so after the second softmax ten classes have
scores that differ by a factor of e at most: the loss stops far above 0, the gradient of confident mistakes is small,
and accuracy rises slowly. log-softmax before cross-entropy changes nothing and is a note. The fix takes the activation
out; it is unsafe, because code that reads the model's output then gets scores.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(64, 32)
            self.second = nn.Linear(32, 10)

        def forward(self, x):
            x = torch.relu(self.first(x.flatten(1)))
            return F.softmax(self.second(x), dim=1)


    def train(steps=100):
        model = Digits()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 1, 8, 8), torch.randint(0, 10, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:16 error: softmax goes into cross-entropy, which takes softmax again: the loss cannot fall
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.CrossEntropyLoss()


    class Moves(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(18, 32),
                nn.ReLU(),
                nn.Linear(32, 9),
                nn.Softmax(dim=1),
            )

        def forward(self, x):
            return self.layers(x)


    def train(steps=100):
        model = Moves()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            board, move = torch.rand(16, 18), torch.randint(0, 9, (16,))
            optimizer.zero_grad()
            loss = criterion(model(board), move)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    27:16 error: softmax goes into cross-entropy, which takes softmax again: the loss cannot fall
    ```

    ```python
    import torch
    from torch import nn


    class Letters(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(5, 16, batch_first=True)
            self.head = nn.Linear(16, 26)
            self.softmax = nn.Softmax(dim=-1)

        def forward(self, strokes):
            _, state = self.rnn(strokes)
            return self.softmax(self.head(state[-1]))


    def distance(answer, letter):
        return nn.CrossEntropyLoss()(answer, letter)


    def train(steps=100):
        model = Letters()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            strokes, letter = torch.randn(8, 20, 5), torch.randint(0, 26, (8,))
            optimizer.zero_grad()
            loss = distance(model(strokes), letter)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:16 error: softmax goes into cross-entropy, which takes softmax again: the loss cannot fall
    ```

Fixed:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(64, 32)
            self.second = nn.Linear(32, 10)

        def forward(self, x):
            x = torch.relu(self.first(x.flatten(1)))
            return self.second(x)


    def train(steps=100):
        model = Digits()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 1, 8, 8), torch.randint(0, 10, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```python
    import torch
    from torch import nn

    criterion = nn.CrossEntropyLoss()


    class Moves(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(18, 32),
                nn.ReLU(),
                nn.Linear(32, 9),
            )

        def forward(self, x):
            return self.layers(x)


    def train(steps=100):
        model = Moves()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            board, move = torch.rand(16, 18), torch.randint(0, 9, (16,))
            optimizer.zero_grad()
            loss = criterion(model(board), move)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Good: log-probabilities go into the negative log-likelihood.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Genres(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(30, 32)
            self.second = nn.Linear(32, 6)

        def forward(self, x):
            return F.log_softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Genres()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.rand(16, 30), torch.randint(0, 6, (16,))
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Softmax for the prediction beside the loss.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Crops(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 32)
            self.second = nn.Linear(32, 5)

        def forward(self, x):
            scores = self.second(torch.relu(self.first(x)))
            return scores, scores.softmax(dim=1)


    def train(steps=100):
        model = Crops()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 12), torch.randint(0, 5, (16,))
            optimizer.zero_grad()
            scores, chance = model(x)
            loss = F.cross_entropy(scores, y)
            sure = chance.detach().amax(dim=1).mean()
            print(sure.item())
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Attention weights are made by softmax, the scores are not.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Routes(nn.Module):
        def __init__(self):
            super().__init__()
            self.key = nn.Linear(8, 8)
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            weight = F.softmax(self.key(x) @ x.transpose(1, 2), dim=-1)
            return self.head((weight @ x).mean(dim=1))


    def train(steps=100):
        model = Routes()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(8, 6, 8), torch.randint(0, 4, (8,))
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A teacher's probabilities as soft targets.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Student(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 16)
            self.second = nn.Linear(16, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model, teacher = Student(), Student()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(16, 20)
            with torch.no_grad():
                wanted = F.softmax(teacher(x), dim=1)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), wanted)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: loss is stuck; the loss does not go below 1.46 (or 0.74, or 2.3); accuracy rises but the loss does not fall;
softmax before CrossEntropyLoss; should I use softmax with nn.CrossEntropyLoss; my network trains slowly and is never
confident
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.learning import takes_part
from gradlint.analysis.losses import activation, is_exchanged, is_softmax, losses, other_place, place
from gradlint.analysis.unwrapping import without
from gradlint.code import Code
from gradlint.finding import Finding, Fix, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule

LOGARITHMIC = "log_softmax"


class SoftmaxBeforeCrossEntropy(GraphRule):
    code = "GL601"
    severity = Severity.ERROR
    message = "{expression} goes into cross-entropy, which {why}"
    advice = "hand the raw scores to the loss, and keep softmax for predictions"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, "cross_entropy"):
            made = activation(graph, loss.prediction)
            if not (made.op == LOGARITHMIC or is_softmax(graph, made)) or is_exchanged(graph, loss):
                continue
            if takes_part(graph, made):
                twice = made.op == LOGARITHMIC
                yield self.found(
                    place(graph, made, loss),
                    path=graph.model.path,
                    severity=Severity.NOTE if twice else None,
                    related=other_place(graph, made, loss),
                    extra={"model": graph.model.name},
                    expression="log-softmax" if twice else "softmax",
                    why="takes it a second time to no effect" if twice else "takes softmax again: the loss cannot fall",
                )

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """The scores without softmax."""
        return without(code, "softmax") if finding.severity is Severity.ERROR else None
