"""A model in a file named on the command line could not be captured, so nothing is known of its gradient.

gradlint builds the model and feeds it once. It needs arguments for the constructor and example inputs; it finds them in
`--input`, in the settings, in `gradlint_inputs()`, in the file's own calls and in the signature. When none of these
leads to a forward pass, the model is not judged, and a clean report would be a false promise. A graph out of a file
that no runtime takes is told of in the same way, at the number of the node: an operator that its opset does not have,
operands that do not fit, a shape that the file says is another.

Bad:

    ```python
    import os

    from torch import nn


    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, int(os.environ["CLASSES"]))

        def forward(self, features):
            return self.fc(features)
    ```

    ```text
    6:1 warning: `Classifier` was not traced: `Classifier` could not be built (KeyError: 'CLASSES')
    ```

Good:

    ```python
    from torch import nn


    class Classifier(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.fc = nn.Linear(8, classes)

        def forward(self, features):
            return self.fc(features)


    def gradlint_model():
        return Classifier(classes=3)
    ```

Symptoms: model not captured; no inputs found; missing required positional argument; could not infer the input's shape
"""

from __future__ import annotations

from typing import ClassVar

from gradlint.finding import Severity
from gradlint.rule import Rule


class NotTraced(Rule):
    """GL003."""

    code: ClassVar[str] = "GL003"
    severity: ClassVar[Severity] = Severity.WARNING
    message: ClassVar[str] = "`{model}` was not traced: {why}"
    advice: ClassVar[str] = "{remedy}"
