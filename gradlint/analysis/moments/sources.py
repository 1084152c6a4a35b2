"""Values that a call makes of nothing, or of indices: factories, random numbers, embeddings; and dropout."""

from __future__ import annotations

import math
from functools import partial

from gradlint.analysis.moments.calls import Call, Made, Passed, Rule, Value, single, source
from gradlint.analysis.moments.curves import passed_back
from gradlint.analysis.moments.elementwise import MASK
from gradlint.analysis.moments.field import Field, constant, field, independent, scaled, summed, weighted
from gradlint.analysis.operands import number

CAUSAL = 0.5
"""The share of entries that a mask hides where nothing else is known."""

HALF = 0.5
DROPPED = 0.5
"""What dropout drops by default."""


def _full(call: Call, value: float) -> Made:
    return source(filled(call, value))


def filled(call: Call, value: float) -> Value:
    """One number everywhere; a huge negative one is a mask."""
    if abs(value) >= MASK:
        return Value(constant(call.shape, 0.0), hidden=CAUSAL)
    return Value(constant(call.shape, value))


def _given(call: Call) -> Made:
    """`full`, `fill`, `full_like`: the number behind the shape or the tensor."""
    found = call.literal(1, "fill_value", call.literal(0, "value", call.node.literals.get("value")))
    value = number(found)
    return _full(call, float(value)) if value is not None else source(independent(call.shape, 1.0))


def _wrapped(call: Call) -> Made:
    """A number that becomes a tensor."""
    value = number(call.literal(0, "data"))
    return _full(call, float(value)) if value is not None else source(independent(call.shape, 1.0))


def _arange(call: Call) -> Made:
    """Numbers in a row."""
    size = math.prod(call.shape)
    top = max(size - 1, 1)
    return source(field(call.shape, top * (2 * top + 1) / 6.0, top / 2.0, (top * top / 4.0,) * len(call.shape)))


def _normal(call: Call) -> Made:
    return source(independent(call.shape, 1.0))


def _uniform(call: Call) -> Made:
    return source(independent(call.shape, 1.0 / 3.0, HALF))


def _bernoulli(call: Call) -> Made:
    share = call.number(1, "p", call.reads[0].field.mean if call.reads else HALF)
    return source(independent(call.shape, share, share))


def _eye(call: Call) -> Made:
    share = 1.0 / max(call.shape[-1], 1)
    return source(independent(call.shape, share, share))


def _dropout(call: Call) -> Made:
    """Entries are zeroed, the others grow: the mean stays, the mean square is divided by what is kept."""
    read = call.reads[0]
    share = call.number(1, "p", DROPPED)
    if not call.flag(2, "training", default=call.node.op == "dropout") or share <= 0.0:
        curve = read.curve

        return single(
            Value(read.field, curve, read.value.mean_of, read.value.hidden),
            lambda g: iter([(curve.base, passed_back(g, curve))]),
        )
    kept = 1.0 - share
    if kept <= 0.0:
        return source(constant(read.field.shape, 0.0))
    whole = range(2, len(call.shape)) if call.node.op[-2:] in ("1d", "2d", "3d") else range(0)

    def dropped(one: Field) -> Field:
        grown = scaled(weighted(one, kept), 1.0 / kept)
        cross = [grown.cross[axis] if axis in whole else one.cross[axis] for axis in range(len(one.shape))]
        return field(one.shape, grown.square, one.mean, cross)

    return single(dropped(read.field), lambda g: iter([(read.id, dropped(g))]))


def _embedding(call: Call) -> Made | None:
    """Rows of a table; rows of a random index repeat by chance, those of a repeated index for sure."""
    table = next((read for read in call.reads if read.is_parameter), call.reads[-1])
    indices = next((read for read in call.reads if read.field.shape == call.shape[:-1] and read is not table), None)
    if table.field.shape[1:] != call.shape[-1:]:
        return None
    one = table.field
    rows = one.shape[0]
    outer = range(len(call.shape) - 1)
    same = {axis for axis in outer if indices is not None and indices.field.cross[axis] >= indices.field.square > 0}
    if indices is not None and indices.field.square == 0.0:
        same = set(outer)
    chance = one.cross[0] + (one.square - one.cross[0]) / rows
    cross = [one.square if axis in same else chance for axis in outer] + [one.cross[1]]

    def backward(gradient: Field) -> Passed:
        yield table.id, _rows(gradient, one, same)

    return single(field(call.shape, one.square, one.mean, cross), backward)


def _rows(gradient: Field, table: Field, same: set[int]) -> Field:
    """The gradient of a table: the sums of what arrives at each row's places."""

    apart = summed(gradient, sorted(same), keep=True)
    places = math.prod(apart.shape[:-1])
    rows = table.shape[0]
    pairs = places * (places - 1) / (rows * rows)
    square = places / rows * apart.square + pairs * min(apart.cross[:-1], default=0.0)
    return field(
        table.shape, square, gradient.mean * places / rows, (0.0, min(apart.cross[-1] * places / rows, square))
    )


def _boolean(call: Call) -> Made:
    """Comparisons: true half of the time."""
    return source(independent(call.shape, HALF, HALF))


_BOOLEANS = "eq ne lt le gt ge isfinite isnan isinf logical_and logical_or logical_not bitwise_not bitwise_and any all"
_INTEGERS = "argmax argmin argsort topk one_hot randint randint_like randperm long int bool byte short nonzero"

RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("zeros", "zeros_like", "new_zeros", "empty", "empty_like", "new_empty", "zero"), partial(_full, value=0.0)
    ),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), partial(_full, value=1.0)),
    **dict.fromkeys(("full", "full_like", "new_full", "fill"), _given),
    **dict.fromkeys(("randn", "randn_like", "normal"), _normal),
    **dict.fromkeys(("rand", "rand_like", "uniform"), _uniform),
    **dict.fromkeys(_BOOLEANS.split(), _boolean),
    **dict.fromkeys(("arange", "linspace"), _arange),
    **dict.fromkeys(("tensor", "as_tensor", "scalar_tensor"), _wrapped),
    "bernoulli": _bernoulli,
    "eye": _eye,
    **dict.fromkeys(
        ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"), _dropout
    ),
    "embedding": _embedding,
}
