"""The worker of a model ran out of its time or memory, or was killed, so the model was not judged.

A model runs in a process of its own with limits, so that one that hangs or allocates without end cannot stop the run.
The other targets are still linted.

Bad:

    ```text
    batches = list(iter(lambda: torch.randn(64, 3, 224, 224), None))  # at the head of the file: runs on import
    ```

Good:

    ```text
    if __name__ == "__main__":  # gradlint imports the file under another name
        train()
    ```

Symptoms: gradlint hangs; worker killed; out of memory; Killed; signal 9; timeout while importing the file
"""

from __future__ import annotations

from typing import ClassVar

from gradlint.finding import Severity
from gradlint.rule import Rule


class TargetKilled(Rule):
    """GL004."""

    code: ClassVar[str] = "GL004"
    severity: ClassVar[Severity] = Severity.ERROR
    message: ClassVar[str] = "nothing is known of this model: {why}"
    advice: ClassVar[str] = "{remedy}"
