"""Small models of every kind, healthy and with planted losses of gradient, that all front-ends can read.

`CASES` says of each which of its parts get no gradient. Nothing here depends on a loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 8


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class DeepMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(5)])
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x)


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3)
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x).mean(dim=(2, 3)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(WIDTH, WIDTH)
        self.left, self.right = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        return self.norm(x + self.right(F.gelu(self.left(x))))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Any:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / WIDTH**0.5
        return self.out(scores.softmax(dim=-1) @ self.value(x))


class TorchAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        mixed, _ = self.attention(x, x, x)
        return self.head(mixed)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Any:
        states, _ = self.lstm(x)
        return self.head(states[:, -1])


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH, 6, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        _, last = self.gru(x)
        return last.squeeze(0)


class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, WIDTH)
        self.head = nn.Linear(WIDTH, 11)

    def forward(self, tokens: Tensor) -> Any:
        return self.head(self.table(tokens).mean(dim=1))


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.gate = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Any:
        return self.body(x) * torch.sigmoid(self.gate(x))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))
        self.shift = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Any:
        return x * self.scale + self.shift


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(WIDTH, WIDTH)
        self.mean, self.spread = nn.Linear(WIDTH, 2), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        h = F.relu(self.trunk(x))
        return self.mean(h), F.softplus(self.spread(h))


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv1d(2, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose1d(4, 2, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Any:
        return self.up(F.leaky_relu(self.down(x)))


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Any:
        return self.prelu(self.norm(self.conv(x))).flatten(1)


class Gathered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(WIDTH, 6)

    def forward(self, x: Tensor) -> Any:
        h = self.body(x)
        best, where = h.topk(2, dim=-1)
        return best + h.gather(1, where)


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Any:
        both = torch.cat([self.left(x), self.right(x)], dim=1)
        first, second = torch.split(both, [4, 4], dim=1)
        return torch.stack([first, second]).sum(dim=0)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Any:
        h = self.body(x)
        return torch.where(h > 0, h, 0.1 * h) * (x > 0).float()


class Dropped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.2), nn.SiLU(), nn.Linear(WIDTH, 2))

    def forward(self, x: Tensor) -> Any:
        return F.log_softmax(self.body(x), dim=-1)


class IntegerCast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        return self.second(self.first(x).long().float())


class Argmax(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choose, self.table = nn.Linear(WIDTH, 5), nn.Embedding(5, WIDTH)

    def forward(self, x: Tensor) -> Any:
        return self.table(self.choose(x).argmax(dim=-1))


class Rounded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        return self.second(torch.round(self.first(x)))


class Signed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        return self.second(self.first(x).sign())


class Thresholded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        return self.second((self.first(x) > 0.5).float())


class Floored(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.conv(x).mean(dim=(2, 3)).floor())


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.spare = nn.Linear(WIDTH, 2), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        return self.body(x)


class UnusedLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(4)])

    def forward(self, x: Tensor) -> Any:
        for layer in self.layers[:2]:
            x = F.relu(layer(x))
        return x


class ResultDropped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.auxiliary = nn.Linear(WIDTH, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        h = self.body(x)
        self.auxiliary(h)
        return h


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        return self.second(self.first(x).detach())


class DetachedBranch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.target = nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Any:
        return self.body(x) - self.target(x).detach()


class GradientOff(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            h = F.relu(self.features(x))
        return self.head(h)


class StraightThrough(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        h = self.first(x)
        return self.second(h + (h.round() - h).detach())


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)
        self.features.requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x).round())


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.score, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Any:
        order = self.score(x).argsort(dim=-1)
        return self.head(x.gather(1, order))


class OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choose, self.head = nn.Linear(WIDTH, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Any:
        return self.head(F.one_hot(self.choose(x).argmax(dim=-1), 5).float())


class WrittenInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.lost = nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Any:
        h = self.lost(x).round()
        out = torch.zeros_like(h)
        out[:, :2] = self.body(x)[:, :2]
        out[:, 2:] += h[:, 2:]
        return out.relu_()


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.cut = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Any:
        x = torch.tanh(self.cell(x))
        x = x + self.cut(x).ceil()
        return torch.tanh(self.cell(x))


FLAT, IMAGE, WORDS, STEPS, LINE = "flat", "image", "words", "steps", "line"


def batch(kind: str) -> Tensor:
    """An input of some kind."""
    shapes = {FLAT: (4, WIDTH), IMAGE: (2, 3, 6, 6), STEPS: (2, 5, WIDTH), LINE: (2, 2, 8)}
    return torch.randint(11, (2, 5)) if kind == WORDS else torch.randn(shapes[kind])


@dataclass(frozen=True)
class Case:
    """A model, its input, the parts that get no gradient, and whether that shows in ONNX."""

    model: type[nn.Module]
    kind: str = FLAT
    starved: tuple[str, ...] = ()
    lost_in_onnx: bool = False


CASES = (
    Case(Mlp),
    Case(DeepMlp),
    Case(ConvNet, IMAGE),
    Case(Residual),
    Case(Attention, STEPS),
    Case(TorchAttention, STEPS),
    Case(Recurrent, STEPS),
    Case(Gated, STEPS),
    Case(Embedding, WORDS),
    Case(Gate),
    Case(Scaled, lost_in_onnx=True),
    Case(TwoHeads),
    Case(Transposed, LINE),
    Case(Normalised, IMAGE),
    Case(Gathered),
    Case(Joined),
    Case(Masked),
    Case(Dropped),
    Case(IntegerCast, starved=("first",)),
    Case(Argmax, starved=("choose",)),
    Case(Rounded, starved=("first",)),
    Case(Signed, starved=("first",)),
    Case(Thresholded, starved=("first",)),
    Case(Floored, IMAGE, starved=("conv",)),
    Case(Unused, starved=("spare",), lost_in_onnx=True),
    Case(UnusedLayers, starved=("layers.2", "layers.3"), lost_in_onnx=True),
    Case(ResultDropped, starved=("auxiliary",), lost_in_onnx=True),
    Case(Detached, starved=("first",), lost_in_onnx=True),
    Case(DetachedBranch, starved=("target",), lost_in_onnx=True),
    Case(GradientOff, starved=("features",), lost_in_onnx=True),
    Case(StraightThrough, lost_in_onnx=True),
    Case(Frozen, lost_in_onnx=True),
    Case(Sorted, starved=("score",)),
    Case(OneHot, starved=("choose",)),
    Case(WrittenInPlace, starved=("lost",)),
    Case(Shared, starved=("cut",)),
)
