"""A training loop computes a loss and never backpropagates it, or an optimizer never steps.

Half of the training step is missing: `backward` without `step` computes gradients that nobody uses, `step` without
`backward` finds none and changes nothing. Nothing raises; the loss stays where it was at the start. Also written
`loss.backward` or `optimizer.step` without the parentheses.

Bad:

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Upscaler(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.first = nn.Conv2d(1, width, 5, padding=2)
            self.second = nn.Conv2d(width, 4, 3, padding=1)
            self.shuffle = nn.PixelShuffle(2)

        def forward(self, low):
            return self.shuffle(self.second(F.relu(self.first(low))))


    def train(epochs=20):
        net = Upscaler()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(epochs):
            high = torch.rand(2, 1, 16, 16)
            optimizer.zero_grad()
            loss = F.l1_loss(net(F.avg_pool2d(high, 2)), high)
            loss.backward()


    if __name__ == "__main__":
        train()
    ```

    ```text
    24:9 error: no optimizer steps after this backward pass, so nothing is learned
    ```

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 3))
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
        for _ in range(steps):
            x, kind = torch.randn(16, 12), torch.randint(0, 3, (16,))
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), kind)
            optimizer.step()
        return loss.item()


    if __name__ == "__main__":
        train()
    ```

    ```text
    13:9 error: no backward pass feeds this step, so nothing is learned
    ```

    ```python
    import torch
    from torch.nn import functional as F


    def train_one_epoch(model, loader, optimizer):
        model.train()
        for image, mask in loader:
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(image), mask)
            loss.backward()
            optimizer.step
    ```

    ```text
    10:9 error: no optimizer steps after this backward pass, so nothing is learned
    ```

Good: evaluation needs neither.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    @torch.no_grad()
    def evaluate(model, loader):
        model.eval()
        return sum(F.cross_entropy(model(x), y).item() for x, y in loader) / len(loader)


    def train(steps=100):
        net = nn.Linear(12, 3)
        batches = [(torch.randn(16, 12), torch.randint(0, 3, (16,))) for _ in range(4)]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(steps):
            net.train()
            for x, y in batches:
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
            print(evaluate(net, batches))


    if __name__ == "__main__":
        train()
    ```

The closure of L-BFGS backpropagates.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def fit(steps=20):
        net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
        optimizer = torch.optim.LBFGS(net.parameters(), lr=1.0)
        x = torch.rand(64, 2)
        y = x.prod(dim=1, keepdim=True)

        def closure():
            optimizer.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            return loss

        for _ in range(steps):
            optimizer.step(closure)


    if __name__ == "__main__":
        fit()
    ```

Gradients that are read: an importance of each weight.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def importance(model, loader):
        model.eval()
        found = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        for x, y in loader:
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            for name, parameter in model.named_parameters():
                found[name] += parameter.grad.detach() ** 2 / len(loader)
        return found


    if __name__ == "__main__":
        importance(nn.Linear(4, 2), [(torch.randn(8, 4), torch.randint(0, 2, (8,)))])
    ```

A wrapper with a schedule steps under a name of its own.

    ```python
    from torch.nn import functional as F


    def train(model, loader, optimizer):
        for words, following in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(words), following).backward()
            optimizer.step_and_update_rate()
    ```

Symptoms: loss does not change at all; loss stays constant; weights never change; model does not learn; accuracy stays
at chance; optimizer.step() has no effect; parameters are the same after training
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.training_order import by_place, certain_steps, got_away, inside, may_clear
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule
from gradlint.training import Event, EventKind, TrainingStep

USES = (EventKind.GRADIENT, EventKind.ASSIGNED, EventKind.UPDATE, EventKind.REBOUND)
"""What else may be done with gradients."""


WHAT = {
    EventKind.BACKWARD: "no optimizer steps after this backward pass",
    EventKind.STEP: "no backward pass feeds this step",
    EventKind.ZERO_GRAD: "this optimizer never steps",
}


class MissingBackwardOrStep(TrainingRule):
    code = "GL702"
    severity = Severity.ERROR
    message = "{what}, so nothing is learned"
    advice = "{cure}"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        if step.origin == "framework" or not step.complete or step.loop is None:
            return
        for at in (*_unused_passes(step), *_idle_steps(step), *_idle_optimizers(step)):
            no_step = at.kind is not EventKind.STEP
            what = WHAT[at.kind]
            cure = "call optimizer.step() after it" if no_step else "call loss.backward() before it"
            yield self.found(at.frame, path="", evidence=Evidence.SOURCE, what=what, cure=cure)
            return


def _unused_passes(step: TrainingStep) -> Iterator[Event]:
    """Backward passes in a loop that clears an optimizer's gradients, or with an optimizer at hand, and never steps."""
    for group in by_place(step.of(EventKind.BACKWARD)):
        last = group[-1]
        reached = tuple(last.facts.get("reached", ())) or last.parameters
        used = step.anywhere(EventKind.STEP, EventKind.ESCAPED, *USES)
        if last.facts.get("framework") or any(e.concerns(last.parameters) for e in used):
            continue
        zeros = [
            e for e in step.of(EventKind.ZERO_GRAD) if e.facts.get("of") == "optimizer" and inside(e, last.loop[:1])
        ]
        built = [e for e in step.anywhere(EventKind.OPTIMIZER) if e.parameters and reached]
        if any(e.concerns(last.parameters) for e in zeros) or any(e.concerns(reached) for e in built):
            yield last


def _idle_optimizers(step: TrainingStep) -> Iterator[Event]:
    """Optimizers that are cleared in the loop, whose parameters get gradients, and that never step."""
    used = step.anywhere(EventKind.STEP, EventKind.ESCAPED, *USES)
    for group in by_place(step.of(EventKind.ZERO_GRAD)):
        last = group[-1]
        if last.facts.get("of") != "optimizer" or not last.parameters or any(e.concerns(last.parameters) for e in used):
            continue
        if any(e.concerns(last.parameters) for e in step.of(EventKind.BACKWARD) if e.parameters):
            yield last


def _idle_steps(step: TrainingStep) -> Iterator[Event]:
    """Steps of an optimizer in a loop that clears its gradients and calls a model, and never backpropagates."""
    if step.anywhere(EventKind.BACKWARD, EventKind.ESCAPED, *USES):
        return
    forward = [e for e in step.of(EventKind.FORWARD) if e.facts.get("grad")]
    for group in by_place(certain_steps(step)):
        last = group[-1]
        zeroed = any(may_clear(zero, last) for zero in step.of(EventKind.ZERO_GRAD))
        called = any(e.concerns(last.parameters) and inside(e, last.loop[:1]) for e in forward)
        if last.loop and zeroed and called and not got_away(step, last):
            yield last
