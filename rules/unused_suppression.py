"""An ignore comment silences nothing, so it is left over from a fault that is gone, or stands in the wrong place.

It stays behind when the code is mended, and then hides the next fault that is made there. A comment is judged only
where its rule could have found something in this run: a rule that is not selected, or that reads models while the
code under the comment belongs to none, leaves it alone. `--fix` removes the comment, its reason with it, or only
the codes that silence nothing; other comments on the line stay.

Bad:

    ```python
    import torch
    from torch import nn


    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = torch.relu(self.first(x))  # gradlint: ignore[detached-tensor] -- was a target branch once
            return self.second(x)  # noqa: E501  # gradlint: ignore[GL101, GL105]
    ```

    ```text
    12:40 warning: `detached-tensor` silences nothing here, so the comment would hide the next real fault
    13:46 warning: `GL101`, `GL105` silence nothing here, so the comment would hide the next real fault
    ```

    ```python
    import torch
    from torch import nn


    class Target(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = torch.relu(self.first(x)).detach()  # gradlint: ignore[GL101, GL105] -- only the head is trained
            return self.second(x)
    ```

    ```text
    12:75 warning: `GL105` silences nothing here, so the comment would hide the next real fault
    ```

Fixed:

    ```python
    import torch
    from torch import nn


    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = torch.relu(self.first(x))
            return self.second(x)  # noqa: E501
    ```

    ```python
    import torch
    from torch import nn


    class Target(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 4)

        def forward(self, x):
            x = torch.relu(self.first(x)).detach()  # gradlint: ignore[GL101] -- only the head is trained
            return self.second(x)
    ```

Good: it silences a finding.

    ```python
    import torch
    from torch import nn


    class Probe(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(12, 16)
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            features = torch.relu(self.body(x)).detach()  # gradlint: ignore[detached-tensor] -- a linear probe
            return self.head(features)
    ```

The function around it belongs to no model that was seen.

    ```python
    import torch
    from torch import nn


    class Regression(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(12, 1)

        def forward(self, x):
            return self.layer(x)


    def consistency(online, target):
        return (online - target).square().mean()  # gradlint: ignore[detached-tensor]
    ```

Symptoms: ignore comment has no effect; stale suppression; unused noqa; which gradlint comments are still needed;
warn-unused-ignores
"""

from __future__ import annotations

from gradlint.finding import Severity
from gradlint.rule import Rule


class UnusedSuppression(Rule):
    code = "GL002"
    severity = Severity.WARNING
    message = "{named} {verb} nothing here, so the comment would hide the next real fault"
    advice = "delete it, or let --fix do so"
