"""A recurrent network is trained without bounding its gradients.

The gradient of a recurrent net is a product over all time steps. Now and then it is many orders of magnitude larger
than usual, and a single such batch throws the weights out of the region that took hours to reach (Pascanu, Mikolov
and Bengio, 2013). Clipping the norm costs one line. Every published recipe for LSTM and GRU has it.

Bad:

    ```python
    import torch
    from torch import nn


    class Prices(nn.Module):
        def __init__(self, features=5, hidden=32):
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, num_layers=2, batch_first=True)
            self.head = nn.Linear(hidden, 1)

        def forward(self, window):
            out, _ = self.lstm(window)
            return self.head(out[:, -1])


    def train(epochs=20):
        x = torch.randn(32, 30, 5).cumsum(1) * 0.01
        y = x[:, -1, :1] * 0.1
        model, criterion = Prices(), nn.MSELoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(8):
                optimizer.zero_grad()
                loss = criterion(model(x[index]), y[index])
                loss.backward()
                optimizer.step()


    if __name__ == "__main__":
        train()
    ```

    ```text
    26:13 warning: a recurrent network (LSTM) is trained here without bounding its gradients
    ```

Good: the norm of the gradients is bounded.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Tagger(nn.Module):
        def __init__(self, words=200, tags=9, width=32):
            super().__init__()
            self.embed = nn.Embedding(words, width)
            self.encode = nn.GRU(width, width, batch_first=True, bidirectional=True)
            self.tag = nn.Linear(2 * width, tags)

        def forward(self, words):
            return self.tag(self.encode(self.embed(words))[0])


    def train(steps=100):
        model = Tagger()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        for _ in range(steps):
            words, tags = torch.randint(0, 200, (8, 12)), torch.randint(0, 9, (8, 12))
            loss = F.cross_entropy(model(words).transpose(1, 2), tags)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Each value is bounded by hand.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    def train(steps=100):
        cell, head = nn.LSTMCell(3, 16), nn.Linear(16, 1)
        parameters = [*cell.parameters(), *head.parameters()]
        optimizer = torch.optim.RMSprop(parameters, lr=1e-3)
        for _ in range(steps):
            series = torch.randn(20, 4, 3)
            state = None
            for x in series:
                state = cell(x, state)
            optimizer.zero_grad()
            F.mse_loss(head(state[0]), series.sum(dim=(0, 2)).unsqueeze(1)).backward()
            for parameter in parameters:
                parameter.grad.clamp_(-1.0, 1.0)
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: loss suddenly jumps to nan; LSTM loss spikes; exploding gradients in RNN; training was fine and then
diverged; GRU loss nan after some epochs
"""

from __future__ import annotations

from collections.abc import Iterator

from gradlint.analysis.training_order import certain_steps, got_away
from gradlint.finding import Evidence, Finding, Severity
from gradlint.rule import TrainingRule
from gradlint.training import EventKind, TrainingStep

BOUNDS = (EventKind.CLIP, EventKind.ASSIGNED, EventKind.UPDATE, EventKind.GRADIENT)
"""What may bound gradients."""


class MissingGradientClipping(TrainingRule):
    code = "GL704"
    severity = Severity.WARNING
    message = "a recurrent network ({op}) is trained here without bounding its gradients"
    advice = "call torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0) between backward and step"

    def check_step(self, step: TrainingStep) -> Iterator[Finding]:
        if step.origin != "file" or not step.complete or step.anywhere(*BOUNDS):
            return
        recurrent = [e for e in step.of(EventKind.BACKWARD) if e.facts.get("recurrent")]
        searching = {e.subject for e in step.anywhere(EventKind.OPTIMIZER) if e.facts.get("class") == "LBFGS"}
        for event in (e for e in certain_steps(step) if e.subject not in searching):
            fed = next((e for e in recurrent if e.concerns(event.parameters)), None)
            if fed is not None and not got_away(step, event):
                op = str(fed.facts["recurrent"]).upper()
                yield self.found(event.frame, path="", evidence=Evidence.SOURCE, op=op)
                return
