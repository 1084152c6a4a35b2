"""Where the nodes of a syntax tree stand in the text, and which of them a finding means."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property

from gradlint.code import UnfixableError
from gradlint.fixes.edits import Span
from gradlint.source import Source

Positioned = ast.expr | ast.stmt | ast.keyword


@dataclass(frozen=True)
class Pins:
    """The nodes of a file by their places."""

    source: Source

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node around each node."""
        return {child: node for node in ast.walk(self.source.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def _expressions(self) -> tuple[tuple[Span, ast.expr], ...]:
        """All expressions, outer ones before those inside of them."""
        nodes = ast.walk(self.source.tree)
        return tuple((self.span(node), node) for node in nodes if isinstance(node, ast.expr))

    def span(self, node: Positioned) -> Span:
        """The text of a node, without parentheses around it (those of a tuple or a generator are its own)."""
        line, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        start = self.source.offset(node.lineno, self.source.column(node.lineno, node.col_offset))
        return Span(start, self.source.offset(line, self.source.column(line, column)))

    def expression(self, wanted: Span) -> ast.expr:
        """The expression that a finding at a span means; raises `UnfixableError` when there is none.

        Of a method's call that is spread over lines, Python's own positions begin at the method's name.
        """
        for place, node in self._expressions:
            if place == wanted or (wanted.end <= wanted.start == place.start):
                return node
        for place, node in self._expressions:
            if place.end == wanted.end and self._method(node, place) == wanted.start:
                return node
        raise UnfixableError("no expression stands where the finding does")

    def _method(self, node: ast.expr, place: Span) -> int | None:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return self.span(node.func).end - len(node.func.attr)
        return None

    def beginning(self, offset: int) -> ast.expr:
        """The largest expression that begins at an offset; raises `UnfixableError` when there is none."""
        return self.expression(Span(offset, offset))

    def statement(self, offset: int) -> ast.stmt:
        """The innermost statement around an offset; raises `UnfixableError` when there is none."""
        around = [
            node
            for node in ast.walk(self.source.tree)
            if isinstance(node, ast.stmt) and (place := self.span(node)).start <= offset < place.end
        ]
        if not around:
            raise UnfixableError("no statement stands where the finding does")
        return around[-1]
