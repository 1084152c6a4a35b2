"""One step of a recurrent layer and its derivative, on plain lists: the cells of LSTM, GRU and the simple RNN.

The gates stand in torch's order: input, forget, cell, output; reset, update, new.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Vector = list[float]
Matrix = list[Vector]


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


@dataclass(frozen=True, slots=True)
class Weights:
    """The parameters of one layer and direction: one row of a matrix for each unit of each gate."""

    inputs: Matrix
    hidden: Matrix
    input_bias: Vector
    hidden_bias: Vector


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of one sample: what it read, what the gates were before their activations, and its state behind."""

    x: Vector
    before: Vector
    cell_before: Vector
    from_input: Vector
    from_hidden: Vector
    hidden: Vector
    cell: Vector


def product(matrix: Matrix, vector: Vector, bias: Vector) -> Vector:
    """A matrix times a vector plus a bias."""
    return [sum(a * b for a, b in zip(row, vector, strict=True)) + one for row, one in zip(matrix, bias, strict=True)]


def transposed(matrix: Matrix, vector: Vector, width: int) -> Vector:
    """The transposed matrix times a vector."""
    found = [0.0] * width
    for row, one in zip(matrix, vector, strict=True):
        if one:
            for at, entry in enumerate(row):
                found[at] += entry * one
    return found


def forward(kind: str, weights: Weights, x: Vector, hidden: Vector, cell: Vector) -> Moment:
    """One step; `kind` is lstm, gru, rnn or rnn_relu."""
    a, b = product(weights.inputs, x, weights.input_bias), product(weights.hidden, hidden, weights.hidden_bias)
    after, kept = FORWARD[kind](a, b, hidden, cell)
    return Moment(x, hidden, cell, a, b, after, kept)


def _lstm(a: Vector, b: Vector, _: Vector, cell: Vector) -> tuple[Vector, Vector]:
    n = len(cell)
    kept = [
        sigmoid(a[n + j] + b[n + j]) * cell[j] + sigmoid(a[j] + b[j]) * math.tanh(a[2 * n + j] + b[2 * n + j])
        for j in range(n)
    ]
    return [sigmoid(a[3 * n + j] + b[3 * n + j]) * math.tanh(kept[j]) for j in range(n)], kept


def _gru(a: Vector, b: Vector, hidden: Vector, cell: Vector) -> tuple[Vector, Vector]:
    n = len(hidden)
    made = []
    for j in range(n):
        new = math.tanh(a[2 * n + j] + sigmoid(a[j] + b[j]) * b[2 * n + j])
        update = sigmoid(a[n + j] + b[n + j])
        made.append((1.0 - update) * new + update * hidden[j])
    return made, cell


def _tanh(a: Vector, b: Vector, _: Vector, cell: Vector) -> tuple[Vector, Vector]:
    return [math.tanh(one + two) for one, two in zip(a, b, strict=True)], cell


def _relu(a: Vector, b: Vector, _: Vector, cell: Vector) -> tuple[Vector, Vector]:
    return [max(one + two, 0.0) for one, two in zip(a, b, strict=True)], cell


Gates = tuple[Vector, Vector, Vector, Vector]
"""Gradients of what comes from the input and from the hidden state, and of the state before: hidden, and cell."""


def backward(kind: str, at: Moment, hidden: Vector, cell: Vector) -> Gates:
    """The gradients of one step, by those of its state behind."""
    return BACKWARD[kind](at, hidden, cell)


def _lstm_back(at: Moment, hidden: Vector, cell: Vector) -> Gates:
    n = len(hidden)
    gates: Vector = [0.0] * (4 * n)
    before: Vector = [0.0] * n
    for j in range(n):
        i, f, g, o = (at.from_input[k * n + j] + at.from_hidden[k * n + j] for k in range(4))
        si, sf, tg, so, tc = sigmoid(i), sigmoid(f), math.tanh(g), sigmoid(o), math.tanh(at.cell[j])
        dc = cell[j] + hidden[j] * so * (1.0 - tc * tc)
        gates[j] = dc * tg * si * (1.0 - si)
        gates[n + j] = dc * at.cell_before[j] * sf * (1.0 - sf)
        gates[2 * n + j] = dc * si * (1.0 - tg * tg)
        gates[3 * n + j] = hidden[j] * tc * so * (1.0 - so)
        before[j] = dc * sf
    return gates, gates, [0.0] * n, before


def _gru_back(at: Moment, hidden: Vector, cell: Vector) -> Gates:
    n = len(hidden)
    from_input: Vector = [0.0] * (3 * n)
    from_hidden: Vector = [0.0] * (3 * n)
    direct: Vector = [0.0] * n
    for j in range(n):
        r = sigmoid(at.from_input[j] + at.from_hidden[j])
        z = sigmoid(at.from_input[n + j] + at.from_hidden[n + j])
        inner = at.from_hidden[2 * n + j]
        new = math.tanh(at.from_input[2 * n + j] + r * inner)
        dn = hidden[j] * (1.0 - z) * (1.0 - new * new)
        from_input[2 * n + j], from_hidden[2 * n + j] = dn, dn * r
        from_input[j] = from_hidden[j] = dn * inner * r * (1.0 - r)
        from_input[n + j] = from_hidden[n + j] = hidden[j] * (at.before[j] - new) * z * (1.0 - z)
        direct[j] = hidden[j] * z
    return from_input, from_hidden, direct, cell


def _tanh_back(at: Moment, hidden: Vector, cell: Vector) -> Gates:
    slopes = [one * (1.0 - y * y) for one, y in zip(hidden, at.hidden, strict=True)]
    return slopes, slopes, [0.0] * len(hidden), cell


def _relu_back(at: Moment, hidden: Vector, cell: Vector) -> Gates:
    slopes = [one if y > 0.0 else 0.0 for one, y in zip(hidden, at.hidden, strict=True)]
    return slopes, slopes, [0.0] * len(hidden), cell


FORWARD: dict[str, Callable[[Vector, Vector, Vector, Vector], tuple[Vector, Vector]]] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn": _tanh,
    "rnn_relu": _relu,
}
BACKWARD: dict[str, Callable[[Moment, Vector, Vector], Gates]] = {
    "lstm": _lstm_back,
    "gru": _gru_back,
    "rnn": _tanh_back,
    "rnn_relu": _relu_back,
}
GATES = {"lstm": 4, "gru": 3, "rnn": 1, "rnn_relu": 1}


def unrolled(kind: str, weights: Weights, xs: Sequence[Vector], width: int) -> list[Moment]:
    """All steps of one sample, from a state of zeros."""
    hidden, cell = [0.0] * width, [0.0] * width
    steps: list[Moment] = []
    for x in xs:
        steps.append(forward(kind, weights, x, hidden, cell))
        hidden, cell = steps[-1].hidden, steps[-1].cell
    return steps
