"""Each family of ops against many runs of torch: mean square, mean, cross-moments, and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.moments.trial import Drawn, measured, predicted, ratio

TIMES = 120
TOLERANCE = 1.25
"""On mean squares; 120 runs of a few hundred numbers are that exact."""

LOOSE = 0.12
"""On means and cross-moments, in parts of the mean square."""

X = Drawn((4, 6, 8))
SHIFTED = Drawn((4, 6, 8), mean=0.5, deviation=1.2)
SHARED = Drawn((4, 6, 8), shared=1.0, along=(0,))
IMAGE = Drawn((4, 6, 8, 8))
GAIN = Drawn((8,), 1.0, 0.2)
MAPS = Drawn((4, 6, 4, 4), shared=1.0, along=(2, 3))
POSITIVE = Drawn((4, 6, 8), mean=4.0, deviation=0.5)


def check(function: Callable[..., Any], operands: Mapping[str, Drawn], tolerance: float = TOLERANCE) -> None:
    guess, truth = predicted(function, operands), measured(function, operands, TIMES)
    assert ratio(guess.square, truth.square) < tolerance, (guess, truth)
    assert abs(guess.mean - truth.mean) < LOOSE * truth.square**0.5 + 1e-6, (guess, truth)
    for size, one, other in zip(guess.shape, guess.cross, truth.cross, strict=True):
        # Elements that repel each other a little, as around their mean, count as independent.
        assert size == 1 or abs(one - max(other, 0.0)) < LOOSE * truth.square + 1e-9, (guess, truth)
    for name, one in guess.gradients.items():
        assert ratio(one, truth.gradients[name]) < tolerance**1.5, (name, guess, truth)


ACTIVATIONS = [
    torch.relu, torch.sigmoid, torch.tanh, F.gelu, F.silu, F.elu, F.selu, F.softplus, F.mish, F.leaky_relu, F.hardswish,
    F.hardsigmoid, F.hardtanh, F.relu6, F.softsign, F.logsigmoid, F.tanhshrink, F.celu, F.softshrink, F.hardshrink,
]  # fmt: skip


@pytest.mark.parametrize("function", ACTIVATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("x", [X, SHIFTED, SHARED], ids=["plain", "shifted", "shared"])
def test_activations(function: Callable[..., Any], x: Drawn) -> None:
    check(function, {"x": x})


ELEMENTWISE: dict[str, tuple[Callable[..., Any], dict[str, Drawn]]] = {
    "add": (lambda x, y: x + y, {"x": X, "y": SHIFTED}),
    "add twice": (lambda x: x + 0.5 * x, {"x": SHIFTED}),
    "less": (lambda x, y: 2.0 - x - 3.0 * y, {"x": X, "y": SHIFTED}),
    "repeated": (lambda x, y: x * y, {"x": SHIFTED, "y": Drawn((8,), mean=1.0)}),
    "swish by hand": (lambda x: x * torch.sigmoid(1.702 * x), {"x": X}),
    "square": (lambda x: x**2, {"x": SHIFTED}),
    "exp": (lambda x: torch.exp(0.3 * x), {"x": X}),
    "log": (torch.log, {"x": POSITIVE}),
    "rsqrt": (torch.rsqrt, {"x": POSITIVE}),
    "quotient": (lambda x, y: x / y, {"x": X, "y": POSITIVE}),
    "reciprocal": (lambda x: 1 / x, {"x": POSITIVE}),
    "clamp": (lambda x: x.clamp(-0.5, 1.0), {"x": X}),
    "sine": (torch.sin, {"x": SHIFTED}),
    "gate": (lambda x, y: x * torch.sigmoid(y), {"x": X, "y": X}),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str) -> None:
    check(*ELEMENTWISE[name])


LINEAR: dict[str, tuple[Callable[..., Any], dict[str, Drawn]]] = {
    "linear": (F.linear, {"x": SHARED, "w": Drawn((5, 8)), "b": Drawn((5,))}),
    "linear with a mean": (F.linear, {"x": SHIFTED, "w": Drawn((5, 8), mean=0.3), "b": Drawn((5,))}),
    "matmul": (torch.matmul, {"x": SHARED, "w": Drawn((4, 8, 7))}),
    "vector": (torch.matmul, {"x": X, "w": Drawn((8,))}),
    "bmm": (torch.bmm, {"x": X, "w": Drawn((4, 8, 3))}),
    "addmm": (torch.addmm, {"b": Drawn((3,)), "x": Drawn((5, 8)), "w": Drawn((8, 3))}),
    "einsum": (lambda x, y: torch.einsum("bij,bkj->bik", x, y), {"x": SHARED, "y": Drawn((4, 5, 8))}),
    "sum": (lambda x: x.sum(1), {"x": SHARED}),
    "mean": (lambda x: x.mean((0, 2), keepdim=True), {"x": SHARED}),
    "less its mean": (lambda x: x - x.mean(-1, keepdim=True), {"x": SHIFTED}),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_maps_and_sums(name: str) -> None:
    check(*LINEAR[name])


NORMS: dict[str, tuple[Callable[..., Any], dict[str, Drawn]]] = {
    "layer": (lambda x, w, b: F.layer_norm(x, (8,), w, b), {"x": SHIFTED, "w": GAIN, "b": Drawn((8,))}),
    "rms": (lambda x, w: F.rms_norm(x, (8,), w), {"x": X, "w": GAIN}),
    "rms by hand": (lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), {"x": Drawn((4, 6, 32))}),
    "layer by hand": (
        lambda x: (x - x.mean(-1, keepdim=True)) / (x - x.mean(-1, keepdim=True)).pow(2).mean(-1, keepdim=True).sqrt(),
        {"x": Drawn((4, 6, 32), mean=0.7)},
    ),
    "batch": (lambda x: F.batch_norm(x, None, None, training=True), {"x": Drawn((16, 6), mean=1.0)}),
    "batch of images": (lambda x: F.batch_norm(x, None, None, training=True), {"x": MAPS}),
    "group": (lambda x: F.group_norm(x, 2), {"x": IMAGE}),
    "instance": (F.instance_norm, {"x": IMAGE}),
    "normalize": (lambda x: F.normalize(x, dim=-1), {"x": Drawn((4, 6, 16))}),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_norms(name: str) -> None:
    check(*NORMS[name])


VIEWS: dict[str, Callable[..., Any]] = {
    "reshape": lambda x: x.reshape(4, 48),
    "split axis": lambda x: x.view(4, 6, 2, 4),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(-1, -2),
    "select": lambda x: x[:, 0],
    "slice": lambda x: x[:, :3],
    "expand": lambda x: x.unsqueeze(1).expand(4, 3, 6, 8),
    "chunk": lambda x: torch.cat(x.chunk(2, -1), 1),
    "join": lambda x: torch.cat([x, 3 * x + 1], 1),
    "pad": lambda x: F.pad(x, (2, 2)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str) -> None:
    check(VIEWS[name], {"x": SHARED})


POOLS: dict[str, Callable[..., Any]] = {
    "max": lambda x: F.max_pool2d(x, 2),
    "overlapping": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max of relu": lambda x: F.max_pool2d(torch.relu(x), 2),
    "average": lambda x: F.avg_pool2d(x, 2),
    "global": lambda x: F.adaptive_avg_pool2d(x, 1),
    "nearest": lambda x: F.interpolate(x, scale_factor=2.0),
    "dropout": lambda x: F.dropout(x, 0.4),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_and_dropout(name: str) -> None:
    check(POOLS[name], {"x": IMAGE}, tolerance=1.3)


SHARED_TOKENS = Drawn((3, 2, 12, 16), deviation=0.8, shared=0.6, along=(2,))
TOKENS = Drawn((3, 2, 12, 16))


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal: bool) -> None:
    check(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
        {"q": TOKENS, "k": TOKENS, "v": SHARED_TOKENS},
        tolerance=1.6,
    )


def test_open_attention() -> None:
    check(
        lambda q, k, v: torch.softmax(q @ k.transpose(-1, -2) / 8.0, -1) @ v,
        {"q": TOKENS, "k": TOKENS, "v": SHARED_TOKENS},
        tolerance=1.6,
    )


@given(
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
    size=st.integers(7, 10),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_convolutions(stride: int, padding: int, dilation: int, groups: int, size: int) -> None:
    operands = {"x": Drawn((4, 4, size, size)), "w": Drawn((8, 4 // groups, 3, 3)), "b": Drawn((8,))}
    check(lambda x, w, b: F.conv2d(x, w, b, stride, padding, dilation, groups), operands, tolerance=1.4)


@given(stride=st.integers(1, 3), groups=st.sampled_from([1, 2]), padding=st.integers(0, 1))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_transposed_convolutions(stride: int, groups: int, padding: int) -> None:
    operands = {"x": Drawn((4, 4, 6, 6)), "w": Drawn((4, 6 // groups, 3, 3))}
    check(lambda x, w: F.conv_transpose2d(x, w, None, stride, padding, groups=groups), operands, tolerance=1.4)


@given(
    shape=st.sampled_from([(4, 48), (24, 8), (2, 2, 6, 8), (4, 2, 3, 8), (192,)]),
    along=st.sampled_from([(0,), (1,), (0, 1)]),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_reshapes_keep_what_axes_share(shape: tuple[int, ...], along: tuple[int, ...]) -> None:
    check(lambda x: x.reshape(shape), {"x": Drawn((4, 6, 8), shared=1.0, along=along)})
