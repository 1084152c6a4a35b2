"""The concrete syntax of a file: the parentheses, commas and semicolons that its syntax tree leaves out.

The only importer of libcst, whose import takes a quarter of a second: a run without a fixable finding does without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from gradlint.code import UnfixableError
from gradlint.fixes.edits import Span
from gradlint.source import Source

if TYPE_CHECKING:
    from libcst.metadata import CodeRange

_Block = cst.Module | cst.IndentedBlock | cst.SimpleStatementLine | cst.SimpleStatementSuite
Listed = cst.Arg | cst.BaseElement | cst.BaseDictElement


@dataclass(frozen=True)
class Member:
    """One argument or element: its own text, and the place right behind its comma where it has one."""

    own: Span
    comma: int | None


@dataclass(frozen=True)
class Members:
    """The arguments of a call or the elements of a display, and where its brackets begin and end their inside."""

    items: tuple[Member, ...]
    inside: Span
    is_tuple: bool = False

    def at(self, wanted: Span) -> int:
        """The index of the member that holds a span; raises `UnfixableError` when there is none."""
        found = [
            i for i, item in enumerate(self.items) if item.own.start <= wanted.start and wanted.end <= item.own.end
        ]
        if not found:
            raise UnfixableError("no argument or element stands there")
        return found[0]


@dataclass(frozen=True)
class Line:
    """A small statement on its line: its own text, its line's, whether it is alone on it and alone in its block.

    `tail` is the place behind its semicolon, where it has one.
    """

    own: Span
    alone: bool
    last: bool
    tail: int | None


class Concrete:
    """One file's concrete syntax tree, asked by places in its text. Raises `UnfixableError` where it has none."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._module = _parsed(source)
        wrapper = MetadataWrapper(self._module, unsafe_skip_copy=True)
        self._positions = wrapper.resolve(PositionProvider)
        self._by_span: dict[Span, list[cst.CSTNode]] = {}
        self._blocks: dict[cst.CSTNode, _Block] = {}
        for node in self._positions:
            for place, meant in self._places(node):
                self._by_span.setdefault(place, []).append(meant)
            if isinstance(node, _Block):
                self._blocks |= dict.fromkeys(node.body, node)

    def _places(self, node: cst.CSTNode) -> Iterator[tuple[Span, cst.CSTNode]]:
        """Nodes by the spans that the syntax tree gives them: tuples and generators have their parentheses in theirs,
        also a generator that is a call's only argument."""
        match node:
            case cst.Tuple() | cst.GeneratorExp() if node.lpar:
                yield Span(self._at(node.lpar[-1]).start, self._at(node.rpar[0]).end), node
            case cst.BaseExpression() | cst.BaseSmallStatement():
                yield self._at(node), node
        match node:
            case cst.Call(args=[cst.Arg(value=cst.GeneratorExp(lpar=[]) as only)]):
                yield Span(self._opening(node), self._at(node).end), only

    def _opening(self, call: cst.Call) -> int:
        return self._at(call.whitespace_after_func).end

    def _span(self, position: CodeRange) -> Span:
        start, end = position.start, position.end
        return Span(self._source.offset(start.line, start.column + 1), self._source.offset(end.line, end.column + 1))

    def _at(self, node: cst.CSTNode) -> Span:
        return self._span(self._positions[node])

    def parenthesised(self, inner: Span) -> tuple[Span, ...]:
        """The spans of the pairs of parentheses around an expression, the innermost first; its commas and brackets are
        its own."""
        node = self._expression(inner)
        pairs = zip(reversed(node.lpar), node.rpar, strict=True)
        around = tuple(Span(self._at(left).start, self._at(right).end) for left, right in pairs)
        return around[1:] if around and around[0] == inner else around

    def _expression(self, inner: Span) -> cst.BaseExpression:
        for node in self._by_span.get(inner, ()):
            if isinstance(node, cst.BaseExpression):
                return node
        raise UnfixableError("the concrete syntax tree has no such expression")

    def members(self, inner: Span) -> Members:
        """The arguments or elements of the call or display at a span."""
        node = self._expression(inner)
        match node:
            case cst.Call():
                return Members(self._listed(node.args), Span(self._opening(node) + 1, self._at(node).end - 1))
            case cst.List() | cst.Set() | cst.Dict():
                place = self._at(node)
                return Members(self._listed(node.elements), Span(place.start + 1, place.end - 1))
            case cst.Tuple():
                return Members(self._listed(node.elements), self._at(node), is_tuple=True)
        raise UnfixableError("neither a call nor a list, tuple, set or dict")

    def _listed(self, items: Sequence[Listed]) -> tuple[Member, ...]:
        return tuple(Member(self._at(item), self._behind_comma(item)) for item in items)

    def _behind_comma(self, item: Listed) -> int | None:
        return self._at(item.comma).start + 1 if isinstance(item.comma, cst.Comma) else None

    def line(self, inner: Span) -> Line:
        """The simple statement at a span."""
        for node in self._by_span.get(inner, ()):
            if isinstance(node, cst.BaseSmallStatement):
                return self._line(node, inner)
        raise UnfixableError("no simple statement stands there")

    def _line(self, node: cst.BaseSmallStatement, inner: Span) -> Line:
        line = self._blocks[node]
        tail = self._at(node.semicolon).start + 1 if isinstance(node.semicolon, cst.Semicolon) else None
        if not isinstance(line, cst.SimpleStatementLine):
            return Line(inner, False, len(line.body) == 1, tail)
        alone, block = len(line.body) == 1, self._blocks[line]
        return Line(inner, alone, alone and isinstance(block, cst.IndentedBlock) and len(block.body) == 1, tail)


def _parsed(source: Source) -> cst.Module:
    try:
        module = cst.parse_module(source.text)
    except (cst.ParserSyntaxError, RecursionError, ValueError) as error:
        raise UnfixableError(f"libcst cannot parse the file: {type(error).__name__}") from None
    if module.code != source.text:
        raise UnfixableError("libcst does not give the file back as it is")
    return module
