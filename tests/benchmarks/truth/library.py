"""Wrapper programs around library models: stages of torchvision, timm and transformers architectures in user code."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .library_text import TEXT
from .library_vision import VISION, Stages

OPERATORS_MODULE = "torchvision_operators"

_TRAIN_FUNCTION = """
def train(steps=2):
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        x, y = {inputs}, {targets}
        output = model(x)
        loss = {loss}
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
"""

_MAIN_BLOCK = """
if __name__ == "__main__":
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x = {inputs}
    y = {targets}
    for _ in range(2):
        optimizer.zero_grad()
        output = model(x)
        loss = {loss}
        loss.backward()
        optimizer.step()
"""

_LOSS_FUNCTION = """
def compute_loss(model, batch):
    x, y = batch
    output = model(x)
    return {loss}


def fit(model, batches):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    history = []
    for batch in batches:
        model.train()
        loss = compute_loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


def main():
    torch.manual_seed(0)
    batches = [({inputs}, {targets}) for _ in range(2)]
    fit(Net(), batches)


if __name__ == "__main__":
    main()
"""

_TRAINER = """
class Trainer:
    def __init__(self, model, lr=1e-3):
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)

    def loss(self, x, y):
        output = self.model(x)
        return {loss}

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = self.loss(x, y)
        loss.backward()
        self.optimizer.step()
        return float(loss)


def run():
    torch.manual_seed(0)
    trainer = Trainer(Net())
    for _ in range(2):
        trainer.step({inputs}, {targets})


if __name__ == "__main__":
    run()
"""

_LOADER = """
def main():
    torch.manual_seed(0)
    samples = torch.utils.data.TensorDataset({inputs}, {targets})
    loader = torch.utils.data.DataLoader(samples, batch_size=2, shuffle=True)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for x, y in loader:
        output = model(x)
        loss = {loss}
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
"""

_STYLES = (_TRAIN_FUNCTION, _MAIN_BLOCK, _LOSS_FUNCTION, _TRAINER, _LOADER)

_MODEL = '''"""{title} as stages of a user's own network."""

{imports}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
{init}

    def forward(self, x):
{forward}

'''

_EXAMPLE_INPUTS = """
def gradlint_inputs():
    return ({inputs},)

"""


@dataclass(frozen=True)
class Program:
    """A model file: its name and its source text."""

    name: str
    text: str


def wrap(stages: Stages) -> Program:
    """The wrapper file of one library model; how it trains and whether it shows inputs is drawn from its name."""
    draw = random.Random(stages.name)
    fields = {"inputs": stages.inputs, "targets": stages.targets, "loss": stages.loss}
    text = _MODEL.format(
        title=stages.name.replace("_", " "),
        imports=_imports(stages),
        init=_indented(stages.init),
        forward=_indented(stages.forward),
    )
    if draw.random() < 0.5:
        text += _EXAMPLE_INPUTS.format(**fields)
    return Program(stages.name, text + draw.choice(_STYLES).format(**fields))


def programs() -> list[Program]:
    """Every wrapper program, torchvision and timm first."""
    return [wrap(stages) for stages in (*VISION, *TEXT)]


def _imports(stages: Stages) -> str:
    torch_lines = ("import torch", "import torch.nn.functional as F", "from torch import nn")
    operators = f"import {OPERATORS_MODULE}  # noqa: F401  (declares torchvision's operators)"
    return "\n".join([*torch_lines, operators, *stages.imports])


def _indented(lines: tuple[str, ...]) -> str:
    return "\n".join(" " * 8 + line for line in lines)
