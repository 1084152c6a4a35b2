"""A bias right before a batch norm or instance norm has no effect: the norm subtracts it again.

The norm takes the mean of each channel away, and with it whatever the layer before added to that channel. The bias'
gradient is exactly zero; it costs memory, time and the optimizer's state. The norm has a bias of its own.

The fix is an unsafe one: checkpoints that were saved with the bias no longer load without `strict=False`.

Bad:

    ```python
    import torch
    from torch import nn


    class Road(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3, padding=1)
            self.norm = nn.BatchNorm2d(16)
            self.fc = nn.Linear(16, 8)
            self.fc_norm = nn.BatchNorm1d(8)
            self.out = nn.Linear(8, 1)

        def forward(self, image):
            x = torch.relu(self.norm(self.conv(image))).mean(dim=(2, 3))
            return self.out(torch.relu(self.fc_norm(self.fc(x))))
    ```

    ```text
    8:21 note: the norm behind subtracts 1 bias again (`conv.bias`), so the gradient is exactly zero
    10:19 note: the norm behind subtracts 1 bias again (`fc.bias`), so the gradient is exactly zero
    ```

    ```python
    from torch import nn


    def block(inner, outer):
        return [nn.ConvTranspose1d(inner, outer, 4, stride=2, bias=True), nn.InstanceNorm1d(outer), nn.ReLU()]


    class Wave(nn.Sequential):
        def __init__(self):
            super().__init__(*block(8, 16), *block(16, 8), nn.Conv1d(8, 1, 1))
    ```

    ```text
    5:13 note: the norm behind subtracts 2 biases again (`0.bias`, `3.bias`), so the gradient is exactly zero
    ```

Fixed:

    ```python
    import torch
    from torch import nn


    class Road(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(16)
            self.fc = nn.Linear(16, 8, bias=False)
            self.fc_norm = nn.BatchNorm1d(8)
            self.out = nn.Linear(8, 1)

        def forward(self, image):
            x = torch.relu(self.norm(self.conv(image))).mean(dim=(2, 3))
            return self.out(torch.relu(self.fc_norm(self.fc(x))))
    ```

    ```python
    from torch import nn


    def block(inner, outer):
        return [nn.ConvTranspose1d(inner, outer, 4, stride=2, bias=False), nn.InstanceNorm1d(outer), nn.ReLU()]


    class Wave(nn.Sequential):
        def __init__(self):
            super().__init__(*block(8, 16), *block(16, 8), nn.Conv1d(8, 1, 1))
    ```

Good: something stands between, or the norm's groups have several channels, whose biases differ.

    ```python
    import torch
    from torch import nn


    class Between(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3, padding=1)
            self.norm = nn.BatchNorm2d(16)
            self.second = nn.Conv2d(16, 16, 3, padding=1)
            self.second_norm = nn.GroupNorm(4, 16)
            self.fc = nn.Linear(16, 8)
            self.fc_norm = nn.LayerNorm(8)

        def forward(self, image):
            x = self.norm(torch.relu(self.conv(image)))
            x = self.second_norm(self.second(x))
            return self.fc_norm(self.fc(x.mean(dim=(2, 3))))
    ```

The value is used beside the norm too.

    ```python
    import torch
    from torch import nn


    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3, padding=1)
            self.norm = nn.BatchNorm2d(16)
            self.out = nn.Conv2d(16, 1, 1)

        def forward(self, image):
            x = self.conv(image)
            return self.out(x + torch.relu(self.norm(x)))
    ```

A batch norm that is frozen keeps its own mean, and the bias its effect.

    ```python
    from torch import nn
    from torch.nn import functional as F


    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3)
            self.norm = nn.BatchNorm2d(16)
            self.out = nn.Linear(16, 1)

        def forward(self, image):
            norm = self.norm
            x = F.batch_norm(self.conv(image), norm.running_mean, norm.running_var, norm.weight, norm.bias)
            return self.out(x.mean(dim=(2, 3)))
    ```

Symptoms: gradient of conv bias is zero; bias=False before BatchNorm; is the bias needed with batch normalization;
unused bias parameters
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradlint import ops
from gradlint.analysis.gradient_path import affected, counted, listed
from gradlint.analysis.norms import is_kind, normalised, parameters_of, standardises
from gradlint.code import Code
from gradlint.finding import Finding, Fix, Severity
from gradlint.graph import Frame, ModelGraph, Node, NodeKind, Parameter
from gradlint.rule import GraphRule, user_frame

BIAS_POSITION = {"Linear": 2, "Bilinear": 3} | {
    f"Conv{kind}{axes}d": 7 for kind in ("", "Transpose") for axes in (1, 2, 3)
}
"""Layers by name, and the position of `bias` among the arguments of their constructors."""

LAYERS = "torch.nn."


class BiasBeforeNorm(GraphRule):
    code = "GL502"
    severity = Severity.NOTE
    message = "the norm behind subtracts {count} again ({names}), so the gradient is exactly zero"
    advice = "pass bias=False to the layer before the norm"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        cancelled = {p.name for p in graph.model.trainable if len(p.shape) == 1 and _is_cancelled(graph, p)}
        groups: dict[Frame | None, list[Parameter]] = {}
        kept = {p.made for p in graph.model.trainable if _is_bias_vector(p) and p.name not in cancelled}
        for parameter in graph.model.trainable:
            if parameter.name in cancelled:
                groups.setdefault(_place(graph, parameter, kept), []).append(parameter)
        for place, biases in groups.items():
            yield self._said(graph, place, tuple(biases))

    def _said(self, graph: ModelGraph, place: Frame | None, biases: tuple[Parameter, ...]) -> Finding:
        return self.found(
            place,
            path=graph.model.path,
            count=counted(biases, "bias").replace("biass", "biases"),
            names=listed(biases),
            extra=affected(graph.model, biases),
        )

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """A layer without a bias, where the file shows its call and nothing reads the bias of a layer."""
        position = BIAS_POSITION.get(code.resolved(code.call.func).removeprefix(LAYERS))
        if position is None or _chosen(code.call, position) or _reads_bias(code.tree):
            return None
        return code.unsafe(code.keyword(code.call, "bias", "False", position=position))


def _is_cancelled(graph: ModelGraph, bias: Parameter) -> bool:
    """Whether everything that reads a bias is a linear map whose channels one norm alone reads."""
    readers = [graph.node(edge.target) for edge in graph.outgoing(bias.node)] if bias.node is not None else []
    used = [node for node in readers if node.id in graph.useful]
    return bool(used) and all(_is_only_normalised(graph, node, bias) for node in used)


def _is_only_normalised(graph: ModelGraph, node: Node, bias: Parameter) -> bool:
    if not is_kind(node, ops.Kind.LINEAR, ops.Kind.CONV) or not _is_bias(graph, node, bias):
        return False
    readers = [graph.node(edge.target) for edge in graph.outgoing(node.id) if edge.target in graph.useful]
    return bool(readers) and all(_cancels(graph, reader, node, bias) for reader in readers)


def _is_bias(graph: ModelGraph, node: Node, bias: Parameter) -> bool:
    """Whether an op adds a parameter last, one number a channel, to what a weight of more axes makes."""
    own = list(parameters_of(graph, node))
    return len(own) > 1 and own[-1].name == bias.name and max(len(p.shape) for p in own) > 1


def _cancels(graph: ModelGraph, norm: Node, source: Node, bias: Parameter) -> bool:
    """Whether a norm takes the mean of every channel of its input, as many as the bias has numbers."""
    if not standardises(norm) or normalised(graph, norm) != source:
        return False
    channels = [graph.node(e.source).shape for e in graph.incoming(norm.id) if e.source != source.id]
    known = [shape for shape in channels if shape is not None]
    return all(shape == bias.shape for shape in known) and bool(known or is_kind(source, ops.Kind.CONV))


def _is_bias_vector(parameter: Parameter) -> bool:
    return parameter.name.endswith(".bias") and len(parameter.shape) == 1


def _place(graph: ModelGraph, bias: Parameter, kept: set[Frame | None]) -> Frame | None:
    """The call that made a bias; where that made others that have an effect (`kept`), the call of the layer."""
    if bias.made is not None and bias.made not in kept:
        return bias.made
    layers = [graph.node(edge.target) for edge in graph.outgoing(bias.node)] if bias.node is not None else []
    return next((user_frame(node) for node in layers if node.kind is NodeKind.OP), bias.made)


def _chosen(call: ast.Call, position: int) -> bool:
    """Whether a call hands a bias on that somebody else chooses."""
    given = [keyword.value for keyword in call.keywords if keyword.arg in ("bias", None)] + call.args[position:]
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    return starred or not all(isinstance(value, ast.Constant) and value.value is True for value in given[:1])


def _reads_bias(tree: ast.Module) -> bool:
    """Whether a file reads the attribute `bias` of anything, which would be None."""
    return any(isinstance(node, ast.Attribute) and node.attr == "bias" for node in ast.walk(tree))
