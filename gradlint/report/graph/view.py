"""What a picture of a graph shows: boxes (ops, inputs, collapsed modules) in groups, and the links between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gradlint.graph import Edge, NodeKind
from gradlint.report.graph import names
from gradlint.report.graph.folding import folded
from gradlint.report.graph.outline import Block, Item, Repeat, flat, outline
from gradlint.report.graph.shown import Call, Shown

READABLE_BOXES = 60
"""Boxes up to which a model is opened when nobody asks for a depth."""

DEEPEST = 64
"""Components of a module's path that anybody may ask for."""


@dataclass(frozen=True, slots=True)
class Box:
    """One op call (`alone`), or a module with everything inside of it; `title` is the module.

    `times` is the number of rounds that it stands for, `calls` are those of the first round.
    """

    number: int
    title: str
    times: int
    calls: tuple[Call, ...]
    alone: bool

    @property
    def is_input(self) -> bool:
        """Whether it is an input of the model."""
        return self.calls[0].first.kind is NodeKind.INPUT


@dataclass(frozen=True, slots=True)
class Group:
    """An opened module, or the opened first round of a repetition; `path` is the module that its parts lie in."""

    title: str
    path: str
    times: int
    parts: tuple[Part, ...]


Part = Box | Group


@dataclass(frozen=True, slots=True)
class Link:
    """A value that goes from one box to another, with one edge that says how gradient passes."""

    source: int
    target: int
    edge: Edge


@dataclass(frozen=True, slots=True)
class View:
    """All that is drawn; `home` is the box of each call's first value."""

    shown: Shown
    parts: tuple[Part, ...]
    home: dict[int, int]

    @property
    def boxes(self) -> Iterator[Box]:
        """All boxes, in the order of execution."""
        return boxes(self.parts)

    def links(self, box: Box) -> tuple[Link, ...]:
        """What a box reads from others: one link for each source and each way in which gradient passes."""
        found: dict[tuple[int, str], Link] = {}
        for edge in (edge for call in box.calls for edge in call.edges):
            source = self.home.get(edge.source, box.number)
            if source != box.number:
                found.setdefault((source, self.shown.fact(edge)), Link(source, box.number, edge))
        return tuple(found.values())

    def operands(self, box: Box) -> tuple[Edge, ...]:
        """The edges from parameters, buffers and constants into a box."""
        return tuple(edge for call in box.calls for edge in call.edges if self.shown.is_leaf(edge.source))

    def starved(self, box: Box) -> int:
        """How many trainable parameters that a box reads get no gradient."""
        return len({edge.source for edge in self.operands(box)} & self.shown.starved)

    def closed_inside(self, box: Box) -> tuple[Edge, ...]:
        """The edges inside of a collapsed module that pass no gradient on for certain."""
        if box.alone:
            return ()
        inner = (edge for call in box.calls for edge in call.edges)
        return tuple(e for e in inner if self.shown.stops(e) and self.home.get(e.source, box.number) == box.number)


def boxes(parts: Iterable[Part]) -> Iterator[Box]:
    """All boxes inside of some parts."""
    for part in parts:
        if isinstance(part, Box):
            yield part
        else:
            yield from boxes(part.parts)


def view(shown: Shown, depth: int | None) -> View:
    """Modules whose path has `depth` components are boxes; None opens as much as can be read."""
    items = folded(shown, outline(shown.calls))
    if depth is not None:
        return _Builder(shown, depth).built(items)
    best = _Builder(shown, 1).built(items)
    for deeper in range(2, _deepest(items) + 1):
        wider = _Builder(shown, deeper).built(items)
        if sum(1 for _ in wider.boxes) > READABLE_BOXES:
            break
        best = wider
    return best


def _deepest(items: Sequence[Item]) -> int:
    blocks = (item for item in items if not isinstance(item, Call))
    inner = [max(item.depth if isinstance(item, Block) else 0, _deepest(item.items)) for item in blocks]
    return min(max(inner, default=0), DEEPEST)


class _Builder:
    """Numbers the boxes of one view."""

    def __init__(self, shown: Shown, depth: int) -> None:
        self._shown = shown
        self._depth = depth
        self._home: dict[int, int] = {}
        self._count = 0

    def built(self, items: Sequence[Item]) -> View:
        """The view of some items."""
        if self._depth == 0:
            inputs = [call for call in self._shown.calls if call.first.kind is NodeKind.INPUT]
            rest = tuple(call for call in self._shown.calls if call.first.kind is not NodeKind.INPUT)
            parts = tuple(self._parts(inputs))
            model = [self._box(self._shown.graph.model.name, [rest])] if rest else []
            return View(self._shown, (*parts, *model), self._home)
        return View(self._shown, tuple(self._parts(items)), self._home)

    def _parts(self, items: Iterable[Item]) -> Iterator[Part]:
        for item in items:
            yield self._part(item)

    def _part(self, item: Item) -> Part:
        if isinstance(item, Call):
            return self._box(names.plain(item.first.module), [(item,)], alone=True)
        rounds = item.rounds if isinstance(item, Repeat) else (item.items,)
        inner = self._unwrapped(rounds)
        if self._is_shut(item) or self._is_leaf(inner):
            return self._box(names.title(item), inner, alone=self._is_leaf(inner))
        if isinstance(item, Block) and len(item.items) == 1 and names.title(item.items[0]).startswith(item.path):
            return self._part(item.items[0])
        group = Group(names.title(item), self._inside(item), len(rounds), tuple(self._parts(inner[0])))
        self._follow(inner)
        return group

    @staticmethod
    def _unwrapped(rounds: Sequence[tuple[Item, ...]]) -> list[tuple[Item, ...]]:
        """The insides of rounds that hold one module each."""
        return [once[0].items if len(once) == 1 and isinstance(once[0], Block) else once for once in rounds]

    @staticmethod
    def _inside(item: Block | Repeat) -> str:
        """The module that a group's parts lie in."""
        if isinstance(item, Repeat) and len(item.items) == 1 and isinstance(item.items[0], Block):
            item = item.items[0]
        return item.path if isinstance(item, Block) else names.common(item.items)

    def _is_shut(self, item: Item) -> bool:
        if isinstance(item, Block):
            return item.depth >= self._depth
        return isinstance(item, Repeat) and len(item.items) == 1 and self._is_shut(item.items[0])

    @staticmethod
    def _is_leaf(rounds: Sequence[tuple[Item, ...]]) -> bool:
        return len(rounds[0]) == 1 and isinstance(rounds[0][0], Call)

    def _box(self, title: str, rounds: Sequence[tuple[Item, ...]], *, alone: bool = False) -> Box:
        box = Box(self._count, title, len(rounds), tuple(flat(rounds[0])), alone)
        self._count += 1
        for once in rounds:
            self._home |= {node.id: box.number for call in flat(once) for node in call.nodes}
        return box

    def _follow(self, rounds: Sequence[tuple[Item, ...]]) -> None:
        """Gives the values of the later rounds the boxes of the first one's."""
        first = list(flat(rounds[0]))
        for once in rounds[1:]:
            for twin, call in zip(first, flat(once), strict=True):
                for one, other in zip(twin.nodes, call.nodes, strict=True):
                    self._home[other.id] = self._home[one.id]
