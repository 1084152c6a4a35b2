"""Recurrent layers, tried out on a small seeded network of the same statistics.

A layer of 1024 units is like one of a dozen whose weights are larger by the root of the ratio: what a unit adds up has
the same variance. The sums over samples and steps that make the gradient of a weight are taken to their true length.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gradlint.analysis.moments import cells
from gradlint.analysis.moments.calls import Call, Gradients, Made, Operand, Passed, Rule, Value
from gradlint.analysis.moments.drawing import drawn
from gradlint.analysis.moments.field import Field, independent
from gradlint.analysis.moments.field import field as held

UNITS, SAMPLES, STEPS = 10, 4, 16
"""Units, samples and steps of the small network at most."""

SEED = 0
CLEAR = 3.0
"""Standard errors that a product of two samples' gradients differs from zero where it counts."""

BIASES, LAYERS, BOTH, BATCH_FIRST = (3, "has_biases"), (4, "num_layers"), (7, "bidirectional"), (8, "batch_first")

Series = list[list[cells.Vector]]
"""By sample and step: a vector of features."""


@dataclass(frozen=True, slots=True)
class Size:
    """The layer's true extents and those of the small network."""

    batch: int
    steps: int
    inputs: int
    units: int
    small_steps: int
    small_units: int

    @property
    def samples(self) -> int:
        """Samples of the small network."""
        return min(self.batch, SAMPLES)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer and direction: its parameters, its small weights, and its steps by sample."""

    parameters: tuple[Operand, ...]
    weights: cells.Weights
    reverse: bool
    moments: list[list[cells.Moment]] = field(default_factory=list)


def _recurrent(call: Call, kind: str) -> Made | None:
    if call.node.native.startswith("rnn_relu"):
        kind = "rnn_relu"
    read = call.reads[0]
    matrices = [one for one in call.reads[1:] if one.is_parameter]
    if len(read.field.shape) != len(("batch", "time", "features")) or not matrices:
        return None
    return _Network(call, kind, matrices).made()


class _Network:
    """The small network of one call."""

    def __init__(self, call: Call, kind: str, parameters: Sequence[Operand]) -> None:
        self.call, self.kind, self.read = call, kind, call.reads[0]
        self.seed = random.Random(SEED)
        self.first = call.flag(*BATCH_FIRST)
        shape = self.read.field.shape
        batch, steps = (shape[0], shape[1]) if self.first else (shape[1], shape[0])
        units = parameters[1].field.shape[1]
        self.size = Size(batch, steps, shape[2], units, min(steps, STEPS), min(units, UNITS))
        self.ways = 1 + call.flag(*BOTH)
        self.rows = list(self._layers(parameters, len(call.flag(*BIASES, default=True) * "bb") + 2))
        self.small_inputs = len(self.rows[0].weights.inputs[0])

    def _layers(self, parameters: Sequence[Operand], each: int) -> Iterator[Layer]:
        for count, start in enumerate(range(0, len(parameters), each)):
            own = tuple(parameters[start : start + each])
            yield Layer(own, self._small(own), reverse=bool(count % self.ways and self.ways > 1))

    def _small(self, own: Sequence[Operand]) -> cells.Weights:
        rows = cells.GATES[self.kind] * self.size.small_units
        wide = own[0].field.shape[1]
        inner = own[0].field.shape[1] != self.size.inputs or own[0].field.shape[1] == self.size.units * self.ways
        narrow = self._narrow(wide, inner)
        inputs = self._matrix(own[0].field, rows, narrow, wide / narrow)
        hidden = self._matrix(own[1].field, rows, self.size.small_units, self.size.units / self.size.small_units)
        biases = [self._vector(one.field, rows) for one in own[2:4]] or [[0.0] * rows] * 2
        return cells.Weights(inputs, hidden, biases[0], biases[1])

    def _narrow(self, wide: int, inner: bool) -> int:
        """The width of the small network's input, or of its layers' results."""
        return self.size.small_units * self.ways if inner and wide == self.size.units * self.ways else min(wide, UNITS)

    def _matrix(self, of: Field, rows: int, columns: int, ratio: float) -> cells.Matrix:
        deviation = math.sqrt(of.variance * ratio)
        return [[self.seed.gauss(of.mean * ratio, deviation) for _ in range(columns)] for _ in range(rows)]

    def _vector(self, of: Field, rows: int) -> cells.Vector:
        deviation = math.sqrt(of.variance)
        return [self.seed.gauss(of.mean, deviation) for _ in range(rows)]

    def made(self) -> Made:
        """What the layers give, and how gradients come back through them."""
        series = self._drawn(self.read.field, self.small_inputs)
        for count in range(0, len(self.rows), self.ways):
            ways = self.rows[count : count + self.ways]
            for layer in ways:
                self._run(layer, series)
            series = self._joined(ways)
        values = [Value(self._field(series, self.call.shape, self.first))]
        for output in self.call.outputs[1:]:
            last = [[moments[-1].hidden for moments in self.rows[-1].moments]]
            values.append(Value(self._field(last, output.shape or (), first=False)))
        return Made(tuple(values), self._backward)

    def _drawn(self, of: Field, width: int) -> Series:
        """Numbers with the moments of a value, by sample and step."""
        steps = self.size.small_steps
        order = (self.size.samples, steps, width) if self.first else (steps, self.size.samples, width)
        found = drawn(of, order, self.seed)
        samples = range(self.size.samples)
        if self.first:
            return [[[found[b, t, j] for j in range(width)] for t in range(steps)] for b in samples]
        return [[[found[t, b, j] for j in range(width)] for t in range(steps)] for b in samples]

    def _run(self, layer: Layer, series: Series) -> None:
        for xs in series:
            ordered = xs[::-1] if layer.reverse else xs
            layer.moments.append(cells.unrolled(self.kind, layer.weights, ordered, self.size.small_units))

    def _joined(self, ways: Sequence[Layer]) -> Series:
        """The results of both directions beside each other, in the order of time."""
        made: Series = []
        for sample in range(self.size.samples):
            runs = [[one.hidden for one in layer.moments[sample]][:: -1 if layer.reverse else 1] for layer in ways]
            made.append([list(itertools.chain(*step)) for step in zip(*runs, strict=True)])
        return made

    def _field(self, series: Series, shape: tuple[int, ...], first: bool) -> Field:
        """The moments of what the small network gave, in the true shape: pairs by sample, by step, by feature."""
        rows = [step for sample in series for step in sample]
        count = sum(len(row) for row in rows)
        square = sum(one * one for row in rows for one in row) / count
        mean = sum(one for row in rows for one in row) / count
        over_batch = _pairs([list(itertools.chain(*sample)) for sample in series])
        over_time = _mean(_pairs(sample) for sample in series)
        cross = (over_batch, over_time, mean * mean) if first else (over_time, over_batch, mean * mean)
        return held(shape, square, mean, cross[: len(shape)])

    def _backward(self, gradients: Gradients) -> Passed:
        arrived = gradients[0] if gradients[0] is not None else independent(self.call.shape, 0.0)
        width = self.size.small_units * self.ways
        back = self._drawn(arrived, width)
        for late in gradients[1:2]:
            if late is not None:
                self._add_last(back, late)
        for count in range(len(self.rows) - self.ways, -1, -self.ways):
            ways = self.rows[count : count + self.ways]
            back = yield from self._layer_back(ways, back)
        ratio = (self.size.units / self.size.small_units) * (self.small_inputs / self.size.inputs)
        found = self._field(back, self.read.field.shape, self.first)
        yield self.read.id, held(found.shape, found.square * ratio, 0.0, [c * ratio for c in found.cross])

    def _add_last(self, back: Series, late: Field) -> None:
        """The gradient of the last hidden state."""
        for sample in back:
            for at in range(len(sample[-1])):
                sample[-1][at] += self.seed.gauss(0.0, math.sqrt(late.square))

    def _layer_back(self, ways: Sequence[Layer], back: Series) -> Generator[tuple[int, Field], None, Series]:
        width = len(ways[0].weights.inputs[0])
        before: Series = [[[0.0] * width for _ in sample] for sample in back]
        for at, layer in enumerate(ways):
            own = slice(at * self.size.small_units, (at + 1) * self.size.small_units)
            totals = [
                self._sample_back(layer, sample, [step[own] for step in back[sample]], before[sample])
                for sample in range(len(back))
            ]
            yield from self._to_parameters(layer, totals)
        return before

    def _sample_back(
        self, layer: Layer, sample: int, gradients: list[cells.Vector], before: list[cells.Vector]
    ) -> list[cells.Matrix]:
        """One sample's gradients of the four parameters; `before` collects those of the inputs."""
        units = self.size.small_units
        moments = layer.moments[sample]
        order = list(range(len(moments)))[:: -1 if layer.reverse else 1]
        hidden, cell = [0.0] * units, [0.0] * units
        width, rows = len(layer.weights.inputs[0]), len(layer.weights.inputs)
        to_inputs = [[0.0] * width for _ in range(rows)]
        to_hidden = [[0.0] * units for _ in range(rows)]
        biases: list[cells.Vector] = [[0.0] * rows, [0.0] * rows]
        for step in reversed(range(len(moments))):
            here = gradients[order[step]]
            total = [a + b for a, b in zip(hidden, here, strict=True)]
            one, two, direct, cell = cells.backward(self.kind, moments[step], total, cell)
            _outer(to_inputs, one, moments[step].x)
            _outer(to_hidden, two, moments[step].before)
            biases = [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(biases, (one, two), strict=True)]
            passed = cells.transposed(layer.weights.hidden, two, units)
            hidden = [a + b for a, b in zip(passed, direct, strict=True)]
            for at, value in enumerate(cells.transposed(layer.weights.inputs, one, width)):
                before[order[step]][at] += value
        return [to_inputs, to_hidden, *([one] for one in biases)]

    def _to_parameters(self, layer: Layer, totals: list[list[cells.Matrix]]) -> Passed:
        """Sums over the samples at their true number, and over the steps at theirs."""
        longer = self.size.steps / self.size.small_steps
        for at, parameter in enumerate(layer.parameters):
            rows = [list(itertools.chain(*total[at])) for total in totals]
            square = _mean(one * one for row in rows for one in row)
            across = _pairs(rows)
            if abs(across) < CLEAR * square / math.sqrt(len(rows[0]) * max(len(rows) - 1, 1)):
                across = 0.0
            batch = self.size.batch
            total = batch * square + batch * (batch - 1) * max(across, 0.0)
            yield parameter.id, independent(parameter.field.shape, total * longer)


def _outer(into: cells.Matrix, left: cells.Vector, right: cells.Vector) -> None:
    for row, one in zip(into, left, strict=True):
        if one:
            for at, other in enumerate(right):
                row[at] += one * other


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / max(len(found), 1)


def _pairs(rows: Sequence[Sequence[float]]) -> float:
    """The mean product of entries at one place of two different rows."""
    count = len(rows)
    if count < 2:
        return _mean(one * one for row in rows for one in row)
    sums = [sum(column) ** 2 - sum(one * one for one in column) for column in zip(*rows, strict=True)]
    return _mean(sums) / (count * (count - 1))


def _rule(kind: str) -> Rule:
    return lambda call: _recurrent(call, kind)


RULES: dict[str, Rule] = {kind: _rule(kind) for kind in ("lstm", "gru", "rnn")}
