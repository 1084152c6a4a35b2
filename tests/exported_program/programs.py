"""Small programs, exported and written as a user would."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradlint.analysis.reach import reach
from gradlint.frontends.exported_program.reading import read
from gradlint.graph import ModelGraph

PATH = "net.pt2"


def exported(model: nn.Module, *inputs: Any, strict: bool = False, decompose: bool = False) -> bytes:
    """The bytes of a `.pt2` file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, inputs, strict=strict)
        if decompose:
            program = program.run_decompositions()
        file = io.BytesIO()
        torch.export.save(program, file)
    return file.getvalue()


def graph_of(data: bytes) -> ModelGraph:
    (graph,) = read(PATH, io.BytesIO(data)).graphs()
    return graph


def starved(data: bytes) -> set[str]:
    return set(reach(graph_of(data)).starved)


def without_gradient(model: nn.Module, *inputs: Any) -> set[str]:
    """The trainable parameters that a real backward pass through all outputs leaves without a gradient."""
    outputs = torch.utils._pytree.tree_leaves(model(*inputs))
    wanted = [made for made in outputs if isinstance(made, torch.Tensor) and made.requires_grad]
    for parameter in model.parameters():
        parameter.grad = None
    if wanted:
        torch.autograd.backward([(made * torch.randn_like(made)).sum() for made in wanted])
    return {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}


def changed(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The same file with another program inside."""
    old = zipfile.ZipFile(io.BytesIO(data))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if "/models/" in name:
                program = json.loads(content)
                change(program)
                content = json.dumps(program).encode()
            new.writestr(name, content)
    return file.getvalue()


class Small(nn.Module):
    """Two layers, with whatever happens between them."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor] = torch.relu) -> None:
        super().__init__()
        self.before = nn.Linear(4, 4)
        self.after = nn.Linear(4, 2)
        self.between = between

    def forward(self, x: torch.Tensor) -> Any:
        return self.after(self.between(self.before(x)))
