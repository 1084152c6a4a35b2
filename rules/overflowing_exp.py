"""An exponential overflows, because its argument has no upper bound.

exp overflows to infinity above 88 in float32 and above 11 in float16. In a softmax or log-sum-exp by hand that gives
infinity over infinity, which is not a number. With the largest score subtracted the result is the same and nothing
overflows. Learnt scales, as `exp(0.5 * logvar)` of a variational autoencoder and the ratio of PPO, are a note.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(9, 16)
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            score = self.query(x)
            term = torch.exp(score)
            return self.head(term / term.sum(dim=1, keepdim=True))


    def train(steps=100):
        model = Memory()
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
    14:16 warning: a softmax by hand overflows for large scores: infinity over infinity is not a number
    ```

    ```python
    import torch
    from torch import nn


    class Classes(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))


    def train(steps=100):
        model = Classes()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randint(0, 4, (16, 1))
            optimizer.zero_grad()
            score = model(x)
            loss = (torch.log(score.exp().sum(dim=1)) - score.gather(1, y).squeeze(1)).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    22:27 warning: a log-sum-exp by hand overflows for large scores: infinity over infinity is not a number
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Rates(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 1)

        def forward(self, x):
            return torch.exp(self.second(torch.relu(self.first(x))))


    def train(steps=100):
        model = Rates()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, count = torch.randn(16, 9), torch.rand(16, 1)
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), count)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:16 note: the exponential of an unbounded value overflows for large scores: infinity over infinity is not a number
    ```

Fixed:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(9, 16)
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            score = self.query(x)
            term = torch.exp(score - score.amax(dim=1, keepdim=True))
            return self.head(term / term.sum(dim=1, keepdim=True))


    def train(steps=100):
        model = Memory()
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

Good: the largest score is subtracted.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(9, 16)
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            score = self.query(x)
            term = torch.exp(score - score.max(dim=1, keepdim=True).values)
            return self.head(term / term.sum(dim=1, keepdim=True))


    def train(steps=100):
        model = Shifted()
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

The difference is scaled, as in pooling by a log-sum-exp with a learnt sharpness.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class SoftPool(nn.Module):
        def __init__(self):
            super().__init__()
            self.sharpness = nn.Parameter(torch.tensor(10.0))
            self.map = nn.Conv2d(3, 8, 3)
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            x = self.map(x)
            largest = F.adaptive_max_pool2d(x, 1)
            term = torch.exp(self.sharpness * (x - largest)).mean((2, 3), keepdim=True)
            return self.head((largest + term.log() / self.sharpness).flatten(1))
    ```

An argument with an upper bound.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Kernel(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.centre = nn.Parameter(torch.randn(4, 16))

        def forward(self, x):
            apart = (self.first(x).unsqueeze(1) - self.centre).square().sum(dim=-1)
            return torch.exp(-apart)


    def train(steps=100):
        model = Kernel()
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

Similarities of unit vectors over a temperature.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Contrast(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)

        def forward(self, x):
            return F.normalize(self.first(x), dim=1)


    def train(steps=100):
        model = Contrast()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, twin = torch.randn(16, 9), torch.randn(16, 9)
            optimizer.zero_grad()
            near = torch.exp(model(x) @ model(twin).t() / 0.1)
            loss = -torch.log(near.diagonal() / near.sum(dim=1)).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Clamped.

    ```python
    import torch
    from torch import nn


    class Spread(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(9, 16)
            self.second = nn.Linear(16, 2)

        def forward(self, x):
            mean, width = self.second(torch.relu(self.first(x))).chunk(2, dim=1)
            return mean, torch.exp(width.clamp(-5, 2))


    def train(steps=100):
        model = Spread()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(16, 9), torch.randn(16, 1)
            optimizer.zero_grad()
            mean, width = model(x)
            loss = (0.5 * ((y - mean) / width).square() + width.log()).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A learnt scale.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Auto(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(9, 4)
            self.decode = nn.Linear(2, 9)

        def forward(self, x):
            mean, width = self.encode(x).chunk(2, dim=1)
            return self.decode(mean + torch.exp(0.5 * width) * torch.randn_like(mean)), mean, width


    def train(steps=100):
        model = Auto()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x = torch.randn(16, 9)
            optimizer.zero_grad()
            back, mean, width = model(x)
            loss = F.mse_loss(back, x) - 0.5 * (1 + width - mean.square() - width.exp()).mean()
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: softmax gives nan; exp overflow; loss is inf; ExpBackward0 returned nan values; attention weights are nan;
nan in mixed precision
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.hazards import LOGARITHMS, Hazard, exponentials
from gradlint.analysis.operands import final_readers, inputs, once, origin, pair
from gradlint.code import Code
from gradlint.finding import Finding, Fix, Severity
from gradlint.graph import ModelGraph, Node
from gradlint.rule import GraphRule, user_frame

PROPORTIONAL = frozenset({"mul", "div", "neg", "masked_fill", "where"})
"""Ops between an exponential and its sum that a hand-written softmax may have."""

RANDOM = ops.Kind.RANDOM
NEAR = 6
"""Ops between an exponential and its sum at most."""


class OverflowingExp(GraphRule):
    code = "GL805"
    severity = Severity.WARNING
    message = "{what} overflows for large scores: infinity over infinity is not a number"
    advice = "{remedy}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        found = {hazard.call.id: hazard for hazard in exponentials(graph)}
        for call in once(hazard.call for hazard in found.values()):
            use = _use(graph, found[call.id])
            what, remedy = WORDS[use]
            yield self.found(
                user_frame(call),
                path=graph.model.path,
                severity=Severity.NOTE if use == "scale" else None,
                extra={"model": graph.model.name},
                what=what,
                remedy=remedy,
            )

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """The exponential of a softmax with the largest score subtracted, which leaves its value as it is."""
        axes = _axes(code) if finding.severity is Severity.WARNING else None
        match code.node:
            case ast.Call(func=func, args=[ast.Name() as score]) if axes and code.resolved(func) == "torch.exp":
                text = f"{code.text(score)} - {code.text(score)}.amax(dim={axes}, keepdim=True)"
                return code.safe(code.replace(score, text))
        return None


WORDS = {
    "softmax": ("a softmax by hand", "use softmax, or subtract the largest score first"),
    "logsumexp": ("a log-sum-exp by hand", "use logsumexp, or subtract the largest score first"),
    "layer": ("the exponential of a layer's output", "use softplus, or clamp what goes into exp"),
    "scale": ("the exponential of an unbounded value", "clamp what goes into exp"),
}


def _use(graph: ModelGraph, hazard: Hazard) -> str:
    """What an exponential is for: the terms of a softmax or log-sum-exp, a layer's activation, a learnt scale."""
    totals = list(_totals(graph, hazard.call))
    if totals:
        logged = any(reader.op in LOGARITHMS for total in totals for reader in final_readers(graph, total))
        return "logsumexp" if logged and not _is_divided(graph, hazard.call) else "softmax"
    return "layer" if _is_activation(graph, hazard) else "scale"


def _totals(graph: ModelGraph, call: Node, depth: int = 0) -> Iterator[Node]:
    """The sums of an exponential that are divided by, or whose logarithm is taken."""
    for reader in final_readers(graph, call) if depth < NEAR else ():
        if reader.op in ("sum", "mean"):
            yield from (reader for one in final_readers(graph, reader) if _divides(graph, one, reader, depth))
        elif reader.op in PROPORTIONAL:
            yield from _totals(graph, reader, depth + 1)


def _divides(graph: ModelGraph, reader: Node, total: Node, depth: int) -> bool:
    if reader.op in ("add", "clamp") and depth < NEAR:
        return any(_divides(graph, one, reader, depth + 1) for one in final_readers(graph, reader))
    below = pair(graph, reader)[1] if reader.op == "div" else None
    divided = isinstance(below, Node) and origin(graph, below).id == total.id
    return divided or reader.op in LOGARITHMS


def _is_divided(graph: ModelGraph, call: Node) -> bool:
    return any(reader.op == "div" for reader in final_readers(graph, call))


def _is_activation(graph: ModelGraph, hazard: Hazard) -> bool:
    """Whether an exponential is the activation of a layer: nothing else reads the layer, and no noise is scaled."""
    layer = origin(graph, hazard.argument)
    known = ops.facts(layer.op)
    if known is None or known.kind not in (ops.Kind.LINEAR, ops.Kind.CONV):
        return False
    others = [one for one in final_readers(graph, layer) if one.id != hazard.call.id and one.id in graph.useful]
    return not others and not any(_scales(graph, reader) for reader in final_readers(graph, hazard.call))


def _scales(graph: ModelGraph, reader: Node) -> bool:
    """Whether an exponential is the width of a distribution, or a factor."""
    known = ops.facts(reader.op)
    noisy = any((facts := ops.facts(one.op)) is not None and facts.kind is RANDOM for one in inputs(graph, reader))
    return noisy or known is None or known.kind is RANDOM or reader.op in ("mul", "div", "log", "pow", "add", "square")


def _axes(code: Code) -> str | None:
    """The only axis that the function around an exponential sums over; None where there are several."""
    function = code.function(code.node)
    found: set[str] = set()
    for node in ast.walk(function) if function is not None else ():
        match node:
            case ast.Call(func=ast.Attribute(attr="sum"), keywords=keywords, args=args):
                named = [k.value for k in keywords if k.arg == "dim"] or args[-1:]
                found.update(code.text(axis) for axis in named)
    return found.pop() if len(found) == 1 else None
