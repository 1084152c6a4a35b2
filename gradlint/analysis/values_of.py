"""The domain of every value of a graph: what its op makes of the domains of what it read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

from gradlint import ops
from gradlint.analysis import domains
from gradlint.analysis.domains import UNBOUNDED, UNKNOWN, Domain, Zero
from gradlint.analysis.filled_values import filled, integers, uniform
from gradlint.analysis.guards import is_comparison, marks_diagonal, marks_steps, narrowed, replaces_zeros
from gradlint.analysis.operands import (
    inputs,
    is_passed_on,
    is_top_and_bottom,
    is_top_of,
    literal,
    number,
    operand,
    origin,
    pair,
)
from gradlint.analysis.signals import BATCH
from gradlint.graph import ModelGraph, Node, NodeKind
from gradlint.rule import user_frame

DEPTH = 150
"""Values behind one another that are looked at; what lies deeper is unknown."""


@dataclass
class Domains:
    """The domains of one graph, found when asked for."""

    graph: ModelGraph
    found: dict[int, Domain] = field(default_factory=dict)

    def of(self, value: Node | float | None, depth: int = 0) -> Domain:
        """The domain of a value or a number."""
        if value is None:
            return UNKNOWN
        if not isinstance(value, Node):
            return domains.exactly(value)
        if value.id not in self.found:
            self.found[value.id] = UNKNOWN
            self.found[value.id] = self._made(value, depth + 1) if depth < DEPTH else UNKNOWN
        return self.found[value.id]

    def _made(self, node: Node, depth: int) -> Domain:
        if node.dtype == "bool":
            return replace(domains.FLAGS, mass=marks_steps(self.graph, node) or marks_diagonal(self.graph, node))
        read = inputs(self.graph, node)
        if node.dtype == "uint8":
            return self.of(read[0], depth) if is_comparison(self.graph, node) else domains.BYTES
        if node.kind is NodeKind.OPAQUE and node.op in ("setitem", "copy_slices", "add", "sub", "mul", "div") and read:
            return self._joined(read, depth)
        if node.op == BATCH and read:
            return self.of(read[0], depth)
        if node.kind is not NodeKind.OP or _is_stand_in(node):
            return UNKNOWN
        maker = MAKERS.get(node.op)
        if maker is not None:
            return maker(self, node, depth)
        if is_passed_on(node) and read:
            return self._passed_on(node, read, depth)
        return self._by_facts(node, read, depth)

    def first(self, node: Node, depth: int) -> Domain:
        """The domain of a call's first argument."""
        return self.of(operand(self.graph, node, 0), depth)

    def _joined(self, read: tuple[Node, ...], depth: int) -> Domain:
        found = [self.of(one, depth) for one in read if not _is_index(one)]
        result = found[0] if found else UNKNOWN
        for other in found[1:]:
            result = domains.join(result, other)
        return result

    def _passed_on(self, node: Node, read: tuple[Node, ...], depth: int) -> Domain:
        found = self.of(read[0], depth)
        if node.op == "getitem" and len(read) > 1:
            found = narrowed(self.graph, found, read[0], read[1], holds=True)
        if ops.facts(node.op) is not None and node.op.endswith("dropout"):
            return Domain(min(found.low, 0.0), math.inf if found.high > 0 else found.high, found.zero, found.known)
        return found

    def _by_facts(self, node: Node, read: tuple[Node, ...], depth: int) -> Domain:
        known = ops.facts(node.op)
        if known is None:
            return UNKNOWN
        if known.kind is ops.Kind.LINEAR:
            return self._product(read, depth)
        if known.kind in (ops.Kind.CONV, ops.Kind.EMBEDDING, ops.Kind.NORM):
            return UNBOUNDED
        if known.kind in (ops.Kind.POOL, ops.Kind.RESAMPLING) and read:
            return domains.averaged(self.of(read[0], depth))
        if known.kind is ops.Kind.JOIN:
            return self._joined(read, depth)
        if known.range is not None:
            low, high = known.range
            return Domain(-math.inf if low is None else low, math.inf if high is None else high, known=True)
        known_activation = known.kind is ops.Kind.ACTIVATION and bool(read)
        return Domain(known=known_activation and self.of(read[0], depth).known)

    def _product(self, read: tuple[Node, ...], depth: int) -> Domain:
        """A matrix product: of any sign as soon as a weight takes part."""
        if any(one.kind is NodeKind.PARAMETER for one in read):
            return UNBOUNDED
        found = [self.of(one, depth) for one in read]
        if len(found) == 2 and all(origin(self.graph, one).op == "normalize" for one in read):
            return domains.SYMMETRIC
        if found and all(one.nonnegative for one in found):
            return Domain(0.0, math.inf, next((one.zero for one in found if one.zero), Zero.NEVER), known=True)
        return Domain(known=bool(found) and all(one.known for one in found))


Maker = Callable[[Domains, Node, int], Domain]
_every: WeakKeyDictionary[ModelGraph, dict[int, Domain]] = WeakKeyDictionary()


def domain(graph: ModelGraph, value: Node | float | None) -> Domain:
    """What a value of a graph can be."""
    return Domains(graph, _every.setdefault(graph, {})).of(value)


def _is_stand_in(node: Node) -> bool:
    """Whether a random or constant value was made by no line of the user's, as what stands for missing data."""
    known = ops.facts(node.op)
    made = known is not None and known.kind in (ops.Kind.RANDOM, ops.Kind.FACTORY)
    return made and user_frame(node) is None


def _is_index(node: Node) -> bool:
    return node.dtype is not None and node.dtype.startswith(("int", "bool"))


def _fixed(found: Domain) -> Maker:
    return lambda _every, _node, _depth: found


def _unary(function: Callable[[Domain], Domain]) -> Maker:
    return lambda every, node, depth: function(every.first(node, depth))


def _binary(function: Callable[[Domain, Domain], Domain]) -> Maker:
    def made(every: Domains, node: Node, depth: int) -> Domain:
        left, right = pair(every.graph, node)
        return function(every.of(left, depth), every.of(right, depth))

    return made


def _times(every: Domains, node: Node, depth: int) -> Domain:
    left, right = pair(every.graph, node)
    if isinstance(left, Node) and isinstance(right, Node) and left.id == right.id:
        return domains.squared(every.of(left, depth))
    return domains.multiplied(every.of(left, depth), every.of(right, depth))


def _minus(every: Domains, node: Node, depth: int) -> Domain:
    left, right = pair(every.graph, node)
    if isinstance(left, Node) and isinstance(right, Node) and is_top_and_bottom(every.graph, left, right):
        return Domain(0.0, math.inf, Zero.SPREAD, known=True)
    if isinstance(right, Node) and origin(every.graph, right).op in ("logsumexp", "log"):
        return UNKNOWN
    if isinstance(left, Node) and isinstance(right, Node) and is_top_of(every.graph, right, left):
        one = every.of(left, depth)
        return Domain(one.low - one.high, 0.0, known=True)
    found = domains.subtracted(every.of(left, depth), every.of(right, depth))
    complement = found.zero is Zero.UNDERFLOW and isinstance(right, Node) and is_comparison(every.graph, right)
    return replace(found, zero=Zero.COUNT) if complement else found


_QUOTIENTS = ("div", "reciprocal", "pow")
"""What decays like a power: unlike an exponential, it does not get to 0."""


def _over(every: Domains, node: Node, depth: int) -> Domain:
    left, right = pair(every.graph, node)
    one, other = every.of(left, depth), every.of(right, depth)
    if isinstance(left, Node) and isinstance(right, Node):
        below = origin(every.graph, right)
        total = {source.id for source in inputs(every.graph, below)}
        if below.op == "sum" and left.id in total and one.nonnegative:
            positive = one.low > 0 or (not one.zero and origin(every.graph, left).op in _QUOTIENTS)
            zero = one.zero or (Zero.NEVER if positive else Zero.UNDERFLOW)
            return Domain(0.0, 1.0, zero, known=True, mass=True)
        if below.op == "norm" and left.id in total:
            return domains.SYMMETRIC
    return domains.divided(one, other)


def _power(every: Domains, node: Node, depth: int) -> Domain:
    left, right = pair(every.graph, node)
    if isinstance(left, (int, float)):
        found = every.of(right, depth)
        return domains.exponential(found) if left > 1 else Domain(0.0, math.inf) if left > 0 else UNKNOWN
    exponent = number(right)
    if exponent is None:
        return Domain(0.0, math.inf) if every.of(left, depth).nonnegative else UNKNOWN
    return domains.raised(every.of(left, depth), exponent)


def _root(every: Domains, node: Node, depth: int) -> Domain:
    return domains.raised(every.first(node, depth), 0.5)


def _clamp(every: Domains, node: Node, depth: int) -> Domain:
    found = every.first(node, depth)
    low, high = number(literal(node, 1, "min")), number(literal(node, 2, "max"))
    tensors = len(inputs(every.graph, node)) > 1
    if node.op == "clamp_min":
        low, high = number(literal(node, 1, "min")), None
    if node.op == "clamp_max":
        low, high = None, number(literal(node, 1, "max"))
    if tensors or (low is None and high is None):
        return Domain(found.low, found.high)
    return domains.clamped(found, low, high)


def _maximum(every: Domains, node: Node, depth: int) -> Domain:
    left, right = pair(every.graph, node)
    one, other = every.of(left, depth), every.of(right, depth)
    zero = one.zero if one.zero and other.zero else Zero.NEVER
    return Domain(max(one.low, other.low), max(one.high, other.high), zero, one.known and other.known)


def _minimum(every: Domains, node: Node, depth: int) -> Domain:
    left, right = pair(every.graph, node)
    one, other = every.of(left, depth), every.of(right, depth)
    return Domain(min(one.low, other.low), min(one.high, other.high), one.zero or other.zero, one.known and other.known)


def _largest(every: Domains, node: Node, depth: int) -> Domain:
    if len(inputs(every.graph, node)) > 1:
        return _maximum(every, node, depth)
    found = every.first(node, depth)
    return Domain(found.low, found.high, Zero.NEVER if found.mass else found.zero, found.known, found.mass)


def _rectified(every: Domains, node: Node, depth: int) -> Domain:
    found = every.first(node, depth)
    top = 6.0 if node.op == "relu6" else math.inf
    zero = Zero.CUT if found.low < 0 else found.zero
    return Domain(max(0.0, found.low), min(top, max(0.0, found.high)), zero, known=True)


def _sigmoid(every: Domains, node: Node, depth: int) -> Domain:
    found = every.first(node, depth)
    if found.bounded:
        return Domain(1 / (1 + math.exp(-max(found.low, -50))), 1 / (1 + math.exp(-min(found.high, 50))), known=True)
    return Domain(0.0, 1.0, Zero.UNDERFLOW, known=True)


def _tanh(every: Domains, node: Node, depth: int) -> Domain:
    found = every.first(node, depth)
    return Domain(math.tanh(found.low), math.tanh(found.high), found.zero, known=True)


def _where(every: Domains, node: Node, depth: int) -> Domain:
    graph, read = every.graph, inputs(every.graph, node)
    test = read[0] if read else None
    found = []
    for position, holds in ((1, True), (2, False)):
        branch = operand(graph, node, position)
        own = every.of(branch, depth)
        narrow = isinstance(branch, Node) and test is not None
        found.append(narrowed(graph, own, branch, test, holds) if narrow else own)  # type: ignore[arg-type]
    return domains.join(found[0], found[1])


def _filled(every: Domains, node: Node, depth: int) -> Domain:
    read = inputs(every.graph, node)
    value = number(literal(node, 2, "value"))
    if len(read) < 2 or value is None:
        return UNKNOWN
    kept = narrowed(every.graph, every.of(read[0], depth), read[0], read[1], holds=False)
    return domains.join(kept, domains.exactly(value))


def _set(every: Domains, node: Node, depth: int) -> Domain:
    read = inputs(every.graph, node)
    if not read:
        return UNKNOWN
    value = number(literal(node, 2, "value"))
    written = domains.exactly(value) if value is not None else every.of(read[-1], depth) if len(read) > 1 else UNKNOWN
    kept = every.of(read[0], depth)
    masked = len(read) > 1 and read[1].dtype == "bool"
    if masked:
        kept = narrowed(every.graph, kept, read[0], read[1], holds=False)
    some_are_left = value == 0 and not masked and kept.low > 0
    return replace(domains.join(kept, written), mass=some_are_left)


def _phi(every: Domains, node: Node, depth: int) -> Domain:
    return every._joined(inputs(every.graph, node), depth)


def _scattered(every: Domains, node: Node, depth: int) -> Domain:
    found = [every.of(one, depth) for one in inputs(every.graph, node) if not _is_index(one)]
    return domains.COUNTS if found and all(one.nonnegative for one in found) else UNKNOWN


def _wrapped(every: Domains, node: Node, depth: int) -> Domain:
    """A tensor made of an array, or of a number that came from another tensor."""
    read = inputs(every.graph, node)
    if node.literals.get("of_type") == "uint8":
        return domains.BYTES
    return every.of(read[0], depth) if len(read) == 1 else UNKNOWN


def _norm(every: Domains, node: Node, depth: int) -> Domain:
    """A norm: 0 where all entries are, which those of a weight or of a softmax never get to be."""
    read = inputs(every.graph, node)
    measured = origin(every.graph, read[0]) if read else None
    if measured is None or not (measured.kind is NodeKind.PARAMETER or replaces_zeros(every.graph, measured)):
        found = every.of(measured, depth)
        if found.known and not (found.nonnegative and domains.totalled(found).zero is Zero.NEVER):
            return domains.SQUARES
    return replace(domains.SQUARES, zero=Zero.NEVER)


_WRAPPED = dict.fromkeys(("from_numpy", "as_tensor", "tensor", "Tensor", "FloatTensor"), _wrapped)
_SUMS = dict.fromkeys(("sum", "cumsum", "nansum", "trace"), _unary(domains.totalled))
_MEANS = dict.fromkeys(("mean", "median", "nanmean", "quantile", "amin", "round", "floor"), _unary(domains.averaged))
_LARGEST = dict.fromkeys(("max", "amax", "topk", "sort", "kthvalue"), _largest)
_DISTANCES = dict.fromkeys(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "dist"), _fixed(domains.SQUARES))
_NORMS = dict.fromkeys(("norm", "linalg_norm", "linalg_vector_norm"), _norm)
_SPREADS = dict.fromkeys(("std", "var"), _fixed(Domain(0.0, math.inf, Zero.SPREAD, known=True)))
_FLAGS = dict.fromkeys(("one_hot", "heaviside", "bernoulli"), _fixed(domains.FLAGS))
_FLAGS |= {"eye": _fixed(replace(domains.FLAGS, mass=True))}
_SOFT = dict.fromkeys(
    ("softmax", "softmin", "gumbel_softmax", "safe_softmax"),
    _fixed(Domain(0.0, 1.0, Zero.UNDERFLOW, known=True, mass=True)),
)
_CELLS = dict.fromkeys(("lstm", "gru", "gru_cell"), _fixed(domains.SYMMETRIC))
_SCATTERS = dict.fromkeys(("scatter_add", "index_add", "bincount", "count_nonzero"), _scattered)
_NORMAL = dict.fromkeys(("randn", "randn_like", "normal"), _fixed(UNBOUNDED))
_UNIFORM = dict.fromkeys(("rand", "rand_like"), _fixed(domains.UNIT))
_ONES = dict.fromkeys(("ones", "ones_like", "new_ones"), _fixed(domains.exactly(1)))
_ZEROS = dict.fromkeys(("zeros", "zeros_like", "new_zeros", "zero"), _fixed(domains.exactly(0)))
_FULL = dict.fromkeys(("full", "full_like", "new_full", "fill"), lambda _every, node, _depth: filled(node))
_BOUNDED = dict.fromkeys(("normalize", "cosine_similarity"), _fixed(domains.SYMMETRIC))
_CLAMPS = dict.fromkeys(("clamp", "clamp_min", "clamp_max", "hardtanh"), _clamp)
_LOGS = dict.fromkeys(("log", "log2", "log10"), _unary(domains.logarithm))
_EXPS = dict.fromkeys(("exp", "exp2"), _unary(domains.exponential))
_SIGMOIDS = {"sigmoid": _sigmoid, "hardsigmoid": _fixed(Domain(0.0, 1.0, Zero.CUT, known=True)), "tanh": _tanh}
_ARITHMETIC = {
    "add": _binary(domains.added),
    "sub": _minus,
    "mul": _times,
    "div": _over,
    "detach": _unary(lambda one: one),
    "neg": _unary(domains.negated),
    "abs": _unary(domains.absolute),
    "square": _unary(domains.squared),
    "pow": _power,
    "sqrt": _root,
    "maximum": _maximum,
    "minimum": _minimum,
    "where": _where,
    "masked_fill": _filled,
    "setitem": _set,
    "copy_slices": _set,
    "phi": _phi,
    "relu": _rectified,
    "relu6": _rectified,
    "randint": lambda _every, node, _depth: integers(node),
    "uniform": lambda _every, node, _depth: uniform(node),
}

MAKERS: dict[str, Maker] = {
    **_WRAPPED,
    **_SUMS,
    **_MEANS,
    **_LARGEST,
    **_DISTANCES,
    **_NORMS,
    **_SPREADS,
    **_FLAGS,
    **_SOFT,
    **_CELLS,
    **_SCATTERS,
    **_NORMAL,
    **_UNIFORM,
    **_ONES,
    **_ZEROS,
    **_FULL,
    **_BOUNDED,
    **_CLAMPS,
    **_LOGS,
    **_EXPS,
    **_SIGMOIDS,
    **_ARITHMETIC,
}
"""What makes a domain, by canonical op; all others follow from the facts of the op."""
