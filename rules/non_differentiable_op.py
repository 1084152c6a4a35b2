"""An op whose output carries no gradient stands on every way to the loss.

argmax, comparisons, `one_hot`, sort's indices, nonzero, bincount and searchsorted return whole numbers or truth
values. A small change of their input changes nothing, so there is no derivative to pass on. They may select, mask and
count beside the computation; when the value itself goes through them, nothing before them learns.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def accuracy_loss(scores, target):
        predicted = scores.argmax(dim=1)
        return 1 - (predicted == target).float().mean()


    def train(steps=100):
        model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 4))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            x, y = torch.randn(32, 12), torch.randint(0, 4, (32,))
            optimizer.zero_grad()
            loss = accuracy_loss(model(x), y)
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    7:17 error: `argmax()` has no derivative and leaves 4 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class HardRouter(nn.Module):
        def __init__(self, width=16, experts=4):
            super().__init__()
            self.route = nn.Linear(width, experts)
            self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(experts))

        def forward(self, x):
            choice = F.one_hot(self.route(x).argmax(dim=-1), len(self.experts)).float()
            results = torch.stack([expert(x) for expert in self.experts], dim=-1)
            return (results * choice.unsqueeze(1)).sum(dim=-1)
    ```

    ```text
    13:28 error: `argmax()` has no derivative and leaves 2 parameter tensors without a gradient
    ```

    ```python
    import torch
    from torch import nn


    class Spiking(nn.Module):
        def __init__(self):
            super().__init__()
            self.synapse = nn.Linear(20, 32)
            self.readout = nn.Linear(32, 5)

        def forward(self, current):
            spikes = (self.synapse(current) > 1.0).float()
            return self.readout(spikes)
    ```

    ```text
    12:19 error: `>` has no derivative and leaves 2 parameter tensors without a gradient
    ```

Good: the op only selects, and the value path goes on.

    ```python
    import torch
    from torch import nn


    class TopScores(nn.Module):
        def __init__(self, width=16, experts=4, used=2):
            super().__init__()
            self.used = used
            self.route = nn.Linear(width, experts)
            self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(experts))

        def forward(self, x):
            weight, chosen = self.route(x).topk(self.used, dim=-1)
            results = torch.stack([expert(x) for expert in self.experts], dim=1)
            picked = results.gather(1, chosen.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
            return (weight.softmax(dim=-1).unsqueeze(-1) * picked).sum(dim=1)
    ```

A mask.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Hinge(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(12, 8)

        def forward(self, anchor, positive, negative):
            a, p, n = self.embed(anchor), self.embed(positive), self.embed(negative)
            violation = (a - p).square().sum(dim=1) - (a - n).square().sum(dim=1) + 1
            return (violation * (violation > 0)).mean()


    def train(steps=100):
        model = Hinge()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(torch.randn(16, 12), torch.randn(16, 12), torch.randn(16, 12))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

A prediction that nothing trains on.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(100, 16)
            self.score = nn.Linear(16, 5)

        def forward(self, tokens):
            scores = self.score(self.embed(tokens))
            return scores, scores.argmax(dim=-1)


    def train(steps=100):
        model = Tagger()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            tokens = torch.randint(0, 100, (8, 6))
            optimizer.zero_grad()
            scores, tags = model(tokens)
            loss = F.cross_entropy(scores.flatten(0, 1), (tokens % 5).flatten())
            loss.backward()
            optimizer.step()
            print((tags == tokens % 5).float().mean().item())


    if __name__ == "__main__":
        train()
    ```

Sampled actions of a rollout, when another network learns from the rollout every third time.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))

        def forward(self, state):
            return torch.distributions.Categorical(logits=self.layers(state))


    def train(steps=6):
        policy, judge = Policy(), nn.Linear(5, 1)
        acting = torch.optim.Adam(policy.parameters(), lr=1e-3)
        judging = torch.optim.Adam(judge.parameters(), lr=1e-3)
        done = 0
        while done < steps:
            done += 1
            state = torch.randn(8, 4)
            choice = policy(state)
            action = choice.sample()
            verdict = judge(torch.cat([state, action.float().unsqueeze(1)], dim=1))
            if done % 3 == 0:
                acting.zero_grad()
                (-choice.log_prob(action) * verdict.detach().squeeze(1)).mean().backward()
                acting.step()
            judging.zero_grad()
            F.binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict)).backward()
            judging.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: argmax, round and sign: no gradient; RuntimeError: element 0 of tensors does not require grad and does not
have a grad_fn; argmax has no gradient; An operation has `None` for gradient: K.argmax, K.round; No gradients provided
for any variable; accuracy as loss does not train; which functions are differentiable
"""

from __future__ import annotations

from gradlint.analysis.gradient_path import PathRule
from gradlint.finding import Severity
from gradlint.graph import Reason


class NonDifferentiableOp(PathRule):
    code = "GL105"
    severity = Severity.ERROR
    message = "`{expression}` has no derivative and leaves {count} without a gradient"
    advice = "use a differentiable form: softmax, sigmoid, gather of the values, or a straight-through estimator"
    reasons = frozenset({Reason.NON_DIFFERENTIABLE})
