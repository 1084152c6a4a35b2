"""Weights that were scaled by hand so that the signal of their chain grows, shrinks or saturates beyond all bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradlint import ops
from gradlint.analysis.gains import Gain, gains
from gradlint.analysis.initial_scale import is_by_hand
from gradlint.analysis.norms import is_kind
from gradlint.analysis.structure import Run, runs
from gradlint.frame import Frame
from gradlint.graph import Initialisation, ModelGraph, Node, Signal

FEWEST = 2
"""Layers whose gains make a chain: one near zero is a beginning on purpose."""

ALLOWANCE = 10.0
"""What the growth of the whole run, layers of other scales among them, may stay behind the bound."""


@dataclass(frozen=True, slots=True)
class Wild:
    """Weights that one call scaled, what comes of it (a growth, or a share of saturated units), and how that is known.

    `flat` is the activation that is saturated.
    """

    place: Frame | None
    call: Initialisation | None
    gains: tuple[Gain, ...]
    ratio: float
    measured: bool = False
    flat: Node | None = None


def too_large(graph: ModelGraph, bound: float, saturated: float) -> Iterator[Wild]:
    """The calls that make a signal grow beyond a bound, or saturate a share of the units behind."""
    for run, found in _chains(graph):
        yield from _saturating(found, saturated) or _growing(graph, run, found, bound)


def too_small(graph: ModelGraph, bound: float) -> Iterator[Wild]:
    """The calls that make a signal, or the gradient on its way back, shrink below a bound."""
    for run, found in _chains(graph):
        inner = found if run.followed else found[:-1]
        small = [gain for gain in inner if gain.by_hand and gain.forward * gain.bend < 1]
        ratio = _product(small)
        if len(small) < FEWEST or not 0 < ratio < bound or _product(inner) >= bound * ALLOWANCE:
            continue
        grown = _measured_growth(graph, run)
        if grown is None or min(grown) < bound * ALLOWANCE:
            yield _blamed(small, ratio, grown is not None)


def wild_weights(graph: ModelGraph, large: float, small: float) -> frozenset[str]:
    """The weights whose scale makes a signal grow or shrink beyond two bounds."""
    found = (*too_large(graph, large, 1.0), *too_small(graph, small))
    return frozenset(gain.layer.weight.name for wild in found for gain in wild.gains)


def _chains(graph: ModelGraph) -> Iterator[tuple[Run, tuple[Gain, ...]]]:
    """The runs whose layers' gains are all known, and whose scale no norm behind them takes back."""
    for run in runs(graph):
        by_hand = any(is_by_hand(graph, weight) for weight in run.weights)
        if by_hand and not (run.shared or run.bypassed or _is_normalised(graph, run)):
            found = gains(graph, run)
            if found:
                yield run, found


def _is_normalised(graph: ModelGraph, run: Run) -> bool:
    """Whether a norm or an attention reads what a run makes."""
    last = run.layers[-1]
    end = last.steps[-1] if last.steps else last.node
    ahead = (graph.node(edge.target) for edge in graph.outgoing(end.id))
    return any(is_kind(node, ops.Kind.NORM, ops.Kind.ATTENTION) for node in ahead)


def _product(found: Sequence[Gain]) -> float:
    """What some layers multiply a small signal, or a gradient, by."""
    return math.prod(gain.forward * gain.bend for gain in found)


def _growing(graph: ModelGraph, run: Run, found: Sequence[Gain], bound: float) -> list[Wild]:
    """The call that makes a signal grow; what an activation bounds begins anew behind it."""
    for part in _unbounded(found):
        large = [gain for gain in part if gain.by_hand and gain.forward > 1]
        ratio = math.prod(gain.forward * gain.kept for gain in large)
        whole = math.prod(gain.forward * gain.kept for gain in part)
        if len(large) < FEWEST or ratio <= bound or whole <= bound / ALLOWANCE:
            continue
        grown = _measured_growth(graph, run)
        if grown is None or max(grown) > bound / ALLOWANCE:
            return [_blamed(large, ratio, grown is not None)]
    return []


def _unbounded(found: Sequence[Gain]) -> Iterator[list[Gain]]:
    """The parts of a run in which no activation bounds the signal."""
    part: list[Gain] = []
    for gain in found:
        part.append(gain)
        if any(_is_bounded(step) for step in gain.layer.steps):
            yield part
            part = []
    yield part


def _is_bounded(step: Node) -> bool:
    known = ops.facts(step.op)
    return known is not None and known.range is not None and None not in known.range


def _saturating(found: Sequence[Gain], share: float) -> list[Wild]:
    """The first call that saturates units of a hidden layer."""
    for gain in found[:-1]:
        flat = next(iter(gain.layer.saturating), None)
        if flat is None or not gain.by_hand or gain.saturated <= share:
            continue
        seen = flat.measured.saturated if flat.measured is not None else None
        if seen is None or seen > share:
            like = [one for one in found[:-1] if one.by_hand and one.saturated > share]
            ratio = gain.saturated if seen is None else seen
            return [Wild(_place(gain), gain.call, tuple(like), ratio, seen is not None, flat)]
    return []


def _measured_growth(graph: ModelGraph, run: Run) -> tuple[float, float] | None:
    """How much a run multiplies its signal, and the gradient from its last pre-activation back to its first.

    None where no pass was measured.
    """
    first, last = run.layers[0].node, run.layers[-1].node
    read = [graph.node(edge.source) for edge in graph.incoming(first.id)]
    start = next((node.measured for node in read if node.measured is not None and node.measured.rms > 0), None)
    if start is None or first.measured is None or last.measured is None:
        return None
    return last.measured.rms / start.rms, _back(first.measured, last.measured)


def _back(first: Signal, last: Signal) -> float:
    if first.gradient_rms is None or not last.gradient_rms:
        return 1.0
    return first.gradient_rms / last.gradient_rms


def _blamed(found: Sequence[Gain], ratio: float, measured: bool) -> Wild:
    """Weights at the call, or the place, that scaled most of them."""
    groups: dict[Frame | None, list[Gain]] = {}
    for gain in found:
        groups.setdefault(_place(gain), []).append(gain)
    place, most = max(groups.items(), key=lambda group: len(group[1]))
    return Wild(place, most[0].call, tuple(found), ratio, measured)


def _place(gain: Gain) -> Frame | None:
    return gain.call.frame if gain.call is not None else gain.layer.weight.made


def scale_range(found: Sequence[Gain]) -> str:
    """`0.01`, or `5.7 to 22`: the gains of some layers."""
    low, high = f"{min(g.forward for g in found):.2g}", f"{max(g.forward for g in found):.2g}"
    return low if low == high else f"{low} to {high}"
