"""Ops whose value or derivative is infinite at the edge of their domain, and where an argument does get there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from gradlint import ops
from gradlint.analysis.domains import Domain, Zero
from gradlint.analysis.guards import COMBINED, compared
from gradlint.analysis.learning import learning, learnt
from gradlint.analysis.operands import (
    Number,
    copied,
    inputs,
    is_passed_on,
    literal,
    number,
    operand,
    origin,
    pair,
)
from gradlint.analysis.values_of import domain
from gradlint.graph import ModelGraph, Node, NodeKind

LOGARITHMS = frozenset({"log", "log2", "log10"})
ROOTS = frozenset({"sqrt", "rsqrt"})
INVERSE = frozenset({"acos", "asin", "atanh"})
EXPONENTIALS = frozenset({"exp", "expm1", "exp2", "sinh", "cosh"})
COUNTED = (Zero.CUT, Zero.COUNT)
MEASURED = (Zero.SQUARE, Zero.SPREAD)
"""Why a divisor is 0: for data as they come, and for what a model computes only."""

GUARDING = frozenset({"where", "masked_fill", "nan_to_num"})

OVERFLOW = {"float16": 11.0, "bfloat16": 88.0, "float64": 700.0}
"""The largest argument of exp that does not overflow: log(65504), log(3.4e38), log(1.8e308), rounded down."""
OVERFLOW_SINGLE = 88.0

POINTWISE = frozenset({ops.Kind.ELEMENTWISE, ops.Kind.ACTIVATION, ops.Kind.CAST, ops.Kind.RESHAPE})


@dataclass(frozen=True, slots=True)
class Hazard:
    """An op at the edge of its domain: its argument that gets there, and what that argument can be."""

    call: Node
    argument: Node
    domain: Domain


def logarithms(graph: ModelGraph) -> Iterator[Hazard]:
    """Logarithms of what is 0 now and then."""
    for hazard in _of(graph, LOGARITHMS):
        if hazard.domain.nonnegative and hazard.domain.zero in (Zero.UNDERFLOW, Zero.CUT, Zero.COUNT):
            yield hazard


def roots(graph: ModelGraph) -> Iterator[Hazard]:
    """Square roots and other fractional powers whose argument is exactly 0 now and then.

    Behind a ReLU or a clamp the gradient is masked where it would be infinite.
    """
    for hazard in _of(graph, ROOTS):
        if _is_root_hazard(graph, hazard):
            yield hazard
    for hazard in _powers(graph, 0, 1):
        if _is_root_hazard(graph, hazard):
            yield hazard


def _is_root_hazard(graph: ModelGraph, hazard: Hazard) -> bool:
    learns = hazard.argument.id in learnt(graph)
    return learns and hazard.domain.nonnegative and hazard.domain.zero not in (Zero.NEVER, Zero.CUT, Zero.COUNT)


def divisions(graph: ModelGraph) -> Iterator[Hazard]:
    """Divisions by what is 0 now and then; a root that is at fault itself is not blamed again."""
    faulty = {hazard.call.id for hazard in roots(graph)}
    for call in _learning(graph):
        below = _denominator(graph, call)
        if not isinstance(below, Node) or origin(graph, below).id in faulty:
            continue
        found = domain(graph, below)
        if found.nonnegative and (found.zero in COUNTED or (found.zero in MEASURED and below.id in learnt(graph))):
            yield Hazard(call, below, found)


def _denominator(graph: ModelGraph, call: Node) -> Node | Number | None:
    if call.op == "div":
        return pair(graph, call)[1]
    if call.op == "reciprocal":
        return operand(graph, call, 0)
    exponent = number(pair(graph, call)[1]) if call.op == "pow" else None
    return pair(graph, call)[0] if exponent is not None and exponent < 0 else None


SCALES = ("mul", "div")
POOLS = frozenset({"adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"})
LARGEST = POOLS | {"max", "amax", "logsumexp", "maximum", "log"}
"""What a hand-written softmax subtracts."""


def exponentials(graph: ModelGraph) -> Iterator[Hazard]:
    """Exponentials of what has no bound above."""
    for hazard in _of(graph, frozenset({"exp", "exp2"})):
        limit = OVERFLOW.get(hazard.call.dtype or "", OVERFLOW_SINGLE)
        if hazard.domain.high > limit and not is_shifted(graph, hazard.argument):
            yield hazard


def is_shifted(graph: ModelGraph, value: Node) -> bool:
    """Whether the largest entry, or a log-sum, was subtracted, before or after a scale such as a temperature."""
    value = origin(graph, value)
    if value.op in SCALES:
        return any(isinstance(one, Node) and one.op == "sub" and is_shifted(graph, one) for one in pair(graph, value))
    right = pair(graph, value)[1] if value.op == "sub" else None
    return isinstance(right, Node) and copied(graph, right).op in LARGEST


def inverses(graph: ModelGraph) -> Iterator[Hazard]:
    """Inverse trigonometry at the edge of its domain, where the derivative is infinite."""
    for hazard in _of(graph, INVERSE):
        if hazard.argument.id in learnt(graph) and not (hazard.domain.low > -1 and hazard.domain.high < 1):
            yield hazard


def hidden_by_guard(graph: ModelGraph) -> dict[int, Node]:
    """The unsafe calls that a `where` or `masked_fill` hides, and the call that hides each, found once a graph."""
    found = _guarded.get(graph)
    if found is None:
        found = _guarded[graph] = dict(_hidden(graph))
    return found


_guarded: WeakKeyDictionary[ModelGraph, dict[int, Node]] = WeakKeyDictionary()


def _hidden(graph: ModelGraph) -> Iterator[tuple[int, Node]]:
    for call in _learning(graph):
        for branch, test in _branches(graph, call):
            looked_at = {origin(graph, graph.node(one)).id for one in compared(graph, test)}
            for unsafe, argument in _unsafe_behind(graph, branch, looked_at):
                if _is_looked_at(graph, argument, looked_at):
                    yield unsafe.id, call


def _branches(graph: ModelGraph, call: Node) -> Iterator[tuple[Node, Node]]:
    """The values that a guard chooses among, each with the test."""
    if call.op not in ("where", "masked_fill"):
        return
    read = inputs(graph, call)
    if call.op == "where" and read and _is_test(read[0]):
        chosen = (operand(graph, call, position) for position in (1, 2))
        yield from ((one, read[0]) for one in chosen if isinstance(one, Node))
    if call.op == "masked_fill" and len(read) > 1 and _is_test(read[1]):
        yield read[0], read[1]


def _is_test(node: Node) -> bool:
    return node.dtype == "bool" or node.op in COMBINED


def _unsafe_behind(graph: ModelGraph, branch: Node, stop: set[int]) -> Iterator[tuple[Node, Node]]:
    """The unsafe calls between a guard and the value that it looks at, with the argument that is unsafe."""
    pending, seen = [branch], set()
    while pending:
        node = pending.pop()
        if node.id in seen or node.kind is not NodeKind.OP or node.id not in learning(graph):
            continue
        seen.add(node.id)
        argument = _unsafe_argument(graph, node)
        if argument is not None:
            yield node, argument
        if node.id not in stop and _is_pointwise(node):
            pending.extend(inputs(graph, node))


def _is_pointwise(node: Node) -> bool:
    known = ops.facts(node.op)
    return is_passed_on(node) or (known is not None and known.kind in POINTWISE and node.op not in GUARDING)


def _unsafe_argument(graph: ModelGraph, node: Node) -> Node | None:
    """The argument that makes a call's derivative infinite or its value no number."""
    below = _denominator(graph, node)
    fractional = node.op == "pow" and 0 < (number(pair(graph, node)[1]) or 0) < 1
    if node.op in LOGARITHMS or node.op in ROOTS or fractional:
        argument = operand(graph, node, 0)
        return argument if isinstance(argument, Node) and _can_be_zero(domain(graph, argument)) else None
    if isinstance(below, Node):
        weight = origin(graph, below).kind is NodeKind.PARAMETER
        return below if not weight and _can_be_zero(domain(graph, below)) else None
    argument = operand(graph, node, 0)
    if not isinstance(argument, Node):
        return None
    found = domain(graph, argument)
    if node.op in INVERSE:
        return argument if not (found.low > -1 and found.high < 1) else None
    return argument if node.op in EXPONENTIALS and found.high > OVERFLOW_SINGLE else None


def _can_be_zero(found: Domain) -> bool:
    """Whether an argument gets to 0 or below, as far as a guard is needed; a ReLU or clamp masks by itself."""
    return found.low < 0 or (found.low == 0 and found.zero not in (Zero.NEVER, Zero.CUT))


def _is_looked_at(graph: ModelGraph, argument: Node, looked_at: set[int]) -> bool:
    """Whether a test looks at an argument, or at what it is made of by pointwise ops."""
    pending, seen = [argument], set()
    while pending:
        node = origin(graph, pending.pop())
        if node.id in looked_at:
            return True
        if node.id not in seen and node.kind is NodeKind.OP and _is_pointwise(node):
            seen.add(node.id)
            pending.extend(inputs(graph, node))
    return False


def _learning(graph: ModelGraph) -> tuple[Node, ...]:
    """The calls that a gradient passes through, found once a graph."""
    found = _calls.get(graph)
    if found is None:
        taking_part = learning(graph)
        calls = (node for node in graph.nodes if node.kind is NodeKind.OP and node.id in taking_part)
        found = _calls[graph] = tuple(calls)
    return found


_calls: WeakKeyDictionary[ModelGraph, tuple[Node, ...]] = WeakKeyDictionary()


def _of(graph: ModelGraph, names: frozenset[str]) -> Iterator[Hazard]:
    """The calls of some ops that learn, with what their argument can be, guarded ones apart."""
    guarded = hidden_by_guard(graph)
    for call in _learning(graph):
        argument = operand(graph, call, 0) if call.op in names else None
        if isinstance(argument, Node) and call.id not in guarded:
            yield Hazard(call, argument, domain(graph, argument))


def _powers(graph: ModelGraph, above: float, below: float) -> Iterator[Hazard]:
    for call in _learning(graph):
        base, exponent = pair(graph, call) if call.op == "pow" else (None, None)
        if isinstance(base, Node) and above < (number(exponent) or 0) < below and call.id not in hidden_by_guard(graph):
            yield Hazard(call, base, domain(graph, base))


def added_number(graph: ModelGraph, call: Node) -> Number | None:
    """The literal of `x + number`, `x - number`, `clamp(min=number)`; None for any other call."""
    if call.op in ("add", "sub") and call.literals:
        return next((one for one in pair(graph, call) if not isinstance(one, Node) and one is not None), None)
    if call.op in ("clamp", "clamp_min"):
        return number(literal(call, 1, "min"))
    return None
