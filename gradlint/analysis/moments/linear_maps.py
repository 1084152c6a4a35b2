"""Linear maps and matrix products: sums of products over labelled axes."""

from __future__ import annotations

from collections.abc import Sequence

from gradlint.analysis.moments.calls import Call, Made, Operand, Passed, Rule, single
from gradlint.analysis.moments.contraction import contract
from gradlint.analysis.moments.field import Field, added, broadcast, reshaped, scaled, summed, summed_to

Labels = tuple[str, ...]


def _axes(count: int, first: int = 0) -> Labels:
    return tuple(f"a{axis}" for axis in range(first, first + count))


def product(left: Operand, axes: Labels, right: Operand, others: Labels, out: Labels) -> Made:
    """An einsum of two values, and its gradients, which are einsums too."""
    made = contract(left.field, axes, right.field, others, out)

    def backward(gradient: Field) -> Passed:
        yield left.id, _for(left, contract(gradient, out, right.field, others, axes))
        yield right.id, _for(right, contract(gradient, out, left.field, axes, others))

    return single(made, backward)


def _for(read: Operand, gradient: Field) -> Field:
    return gradient if gradient.shape == read.field.shape else summed_to(gradient, read.field.shape)


def biased(made: Made, bias: Operand | None, factor: float = 1.0) -> Made:
    """A product and a bias that is repeated along the axes that it lacks."""
    value = made.values[0]
    if bias is None or value is None:
        return made
    total = added(value.field, scaled(broadcast(bias.field, value.field.shape), factor))

    def backward(gradient: Field) -> Passed:
        yield from made.backward((gradient,))
        yield bias.id, scaled(summed_to(gradient, bias.field.shape), factor)

    return single(total, backward)


def _linear(call: Call) -> Made:
    read, weight = call.reads[:2]
    outer = _axes(len(read.field.shape) - 1)
    axes = ("o", "i") if len(weight.field.shape) == len(("o", "i")) else ("i",)
    made = product(read, (*outer, "i"), weight, axes, (*outer, *axes[:-1]))
    return biased(made, call.reads[2] if len(call.reads) > 2 else None)


def _matmul(call: Call) -> Made | None:
    left, right = call.at(0), call.at(1)
    return matrix_product(left, right) if isinstance(left, Operand) and isinstance(right, Operand) else None


def matrix_product(left: Operand, right: Operand) -> Made:
    """`left @ right`, with vectors and repeated leading axes."""
    rows, columns = len(left.field.shape), len(right.field.shape)
    batch = _axes(max(rows, columns, 2) - 2)
    one = (*_last(batch, rows - 2), "i", "k") if rows > 1 else ("k",)
    two = (*_last(batch, columns - 2), "k", "o") if columns > 1 else ("k",)
    out = (*batch, *(("i",) if rows > 1 else ()), *(("o",) if columns > 1 else ()))
    return product(left, one, right, two, out)


def _last(labels: Labels, count: int) -> Labels:
    return labels[len(labels) - count :] if count > 0 else ()


def _addmm(call: Call) -> Made | None:
    """beta bias + alpha (left @ right), for matrices and batches of them."""
    if len(call.reads) != len(("bias", "left", "right")):
        return None
    bias, left, right = call.reads
    return biased(matrix_product(left, right), bias)


def _outer(call: Call) -> Made | None:
    left, right = call.at(0), call.at(1)
    if not isinstance(left, Operand) or not isinstance(right, Operand):
        return None
    return product(left, ("i",), right, ("o",), ("i", "o"))


def _inner(call: Call) -> Made | None:
    """`dot`, `mv`, `vdot`: the same as matmul for vectors."""
    return _matmul(call)


def _einsum(call: Call) -> Made | None:
    text = call.literal(0, "equation")
    if not isinstance(text, str) or len(call.reads) > 2:
        return None
    left, _, right = text.replace(" ", "").partition("->")
    terms = left.split(",")
    operands = call.reads * len(terms) if len(call.reads) == 1 else call.reads
    if len(terms) == 1:
        return _rearranged(operands[0], terms[0], right)
    axes = [_spelled(term, one) for term, one in zip(terms, operands, strict=False)]
    out = _spelled(right, None, len(call.shape)) if "->" in text else None
    if out is None or any(one is None for one in axes) or len(axes) != 2:
        return None
    one, two = (tuple(found) for found in axes if found is not None)
    return product(operands[0], one, operands[1], two, out)


def _spelled(term: str, read: Operand | None, count: int = 0) -> Labels | None:
    """The labels of a term, an ellipsis as numbered axes counted from its end."""
    rank = len(read.field.shape) if read is not None else count
    head, dots, tail = term.partition("...")
    if dots:
        rest = rank - len(head) - len(tail)
        return (*head, *(f"a{index}" for index in reversed(range(rest))), *tail)
    found = tuple(term)
    return found if len(found) == rank and len(set(found)) == rank else None


def _rearranged(read: Operand, term: str, out: str) -> Made | None:
    """An einsum of one value: a permutation and sums."""
    if len(set(term)) != len(term) or len(term) != len(read.field.shape):
        return None
    gone = [axis for axis, label in enumerate(term) if label not in out]
    left = [label for label in term if label in out]
    short = summed(read.field, gone)
    order = [left.index(label) for label in out]
    made = reshaped(short, tuple(short.shape[i] for i in order), (short.cross[i] for i in order))

    def backward(gradient: Field) -> Passed:
        at = {label: axis for axis, label in enumerate(out)}
        cross = [gradient.cross[at[label]] if label in at else gradient.square for label in term]
        yield read.id, reshaped(gradient, read.field.shape, cross)

    return single(made, backward)


def _tensordot(call: Call) -> Made | None:
    axes = call.literal(2, "dims", 2)
    if not isinstance(axes, int) or len(call.reads) != 2:
        return None
    left, right = call.reads
    inner = tuple(f"k{index}" for index in range(axes))
    one = (*_axes(len(left.field.shape) - axes), *inner)
    rest = tuple(f"b{index}" for index in range(len(right.field.shape) - axes))
    return product(left, one, right, (*inner, *rest), (*one[: len(one) - axes], *rest))


def _bilinear(call: Call) -> Made | None:
    """y_o = sum_ij x_i W_oij z_j."""
    if len(call.reads) < 3:
        return None
    one, two, weight = call.reads[:3]
    outer = _axes(len(one.field.shape) - 1)
    features: Sequence[str] = (*outer, "o")
    inner = contract(one.field, (*outer, "i"), weight.field, ("o", "i", "j"), (*features, "j"))
    made = contract(inner, (*features, "j"), two.field, (*outer, "j"), features)
    pair = contract(one.field, (*outer, "i"), two.field, (*outer, "j"), (*outer, "i", "j"))

    def backward(gradient: Field) -> Passed:
        yield weight.id, contract(gradient, features, pair, (*outer, "i", "j"), ("o", "i", "j"))
        yield two.id, contract(gradient, features, inner, (*features, "j"), (*outer, "j"))
        other = contract(two.field, (*outer, "j"), weight.field, ("o", "i", "j"), (*features, "i"))
        yield one.id, contract(gradient, features, other, (*features, "i"), (*outer, "i"))

    return biased(single(made, backward), call.reads[3] if len(call.reads) > 3 else None)


RULES: dict[str, Rule] = {
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "bmm": _matmul,
    "mv": _inner,
    "dot": _inner,
    "vdot": _inner,
    "addmm": _addmm,
    "baddbmm": _addmm,
    "addmv": _addmm,
    "outer": _outer,
    "einsum": _einsum,
    "tensordot": _tensordot,
    "bilinear": _bilinear,
}
