"""The arguments of kl_div are not what it takes.

`kl_div(input, target)` takes log-probabilities of the prediction first and probabilities of the target second. With
probabilities as input the loss has no minimum where the two are equal and can be negative. `reduction="mean"` divides
by the number of classes too, so that it is not the divergence.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(16, 8)
            self.second = nn.Linear(8, 5)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Small()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, soft = torch.randn(16, 16), torch.softmax(torch.randn(16, 5), dim=1)
            optimizer.zero_grad()
            loss = F.kl_div(F.softmax(model(x), dim=1), soft, reduction="batchmean")
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 warning: the first argument is a probability and not its logarithm, so the loss has no minimum at the target
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(16, 8)
            self.second = nn.Linear(8, 5)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Tiny()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, soft = torch.randn(16, 16), torch.softmax(torch.randn(16, 5), dim=1)
            optimizer.zero_grad()
            loss = F.kl_div(soft, F.log_softmax(model(x), dim=1), reduction="batchmean")
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 warning: the arguments are exchanged, so this is no divergence of the prediction from the target
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(16, 8)
            self.second = nn.Linear(8, 5)

        def forward(self, x):
            return F.log_softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Narrow()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, soft = torch.randn(16, 16), torch.softmax(torch.randn(16, 5), dim=1)
            optimizer.zero_grad()
            loss = nn.KLDivLoss()(model(x), soft)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:16 warning: reduction is left at 'mean', so the sum over classes is divided by their number, too
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Smoothed(nn.Module):
        def __init__(self, classes=5):
            super().__init__()
            self.scores = nn.Linear(8, classes)
            self.kl = nn.KLDivLoss(reduction="batchmean")

        def forward(self, x, y):
            soft = torch.full((x.shape[0], 5), 0.025).scatter_(1, y.unsqueeze(1), 0.9)
            return self.kl(self.scores(x), soft)


    def train(steps=100):
        model = Smoothed()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(torch.randn(16, 8), torch.randint(0, 5, (16,)))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    14:16 warning: the first argument is raw scores and no logarithm of a probability, so the loss falls without a bound
    ```

Good: log-probabilities first, probabilities second.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Distilled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(16, 8)
            self.second = nn.Linear(8, 5)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Distilled()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, soft = torch.randn(16, 16), torch.softmax(torch.randn(16, 5), dim=1)
            optimizer.zero_grad()
            loss = F.kl_div(F.log_softmax(model(x) / 2, dim=1), soft, reduction="batchmean")
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A target in logarithms that says so.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(16, 8)
            self.second = nn.Linear(8, 5)

        def forward(self, x):
            return F.log_softmax(self.second(torch.relu(self.first(x))), dim=1)


    def train(steps=100):
        model = Mean()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, soft = torch.randn(16, 16), F.log_softmax(torch.randn(16, 5), dim=1)
            optimizer.zero_grad()
            loss = F.kl_div(model(x), soft, reduction="sum", log_target=True) / len(x)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

The divergence of two normal distributions in closed form.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Latent(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(16, 4)
            self.decode = nn.Linear(2, 16)

        def forward(self, x):
            mean, width = self.encode(x).clamp(-5, 5).chunk(2, dim=1)
            z = mean + torch.exp(0.5 * width) * torch.randn_like(mean)
            return self.decode(z), mean, width


    def train(steps=100):
        model = Latent()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(16, 16)
            optimizer.zero_grad()
            back, mean, width = model(x)
            loss = F.mse_loss(back, x) - 0.5 * (1 + width - mean.square() - width.exp()).mean()
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


    class ByHand(nn.Module):
        def __init__(self, classes=5):
            super().__init__()
            self.scores = nn.Linear(8, classes)

        def forward(self, x):
            scores = self.scores(x)
            return scores - scores.logsumexp(dim=1, keepdim=True)


    def train(steps=100):
        model = ByHand()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            soft = torch.softmax(torch.randn(16, 5), dim=1)
            loss = F.kl_div(model(torch.randn(16, 8)), soft, reduction="batchmean")
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: kl_div is negative; KLDivLoss gives negative values; UserWarning: reduction: 'mean' divides the total loss by
both the batch size and the support size; distillation loss does not decrease; KL divergence is not zero for equal
distributions
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.learning import takes_part
from gradlint.analysis.losses import Loss, activation, is_exchanged, losses
from gradlint.analysis.operands import literal
from gradlint.analysis.values_of import domain
from gradlint.finding import Finding, Severity
from gradlint.graph import ModelGraph
from gradlint.rule import GraphRule, user_frame


class KlDivArguments(GraphRule):
    code = "GL608"
    severity = Severity.WARNING
    message = "{what}, so {why}"
    advice = "call kl_div(log_softmax(scores), target_probabilities, reduction='batchmean')"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for loss in losses(graph, "kl_div"):
            fault = _fault(graph, loss)
            if fault is not None:
                yield self.found(
                    user_frame(loss.call),
                    path=graph.model.path,
                    extra={"model": graph.model.name},
                    what=fault[0],
                    why=fault[1],
                )


def _fault(graph: ModelGraph, loss: Loss) -> tuple[str, str] | None:
    given, target = domain(graph, loss.prediction), domain(graph, loss.target)
    logarithmic = bool(literal(loss.call, 5, "log_target"))
    if given.nonnegative and given.known and given.high > 0:
        if is_exchanged(graph, loss) or target.high <= 0:
            return "the arguments are exchanged", "this is no divergence of the prediction from the target"
        return "the first argument is a probability and not its logarithm", "the loss has no minimum at the target"
    if _is_raw(graph, loss) and not is_exchanged(graph, loss):
        return "the first argument is raw scores and no logarithm of a probability", "the loss falls without a bound"
    if target.known and target.high <= 0 and target.low < 0 and not logarithmic:
        return "the target is a log-probability without log_target", "the logarithm of a negative number is taken"
    if is_exchanged(graph, loss):
        return "the arguments are exchanged", "this is no divergence of the prediction from the target"
    if loss.call.literals.get("reduction") == "mean":
        return "reduction is left at 'mean'", "the sum over classes is divided by their number, too"
    return None


def _is_raw(graph: ModelGraph, loss: Loss) -> bool:
    """Whether the prediction comes right from a layer with weights."""
    facts = ops.facts(activation(graph, loss.prediction).op)
    weighted = facts is not None and facts.kind in (ops.Kind.LINEAR, ops.Kind.CONV)
    return weighted and takes_part(graph, loss.prediction)
