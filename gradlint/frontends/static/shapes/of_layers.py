"""Shapes of what layers make: linear maps, convolutions, pooling, embeddings."""

from __future__ import annotations

import functools
from typing import Any

from gradlint.frontends.static.python.plain_values import size
from gradlint.frontends.static.shapes.rules import (
    Shape,
    UnknownShapeError,
    known_shape,
    rule,
    sized,
    spread,
)
from gradlint.frontends.static.values import Tensor


@rule("linear", takes="x weight")
def _linear(x: Any, weight: Any) -> Shape:
    return (*known_shape(x)[:-1], *known_shape(weight)[:-1])


@rule("bilinear", takes="input1 -input2 weight")
def _bilinear(input1: Any, weight: Any) -> Shape:
    return (*known_shape(input1)[:-1], known_shape(weight)[0])


@rule("embedding", takes="x weight")
def _embedding(x: Any, weight: Any) -> Shape:
    return (*known_shape(x), *known_shape(weight)[1:])


def _axes_after_channels(shape: tuple[int | None, ...], axes: int) -> tuple[tuple[int | None, ...], list[int | None]]:
    """The batch and channel axes, and the others; raises `UnknownShapeError` for a rank that does not fit."""
    if len(shape) not in (axes + 1, axes + 2):
        raise UnknownShapeError
    return shape[:-axes], list(shape[-axes:])


def _slid(length: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, up: bool = False) -> int | None:
    """The number of places of a sliding window (Dumoulin and Visin 2016, relationship 15)."""

    def formula(length: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
        free = length + 2 * padding - dilation * (kernel - 1) - 1
        return (-(-free // stride) if up else free // stride) + 1

    return sized(formula, length, kernel, stride, padding, dilation)


def _convolved(axes: int, x: Any, weight: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Shape:
    kernel = known_shape(weight)
    shape = x.shape if isinstance(x, Tensor) and x.shape is not None else (None,) * (axes + 2)
    front, sides = _axes_after_channels(shape, axes)
    out = (
        sides
        if padding == "same"
        else [
            _slid(*terms)
            for terms in zip(
                sides,
                kernel[2:],
                spread(stride, axes),
                spread(0 if padding == "valid" else padding, axes),
                spread(dilation, axes),
                strict=True,
            )
        ]
    )
    return (*front[:-1], kernel[0], *out)


def _upsampled(
    axes: int,
    x: Any,
    weight: Any,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Shape:
    kernel = known_shape(weight)
    shape = x.shape if isinstance(x, Tensor) and x.shape is not None else (None,) * (axes + 2)
    front, sides = _axes_after_channels(shape, axes)
    terms = (sides, kernel[2:], *(spread(value, axes) for value in (stride, padding, output_padding, dilation)))
    out = [
        sized(lambda n, k, s, p, e, d: (n - 1) * s - 2 * p + d * (k - 1) + e + 1, *sizes)
        for sizes in zip(*terms, strict=True)
    ]
    return (*front[:-1], sized(lambda channels, group: channels * group, kernel[1], groups), *out)


def register_convolutions() -> None:
    """Registers convolutions and pooling over one, two and three axes."""
    for axes in (1, 2, 3):
        weighted, pooling = "x weight -bias stride padding", "x kernel_size stride padding"
        for names, takes, function in (
            ((f"conv{axes}d",), f"{weighted} dilation", _convolved),
            ((f"conv_transpose{axes}d",), f"{weighted} output_padding groups dilation", _upsampled),
            ((f"max_pool{axes}d", f"max_pool{axes}d_with_indices"), f"{pooling} dilation ceil_mode", _pooled),
            ((f"avg_pool{axes}d",), f"{pooling} ceil_mode", _pooled),
            ((f"adaptive_avg_pool{axes}d", f"adaptive_max_pool{axes}d"), "x output_size", _adapted),
        ):
            rule(*names, takes=takes)(functools.partial(function, axes))


def _adapted(axes: int, x: Any, output_size: Any) -> Shape:
    front, sides = _axes_after_channels(known_shape(x), axes)
    wanted = spread(output_size, axes)
    return (*front, *(side if want is None else size(want) for want, side in zip(wanted, sides, strict=True)))


def _pooled(
    axes: int,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: Any = False,
) -> Shape:
    front, sides = _axes_after_channels(known_shape(x), axes)
    stride = kernel_size if stride is None or stride == () else stride
    if type(ceil_mode) is not bool:
        return (*front, *(None for _ in sides))
    kernels, strides, paddings, dilations = (spread(v, axes) for v in (kernel_size, stride, padding, dilation))
    windows = zip(sides, kernels, strides, paddings, dilations, strict=True)
    return (*front, *(_window(n, k, s, p, d, ceil_mode) for n, k, s, p, d in windows))


def _window(length: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, up: bool) -> int | None:
    """As `_slid`; rounding up, the last window must not begin in the padding at the end."""
    places = _slid(length, kernel, stride, padding, dilation, up)
    if places is not None and up and (places - 1) * stride >= length + padding:
        return places - 1
    return places


@rule("lstm", "gru", "rnn_tanh", "rnn_relu", takes="x -hx weights -bias -layers -dropout -training bidirectional")
def _recurrent(x: Any, weights: Any, bidirectional: Any) -> Shape:
    state = known_shape(weights[1])[-1]
    directions = 2 if bidirectional is True else 1 if bidirectional is False else None
    return (*known_shape(x)[:-1], sized(lambda width, times: width * times, state, directions))


@rule("gru_cell", "rnn_tanh_cell", "rnn_relu_cell", takes="-x hx")
def _recurrent_cell(hx: Any) -> Shape:
    return known_shape(hx)


@rule("lstm_cell", takes="-x hx")
def _lstm_cell(hx: Any) -> Shape:
    return known_shape(hx[0])


@rule("multi_head_attention_forward", takes="query")
def _attention(query: Any) -> Shape:
    return known_shape(query)


@rule("scaled_dot_product_attention", takes="query -key value")
def _dot_product_attention(query: Any, value: Any) -> Shape:
    return (*known_shape(query)[:-1], known_shape(value)[-1])


@rule("pixel_shuffle", takes="x upscale_factor")
def _pixel_shuffle(x: Any, upscale_factor: Any) -> Shape:
    *front, channels, height, width = known_shape(x)
    times = [sized(lambda length, factor: length * factor, side, upscale_factor) for side in (height, width)]
    return (*front, sized(lambda count, factor: count // factor**2, channels, upscale_factor), *times)


@rule("pad", takes="x pad")
def _padded(x: Any, pad: Any) -> Shape:
    shape = list(known_shape(x))
    for number in range(len(pad) // 2):
        before, after = pad[2 * number : 2 * number + 2]
        shape[-1 - number] = sized(lambda length, one, other: length + one + other, shape[-1 - number], before, after)
    return tuple(shape)


@rule("interpolate", takes="x size scale_factor")
def _interpolated(x: Any, size: Any = None, scale_factor: Any = None) -> Shape:
    front, sides = known_shape(x)[:2], known_shape(x)[2:]
    if size is not None:
        return (*front, *(side if type(side) is int else None for side in spread(size, len(sides))))
    factors = spread(scale_factor, len(sides))
    known = (int, float)
    return (*front, *(int(s * f) if s and type(f) in known else None for s, f in zip(sides, factors, strict=True)))
