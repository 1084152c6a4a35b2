"""Gradient profiles in the terminal: a bar on a logarithmic scale for each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradlint.analysis.verdicts import GradientEntry, Verdict, judged, profile, underflows, weights_of
from gradlint.graph import ModelGraph, NodeKind, ValueKind
from gradlint.report.graph.names import TIMES, plain
from gradlint.report.profile.layers import Line, decades, lines

LEAST_BAR, MOST_BAR = 12, 48
"""Columns of a bar."""

MOST_NAME = 44
FULL, PART, MARK, GROUND = "\N{FULL BLOCK}", "\N{MEDIUM SHADE}", "\N{BOX DRAWINGS LIGHT VERTICAL}", "\N{MIDDLE DOT}"
NOTHING, ZERO = "-", "0 exactly"
UNDERFLOWN = "too small for its dtype, as the layers behind it show"
STARTED = "no element of it is anything else, as inside of a branch that starts at zero"
SICK = {Verdict.VANISHING: "bold yellow", Verdict.EXPLODING: "bold yellow", Verdict.HEALTHY: "green"}
BAR, FAINT = "cyan", "dim"
PLAIN = ""

Span = tuple[str, str]
"""A piece of text and its style."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Powers of ten from the left edge of the bars to the right one, and their columns."""

    low: int
    high: int
    columns: int

    def column(self, value: float) -> int:
        """The column of a size, from 0."""
        if value <= 0:
            return 0
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return min(max(round(share * (self.columns - 1)), 0), self.columns - 1)


def render(graphs: Sequence[ModelGraph], color: bool, width: int) -> str:
    """One picture a model, an empty line between them."""
    rows: list[tuple[Span, ...]] = []
    for graph in graphs:
        rows += [*([()] if rows else []), *_picture(graph, width)]
    return _painted(rows) if color else "".join("".join(text for text, _ in row).rstrip() + "\n" for row in rows)


def _painted(rows: Sequence[tuple[Span, ...]]) -> str:
    import io

    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", no_color=False, soft_wrap=True)
    for row in rows:
        console.print(Text.assemble(*row), highlight=False)
    return out.getvalue()


def _picture(graph: ModelGraph, width: int) -> Iterator[tuple[Span, ...]]:
    entries = profile(graph)
    yield from _head(graph, entries)
    found = lines(entries)
    scale = decades(found)
    if scale is None:
        yield ((_unknown(graph, entries), PLAIN),)
        return
    cells = [_cells(line) for line in found]
    widths = [max(len(row[column]) for row in (*cells, _TITLES)) for column in range(len(_TITLES))]
    bars = min(max(width - sum(widths) - 2 * len(widths), LEAST_BAR), MOST_BAR)
    axis = _Scale(*scale, bars)
    yield ((_aligned(_TITLES, widths), FAINT), (_axis(axis), FAINT))
    for line, row in zip(found, cells, strict=True):
        yield ((_aligned(row, widths), PLAIN), *_bar(line, axis))
    yield from _foot(graph, entries, found)


_TITLES = ("", "layer", "shape", "measured", "predicted")


def _head(graph: ModelGraph, entries: Sequence[GradientEntry]) -> Iterator[tuple[Span, ...]]:
    model = graph.model
    place = f"{plain(model.path)}:{model.line}" if model.line else plain(model.path)
    yield ((plain(model.name), "bold"), ("  " + "  ".join(filter(None, (place, model.capture, *model.inputs))), PLAIN))
    end = "the loss" if model.reach_at == "loss" else "random projections of the outputs"
    known = [entry for entry in entries if entry.size is not None]
    if known:
        yield ((f"root mean square of each layer's first gradient, from {end}", FAINT),)


def _unknown(graph: ModelGraph, entries: Sequence[GradientEntry]) -> str:
    if not entries:
        return "it has no parameters that are trained"
    if all(entry.none for entry in entries):
        return "no parameter gets a gradient: gradlint check says why"
    if any(entry.size == 0.0 for entry in entries):
        return "every gradient is exactly zero"
    return f"no gradient of it could be measured or predicted{_why(graph)}"


def _why(graph: ModelGraph) -> str:
    if not graph.model.complete:
        return ": some of its ops could not be read"
    ops = [node for node in graph.nodes if node.kind is NodeKind.OP and node.value is ValueKind.TENSOR]
    return ": the shapes of its values are not known" if any(node.shape is None for node in ops) else ""


def _cells(line: Line) -> tuple[str, ...]:
    times = f"{len(line.entries)} {TIMES}" if len(line.entries) > 1 else ""
    shape = TIMES.join(map(str, line.shape)) or "1"
    none = all(entry.none for entry in line.entries)
    measured = "none" if none else _told(line.range(lambda entry: entry.measured))
    return times, _short(plain(line.name)), shape, measured, _told(line.range(lambda entry: entry.predicted))


def _short(name: str) -> str:
    if len(name) <= MOST_NAME:
        return name
    half = (MOST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _told(span: tuple[float, float] | None) -> str:
    if span is None:
        return NOTHING
    low, high = map(number, span)
    return low if low == high else f"{low} .. {high}"


def number(value: float) -> str:
    """`1.2e-03`; zero is told apart from what is merely small."""
    return ZERO if value == 0 else f"{value:.1e}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{cell:<{width}}  " if cell or width else "" for cell, width in zip(row, widths, strict=True))


def _axis(scale: _Scale) -> str:
    left, right = f"1e{scale.low:+d}", f"1e{scale.high:+d}"
    return left + " " * max(scale.columns - len(left) - len(right), 1) + right


def _bar(line: Line, scale: _Scale) -> tuple[Span, ...]:
    """A bar up to the least of the sizes, a lighter one up to the greatest, and a mark at the prediction."""
    span = line.range(lambda entry: entry.size)
    if span is None or not all(map(math.isfinite, span)):
        return ((GROUND if span is None else "not finite", FAINT),)
    low, high = (0 if value <= 0 else scale.column(value) + 1 for value in span)
    cells = [FULL] * low + [PART] * (high - low)
    cells += [" "] * (scale.columns - len(cells))
    measured, predicted = line.range(lambda entry: entry.measured), line.range(lambda entry: entry.predicted)
    if measured is not None and predicted is not None and len(line.entries) == 1 and predicted[0] > 0:
        cells[scale.column(predicted[0])] = MARK
    return (("".join(cells).rstrip(), BAR),)


def _foot(graph: ModelGraph, entries: Sequence[GradientEntry], found: Sequence[Line]) -> Iterator[tuple[Span, ...]]:
    sizes = [entry.size for entry in weights_of(graph, entries) if entry.size is not None]
    result = judged(sizes)
    if result.verdict is not Verdict.UNKNOWN:
        ratio = f": the first quarter of the layers gets {result.ratio:.2g} of the last one's" if result.ratio else ""
        yield ((result.verdict.value, SICK[result.verdict]), (f"{ratio} (medians)" if ratio else "", PLAIN))
    shown = sum(len(line.entries) for line in found)
    if any(entry.size == 0.0 for entry in entries):
        yield ((f"{ZERO}: {UNDERFLOWN if underflows(sizes) else STARTED}", FAINT),)
    if shown < len(entries):
        yield ((f"one line a layer, its largest parameter; --format json tells all {len(entries)}", FAINT),)
    measured = any(entry.measured is not None for entry in entries)
    predicted = any(entry.predicted is not None for entry in entries)
    if measured and predicted:
        yield ((f"{MARK} marks the prediction", FAINT),)
    elif predicted:
        yield (("predicted from the moments of weights and signals; nothing was measured", FAINT),)
