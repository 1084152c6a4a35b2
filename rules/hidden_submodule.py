"""A module or parameter is kept where `parameters()` does not see it: in a plain list, tuple or dict.

`nn.Module` registers what is assigned to an attribute and is itself a module or parameter; it does not look into
Python containers. Forward runs, backward even computes the gradients, and no optimizer ever steps them; `state_dict`,
`.to(device)` and `eval()` pass them by as well.

Bad:

    ```python
    import torch
    from torch import nn


    class Pyramid(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.stem = nn.Conv2d(3, width, 3, padding=1)
            self.dilated = [nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4)]
            self.head = nn.Conv2d(width, 1, 1)

        def forward(self, image):
            x = torch.relu(self.stem(image))
            return self.head(sum(torch.relu(conv(x)) for conv in self.dilated))
    ```

    ```text
    9:25 error: `dilated` is a plain list, so `parameters()` misses 6 tensors in it and no optimizer trains them
    ```

    ```python
    import torch
    from torch import nn


    class Multitask(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Linear(12, 16)
            self.heads = {"age": nn.Linear(16, 1), "income": nn.Linear(16, 1)}

        def forward(self, x):
            x = torch.relu(self.trunk(x))
            return {task: head(x) for task, head in self.heads.items()}
    ```

    ```text
    9:30 error: `heads` is a plain dict, so `parameters()` misses 4 tensors in it and no optimizer trains them
    ```

    ```python
    import torch
    from torch import nn


    class Prompted(nn.Module):
        def __init__(self, width=16, prompts=3):
            super().__init__()
            self.prompts = tuple(nn.Parameter(0.02 * torch.randn(width)) for _ in range(prompts))
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            return self.head(x + sum(self.prompts))
    ```

    ```text
    8:30 error: `prompts` is a plain tuple, so `parameters()` misses 3 tensors in it and no optimizer trains them
    ```

Good: the containers that register.

    ```python
    import torch
    from torch import nn


    class Registered(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.stem = nn.Conv2d(3, width, 3, padding=1)
            self.dilated = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4))
            self.heads = nn.ModuleDict({"mask": nn.Conv2d(width, 1, 1), "edge": nn.Conv2d(width, 1, 1)})

        def forward(self, image):
            x = torch.relu(self.stem(image))
            x = sum(torch.relu(conv(x)) for conv in self.dilated)
            return {name: head(x) for name, head in self.heads.items()}
    ```

It is also registered elsewhere.

    ```python
    import torch
    from torch import nn


    class Shortcut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 2)
            self.order = [self.first, self.second]

        def forward(self, x):
            for layer in self.order:
                x = torch.relu(layer(x))
            return x
    ```

It is hidden on purpose and frozen: a teacher that must not show up in the checkpoint.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Student(nn.Module):
        def __init__(self, teacher):
            super().__init__()
            self.teacher = [teacher.eval().requires_grad_(False)]
            self.layer = nn.Linear(12, 4)

        def forward(self, x):
            with torch.no_grad():
                wanted = self.teacher[0](x)
            return F.mse_loss(self.layer(x), wanted)


    def train(steps=100):
        model = Student(nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 4)))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(torch.randn(32, 12))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An optimizer was given it by hand.

    ```python
    import itertools

    import torch
    from torch import nn
    from torch.nn import functional as F


    class Agents(nn.Module):
        def __init__(self, agents=3):
            super().__init__()
            self.policies = [nn.Linear(6, 2) for _ in range(agents)]
            self.mixer = nn.Linear(2 * agents, 1)

        def forward(self, state):
            return self.mixer(torch.cat([policy(state) for policy in self.policies], dim=1))


    def train(steps=100):
        model = Agents()
        shown = itertools.chain(model.parameters(), *(policy.parameters() for policy in model.policies))
        optimizer = torch.optim.Adam(shown, lr=1e-3)
        for _ in range(steps):
            state = torch.randn(32, 6)
            optimizer.zero_grad()
            loss = F.mse_loss(model(state).squeeze(1), state.sum(dim=1))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: ValueError: optimizer got an empty parameter list; parameters in a list are not found; model.parameters() is
empty; AttributeError: cannot assign module before Module.__init__() call; Expected all tensors to be on the same
device; Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same; list of layers
does not train; Missing key(s) in state_dict
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.gradient_path import would_learn
from gradlint.finding import Finding, Severity
from gradlint.graph import Hidden, ModelGraph
from gradlint.rule import GraphRule

CONTAINERS = {
    ("module", "dict"): "nn.ModuleDict",
    ("parameter", "dict"): "nn.ParameterDict",
    ("parameter", "list"): "nn.ParameterList",
    ("parameter", "tuple"): "nn.ParameterList",
}


class HiddenSubmodule(GraphRule):
    code = "GL110"
    severity = Severity.ERROR
    message = "{what}, so {effect}"
    advice = "{cure}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for hidden in graph.model.hidden:
            if hidden.kind == "unready":
                yield self._said(graph, hidden, *UNREADY[hidden.holder])
            elif hidden.kind in ("module", "parameter") and not hidden.optimized and would_learn(graph, hidden):
                what = f"`{hidden.holder}` is a plain {hidden.container}"
                tensors = f"{len(hidden.names)} tensor{'' if len(hidden.names) == 1 else 's'}"
                effect = f"`parameters()` misses {tensors} in it and no optimizer trains them"
                better = CONTAINERS.get((hidden.kind, hidden.container), "nn.ModuleList")
                yield self._said(graph, hidden, what, effect, f"keep them in an {better}")

    def _said(self, graph: ModelGraph, hidden: Hidden, what: str, effect: str, cure: str) -> Finding:
        extra = {"model": graph.model.name, "module": None if hidden.kind == "unready" else hidden.holder}
        return self.found(hidden.frame, path=graph.model.path, what=what, effect=effect, cure=cure, extra=extra)


UNREADY = {
    "misspelt": (
        "this constructor's name is misspelt",
        "it never runs and the model has none of its parameters",
        "name it __init__",
    ),
    "early": (
        "this module is assigned before `super().__init__()`",
        "it cannot be registered and building the model raises",
        "call super().__init__() first",
    ),
}
