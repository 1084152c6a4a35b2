"""Softmax and attention, fused and open.

The weights of a softmax over T entries whose scores are normal with variance s^2 have T E[p^2] = 1 / T_eff with
T_eff = 1 + (T - 1) exp(-s^2): T where all scores are alike, one where they differ much (the log-normal sums of
Vaswani et al. 2017, footnote 4, and the ratio of their moments).
"""

from __future__ import annotations

import math
from dataclasses import replace

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, Value, single
from gradlint.analysis.moments.elementwise import MASK
from gradlint.analysis.moments.field import Field, Shape, field, summed, summed_to
from gradlint.analysis.moments.linear_maps import biased, product

STEEPEST = 50.0
"""A variance of scores from which on one entry has all of the weight."""


def concentration(count: float, variance: float) -> float:
    """T E[p^2] of a softmax over T entries."""
    return 1.0 / (1.0 + max(count - 1.0, 0.0) * math.exp(-min(variance, STEEPEST)))


def visible(count: int, hidden: float | None) -> tuple[float, float]:
    """The mean of 1 / T, and T itself, over the rows of scores: under a causal mask row i sees i entries."""
    if not hidden or count < 2:
        return 1.0 / max(count, 1), float(max(count, 1))
    inverse = sum(1.0 / (row + 1) for row in range(min(count, ROWS))) / count
    inverse += math.log(count / ROWS) / count if count > ROWS else 0.0
    return inverse, 1.0 / inverse


ROWS = 256
"""Rows that are summed one by one; the rest is an integral."""


def _softmax(call: Call) -> Made:
    read = call.reads[0]
    one = read.field
    rank = len(one.shape)
    axis = int(call.number(1, "dim", -1.0)) % rank
    count = one.shape[axis]
    spread = max(one.square - one.cross[axis], 0.0)
    _, seen = visible(count, read.value.hidden if rank > 1 and one.shape[axis - 1] == count else None)
    dense = concentration(seen, spread)
    mean = 1.0 / count
    square = dense / count
    across = (mean * mean * count - square) / max(count - 1, 1)
    alike = [_alike(one, at, axis) for at in range(rank)]
    cross = [across if at == axis else mean * mean + (square - mean * mean) * share for at, share in enumerate(alike)]
    made = field(one.shape, square, mean, cross)

    def backward(gradient: Field) -> Passed:
        left = max(gradient.square - gradient.cross[axis], 0.0) * square * max(1.0 - dense, 0.0)
        ratio = left / gradient.square if gradient.square else 0.0
        yield (
            read.id,
            field(one.shape, left, 0.0, [0.0 if at == axis else c * ratio for at, c in enumerate(gradient.cross)]),
        )

    return single(made, backward)


def _alike(one: Field, at: int, axis: int) -> float:
    """How alike the scores' deviations from their mean over the softmax's axis are along another axis."""
    spread = one.square - one.cross[axis]
    if at == axis or spread <= 0.0:
        return 1.0
    return min(max((one.cross[at] - one.alike((at, axis))) / spread, 0.0), 1.0)


def _log_softmax(call: Call) -> Made:
    """The scores less their log sum."""
    read = call.reads[0]
    one = read.field
    axis = int(call.number(1, "dim", -1.0)) % len(one.shape)
    count = one.shape[axis]
    spread = max(one.square - one.cross[axis], 0.0)
    level = -math.log(max(count, 1)) - 0.5 * spread
    made = field(
        one.shape, spread + level * level, level, [level * level + max(c - one.cross[axis], 0.0) for c in one.cross]
    )
    dense = concentration(float(count), spread)

    def backward(gradient: Field) -> Passed:
        total = summed(gradient, (axis,)).square
        more = gradient.square + total * dense / count
        ratio = more / gradient.square if gradient.square else 0.0
        yield read.id, field(one.shape, more, 0.0, [c * ratio for c in gradient.cross])

    return single(made, backward)


class _Heads:
    """Fused attention over values of shape (..., tokens, features)."""

    def __init__(self, query: Field, key: Field, value: Field, scale: float, hidden: float | None) -> None:
        self.query, self.key, self.value, self.scale = query, key, value, scale
        self.tokens, self.width = key.shape[-2], query.shape[-1]
        self.rows = query.shape[-2]
        causal = hidden if self.rows == self.tokens else None
        self.causal = causal is not None
        self.inverse, seen = visible(self.tokens, causal)
        self.key_spread = max(key.square - key.cross[-2], 0.0)
        self.dense = concentration(seen, scale**2 * self.width * query.square * self.key_spread)
        self.seen = seen

    def forward(self, shape: Shape) -> Field:
        """The weighted means of the values."""
        value = self.value
        common = value.cross[-2]
        square = common + (value.square - common) * self.dense
        alike = self.inverse if not self.causal else 2.0 / self.tokens * (1.0 - self.inverse)
        across = common + (value.square - common) * min(self.dense, alike)
        outer = [min(one, square) for one in value.cross[:-2]]
        outer = [0.0] * (len(shape) - 2 - len(outer)) + outer
        return field(shape, square, value.mean, (*outer, across, value.cross[-1]))

    def to_value(self, gradient: Field) -> Field:
        """Of the values: the sums over the rows that look at them."""
        ratio = self.rows / self.tokens
        over = gradient.cross[-2]
        shared = ratio * self.rows * self.inverse * (1.0 - 1.0 / max(self.rows, 1))
        if self.causal:
            shared = 2.0 * (1.0 - self.inverse)
        square = self.dense * gradient.square * ratio + shared * over
        along = (1.0 / self.tokens if self.causal else self.inverse * ratio) * gradient.square + shared * over
        growth = square / gradient.square if gradient.square else 0.0
        outer = [min(one * growth, square) for one in gradient.cross[:-2]]
        return field(
            self.value.shape, square, 0.0, (*outer[len(outer) - len(self.value.shape) + 2 :], min(along, square), 0.0)
        )

    def scores(self, gradient: Field) -> tuple[float, float]:
        """Of the scores: the mean square, and the cross moment of two rows."""
        spread = max(self.value.square - self.value.cross[-2], 0.0)
        each = self.dense * self.inverse * self.width * spread * (1.0 - min(self.dense, 1.0))
        return each * gradient.square, each * gradient.cross[-2]

    def to_scores(self, gradient: Field) -> Field:
        """Of a bias that is added to the scores."""
        square, across = self.scores(gradient)
        outer = (0.0,) * (len(gradient.shape) - 2)
        shape = (*gradient.shape[:-2], self.rows, self.tokens)
        return field(shape, square, 0.0, (*outer, across, 0.0))

    def to_query(self, gradient: Field) -> Field:
        """Of the queries: sums over the keys that they see."""
        square, _ = self.scores(gradient)
        total = self.scale**2 * self.seen * square * self.key_spread
        ratio = total / gradient.square if gradient.square else 0.0
        outer = [one * ratio for one in gradient.cross[:-2]]
        outer = outer[len(outer) - len(self.query.shape) + 2 :]
        return field(self.query.shape, total, 0.0, (*outer, gradient.cross[-2] * ratio, 0.0))

    def to_key(self, gradient: Field) -> Field:
        """Of the keys: sums over the queries that see them."""
        square, across = self.scores(gradient)
        rows = self.rows / self.tokens * self.seen
        total = (
            self.scale**2 * rows * (square * self.query.square + max(rows - 1.0, 0.0) * across * self.query.cross[-2])
        )
        return field(self.key.shape, total, 0.0, (0.0,) * len(self.key.shape))


def _attention(call: Call) -> Made | None:
    reads = call.reads
    query, key, value = (call.at(0), call.at(1), call.at(2)) if len(reads) > 1 else (reads[0],) * 3
    if not (isinstance(query, Operand) and isinstance(key, Operand) and isinstance(value, Operand)):
        return None
    masks = list(reads[3:])
    causal = call.flag(5, "is_causal") or any(_hides(mask) for mask in masks)
    scale = call.number(6, "scale", 1.0 / math.sqrt(max(query.field.shape[-1], 1)))
    heads = _Heads(query.field, key.field, value.field, scale, HIDDEN if causal else None)

    def backward(gradient: Field) -> Passed:
        yield value.id, heads.to_value(gradient)
        yield query.id, heads.to_query(gradient)
        yield key.id, heads.to_key(gradient)
        for mask in masks:
            if mask.open:
                yield mask.id, summed_to(heads.to_scores(gradient), mask.field.shape)

    return single(heads.forward(call.shape), backward)


def _hides(mask: Operand) -> bool:
    """Whether a mask takes entries away: a Boolean one, or huge negative numbers; else it is a bias."""
    if mask.node.dtype == "bool" or mask.value.hidden is not None:
        return True
    return not mask.open and math.sqrt(mask.field.square) >= MASK


HIDDEN = 0.5
"""The share of entries that a causal mask hides."""


def _multi_head(call: Call) -> Made | None:
    """Three projections, attention in heads, and one projection more, as torch's module calls them in one op."""
    width = int(call.number(3, "embed_dim_to_check", 0.0))
    heads = int(call.number(4, "num_heads", 1.0))
    signals, weights = _sorted(call, width)
    if not signals or weights is None:
        return None
    batched = len(signals[0].field.shape) > 2
    return _Projected(call, signals, weights, max(heads, 1), batched).made()


def _sorted(call: Call, width: int) -> tuple[list[Operand], list[Operand] | None]:
    """The values that attend to each other, and the projections' parameters."""
    first = next((at for at, read in enumerate(call.reads) if read.field.shape[:1] == (3 * width,)), None)
    if first is None or first == 0:
        return [], None
    return list(call.reads[:first]), list(call.reads[first:])


INNER = -1
"""Stands for the value between attention and the last projection, which is no node of the graph."""


class _Projected:
    """The parts of one multi-head attention; tokens stand first, then the batch."""

    def __init__(self, call: Call, signals: list[Operand], weights: list[Operand], heads: int, batched: bool) -> None:
        self.call, self.heads, self.batched = call, heads, batched
        self.signals = [signals[0], signals[-1] if len(signals) > 1 else signals[0], signals[-1]]
        if len(signals) > 2:
            self.signals[1] = signals[1]
        self.weight = weights[0]
        vectors = [one for one in weights[1:] if len(one.field.shape) == 1]
        self.out = next(one for one in weights[1:] if len(one.field.shape) == 2)
        self.biases = {one.field.shape[0]: one for one in vectors}
        self.width = self.out.field.shape[0]

    def made(self) -> Made:
        """The value of the whole, and its gradients by those of its parts."""
        parts = [self._project(signal) for signal in self.signals]
        split = [self._split(value_of(part)) for part in parts]
        inner = _Heads(
            split[0],
            split[1],
            split[2],
            1.0 / math.sqrt(split[0].shape[-1]),
            HIDDEN if self.call.flag(15, "is_causal") else None,
        )
        gathered = inner.forward(split[0].shape)
        shape = self.call.shape
        joined = self._join(gathered, shape)
        hidden = Operand(replace(self.out.node, id=INNER), Value(joined))
        final = self._linear(hidden, self.out, self.biases.get(self.width))

        def backward(gradient: Field) -> Passed:
            for number, passed in final.backward((gradient,)):
                if number != INNER:
                    yield number, passed
                else:
                    yield from self._inside(inner, self._split(passed), parts)

        made = single(value_of(final), backward)
        return Made((*made.values, *(None for _ in self.call.outputs[1:])), made.backward)

    def _inside(self, inner: _Heads, gradient: Field, parts: list[Made]) -> Passed:
        arrived = (inner.to_query(gradient), inner.to_key(gradient), inner.to_value(gradient))
        thirds: list[tuple[int, Field]] = []
        for part, passed, signal in zip(parts, arrived, self.signals, strict=True):
            for number, one in part.backward((self._join(passed, (*signal.field.shape[:-1], self.width)),)):
                if number == signal.id:
                    yield number, one
                else:
                    thirds.append((number, one))
        for number in dict.fromkeys(number for number, _ in thirds):
            found = [one for other, one in thirds if other == number]
            yield number, self._stacked(found)

    def _stacked(self, thirds: list[Field]) -> Field:
        """The gradient of three projections in one matrix."""
        first = thirds[0]
        square = sum(one.square for one in thirds) / len(thirds)
        return field((len(thirds) * first.shape[0], *first.shape[1:]), square, 0.0, (0.0,) * len(first.shape))

    def _project(self, signal: Operand) -> Made:
        one = self.weight.field
        third = Field((self.width, *one.shape[1:]), one.square, one.mean, one.cross)
        bias = self.biases.get(3 * self.width)
        return self._linear(signal, Operand(self.weight.node, Value(third)), self._third(bias))

    def _third(self, bias: Operand | None) -> Operand | None:
        if bias is None:
            return None
        one = bias.field
        return Operand(bias.node, Value(Field((self.width,), one.square, one.mean, one.cross)))

    def _linear(self, read: Operand, weight: Operand, bias: Operand | None) -> Made:
        outer = tuple(f"a{axis}" for axis in range(len(read.field.shape) - 1))
        return biased(product(read, (*outer, "i"), weight, ("o", "i"), (*outer, "o")), bias)

    def _split(self, one: Field) -> Field:
        """(tokens, batch, features) as (batch, head, tokens, features of a head)."""
        batch = one.shape[1] if self.batched else 1
        cross = one.cross[1] if self.batched else one.square
        shape = (batch, self.heads, one.shape[0], one.shape[-1] // self.heads)
        return Field(shape, one.square, one.mean, (cross, one.cross[-1], one.cross[0], one.cross[-1]))

    def _join(self, one: Field, shape: Shape) -> Field:
        cross = (one.cross[2], one.cross[0], one.cross[3]) if self.batched else (one.cross[2], one.cross[3])
        return field(shape, one.square, one.mean, cross)


def value_of(made: Made) -> Field:
    """The moments of a call's first output."""
    value = made.values[0]
    assert value is not None
    return value.field


RULES: dict[str, Rule] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
}
