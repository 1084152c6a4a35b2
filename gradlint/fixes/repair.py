"""The makers of edits that a rule's `fix` calls, on the text, the syntax tree and the concrete syntax of one file."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from gradlint.code import Edits, Imported, UnfixableError, united
from gradlint.finding import Applicability, Edit, Finding, Fix
from gradlint.fixes.concrete import Concrete, Member, Members
from gradlint.fixes.edits import Span, span
from gradlint.fixes.imports import Imports
from gradlint.fixes.pins import Pins, Positioned
from gradlint.fixes.shapes import binds, stands
from gradlint.source import Source

PAIR = 2
_BLANKS = " \t\f"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Surroundings:
    """One file, for the fixes of all its findings."""

    source: Source
    pins: Pins
    concrete: Concrete
    imports: Imports


def surroundings(source: Source) -> Surroundings:
    """A file made ready for its fixes; raises `UnfixableError` when its concrete syntax cannot be read."""
    return Surroundings(source, Pins(source), Concrete(source), Imports(source))


@dataclass(frozen=True)
class Repair:
    """The file around one finding: the `Code` of `Rule.fix`."""

    around: Surroundings
    finding: Finding

    @property
    def tree(self) -> ast.Module:
        """The whole file."""
        return self.around.source.tree

    @property
    def node(self) -> ast.expr:
        """The expression that the finding's position spans."""
        return self.around.pins.expression(Span(self._start, self._end))

    @property
    def call(self) -> ast.Call:
        """`node`, when it is a call."""
        node = self.node
        if not isinstance(node, ast.Call):
            raise UnfixableError("the finding does not stand at a call")
        return node

    @property
    def statement(self) -> ast.stmt:
        """The statement that the finding begins in."""
        return self.around.pins.statement(self._start)

    @property
    def _start(self) -> int:
        return self.around.source.offset(self.finding.line, self.finding.column)

    @property
    def _end(self) -> int:
        return self.around.source.offset(self.finding.end_line, self.finding.end_column)

    def at(self, line: int, column: int) -> ast.expr:
        """The largest expression that begins at a place."""
        return self.around.pins.beginning(self.around.source.offset(line, column))

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node around a node; None for the module."""
        return self.around.pins.parents.get(node)

    def function(self, node: ast.AST) -> _Function | None:
        """The innermost function that a node stands in."""
        found = self.parent(node)
        while found is not None and not isinstance(found, _Function):
            found = self.parent(found)
        return found

    def owner(self, node: ast.AST) -> ast.ClassDef | None:
        """The innermost class that a node stands in."""
        found = self.parent(node)
        while found is not None and not isinstance(found, ast.ClassDef):
            found = self.parent(found)
        return found

    def text(self, node: ast.AST) -> str:
        """The source of a node, without parentheses around it."""
        if not isinstance(node, Positioned):
            raise UnfixableError("this node has no place")
        return self._text(self._span(node))

    def resolved(self, node: ast.AST) -> str:
        """The full name of what an expression names; empty when the imports do not say."""
        return self.around.imports.resolved(node)

    def imported(self, name: str) -> Imported:
        """How this file writes a full name."""
        return self.around.imports.written(name)

    def replace(self, node: ast.expr, text: str) -> Edits:
        """Another expression in a node's place."""
        return (self._edit(self._span(node), text if self._holds(node, text) else f"({text})"),)

    def _holds(self, node: ast.expr, text: str) -> bool:
        """Whether an expression needs no parentheses in the place of a node."""
        parent = self.parent(node)
        is_called = isinstance(parent, ast.Call) and parent.func is node
        return bool(self._pairs(node)) or stands(text, None if is_called else parent)

    def wrap(self, node: ast.expr, function: str | Imported) -> Edits:
        """`function(node)`; parentheses that are there already become those of the call."""
        if isinstance(node, ast.Starred):
            raise UnfixableError("an unpacked argument cannot be wrapped")
        own, pairs = self._span(node), self._pairs(node)
        if self._borrows(node):
            return (self._inserted(own.start + 1, f"{function}("), self._inserted(own.end - 1, ")"))
        bracket = own.start if isinstance(node, ast.GeneratorExp) else pairs[0].start if pairs else None
        if bracket is not None and not self._text(Span(bracket - 1, bracket)).isidentifier():
            return (self._inserted(bracket, str(function)),)
        left, right = ("(", ")") if pairs or stands(self._text(own), ast.List([])) else ("((", "))")
        return (self._inserted(own.start, f"{function}{left}"), self._inserted(own.end, right))

    def _borrows(self, node: ast.expr) -> bool:
        """Whether an expression has the parentheses of the call that it is the only argument of."""
        call = self.parent(node)
        if not isinstance(node, ast.GeneratorExp) or not isinstance(call, ast.Call) or node is call.func:
            return False
        return self._members(call).inside.start == self._span(node).start + 1

    def suffix(self, node: ast.expr, text: str) -> Edits:
        """A node with something behind it."""
        own, pairs = self._span(node), self._pairs(node)
        if pairs:
            return (self._inserted(pairs[0].end, text),)
        if binds(node, self._text(own)):
            return (self._inserted(own.end, text),)
        return (self._inserted(own.start, "("), self._inserted(own.end, f"){text}"))

    def unwrap(self, node: ast.expr, kept: ast.expr) -> Edits:
        """Of an expression only one part that stands in it."""
        own, outer, pairs = self._span(kept), self._span(node), self._pairs(kept)
        part = pairs[0] if pairs else own
        if not outer.start <= part.start <= part.end <= outer.end:
            raise UnfixableError("the part that is kept stands somewhere else")
        held = bool(pairs) or self._holds(node, self._text(own))
        left, right = ("", "") if held else ("(", ")")
        sides = ((Span(outer.start, part.start), left), (Span(part.end, outer.end), right))
        return tuple(self._edit(side, new) for side, new in sides if side.start < side.end or new)

    def rename(self, reference: ast.expr, name: str) -> Edits:
        """Another name of the library, or another method, in a reference's place."""
        module, _, leaf = name.rpartition(".")
        if isinstance(reference, ast.Attribute) and module in ("", self.resolved(reference).rpartition(".")[0]):
            end = self._span(reference).end
            return (self._edit(Span(end - len(reference.attr), end), leaf),)
        if not module:
            return self.replace(reference, leaf)
        found = self.imported(name)
        return (*self.replace(reference, found.text), *found.edits)

    def keyword(self, call: ast.Call, name: str, value: str, position: int | None = None, instead: str = "") -> Edits:
        """A call with `name=value`."""
        named = [word for word in call.keywords if word.arg in (name, instead)]
        if named:
            return (self._edit(self._span(named[0]), f"{name}={value}"),)
        if any(isinstance(item, ast.Starred) for item in call.args) or any(word.arg is None for word in call.keywords):
            raise UnfixableError("the call unpacks its arguments, one of which may be this one")
        if position is not None and position < len(call.args):
            if position + 1 < len(call.args):
                raise UnfixableError("the argument stands before others, by its position")
            return (self._edit(self._members(call).items[position].own, f"{name}={value}"),)
        if len(call.args) == 1 and isinstance(call.args[0], ast.GeneratorExp) and not call.keywords:
            raise UnfixableError("the call's only argument is a bare generator")
        return self._added(self._members(call), f"{name}={value}")

    def _added(self, members: Members, text: str) -> Edits:
        """One argument more: behind the last one, on a line of its own where the others have theirs."""
        if not members.items:
            return (self._inserted(members.inside.start, text),)
        last = members.items[-1]
        indent = self._own_line(last)
        if indent is None:
            return (
                self._inserted(last.comma, f" {text},") if last.comma else self._inserted(last.own.end, f", {text}"),
            )
        new, end = f"{self.around.source.newline}{indent}{text}", self._line_end(last.comma or last.own.end)
        if last.comma:
            return (self._inserted(end, f"{new},"),)
        if end == last.own.end:
            return (self._inserted(end, f",{new}"),)
        return (self._inserted(last.own.end, ","), self._inserted(end, new))

    def _own_line(self, member: Member) -> str | None:
        """The indentation of a member that has a line for itself; None when it shares its lines."""
        source, end = self.around.source, member.comma or member.own.end
        line, column = source.place(member.own.start)
        before, behind = source.line(line)[: column - 1], self._text(Span(end, self._line_end(end)))
        return before if not before.strip() and behind.strip(_BLANKS)[:1] in ("", "#") else None

    def drop(self, element: ast.expr | ast.keyword) -> Edits:
        """Without one argument or element, and without its comma."""
        parent = self.parent(element)
        if not isinstance(parent, ast.Call | ast.List | ast.Tuple | ast.Set) or element is getattr(
            parent, "func", None
        ):
            raise UnfixableError("this is neither an argument nor an element")
        members = self._members(parent)
        if len(members.items) == 1 and not isinstance(parent, ast.Call | ast.List):
            raise UnfixableError("nothing would be left")
        index = members.at(self._span(element))
        return (*self._dropped(members, index), *self._lone_comma(members, index))

    def _dropped(self, members: Members, index: int) -> Edits:
        items, item = members.items, members.items[index]
        end = item.comma or item.own.end
        before = items[index - 1] if index else None
        keeps_comma = item.comma is not None or (members.is_tuple and index == 1)
        if self._own_line(item) is not None:
            whole = self._edit(self._rows(Span(item.own.start, end)), "")
            if before is None or before.comma is None or keeps_comma:
                return (whole,)
            return (self._edit(Span(before.comma - 1, before.comma), ""), whole)
        if index + 1 < len(items):
            return (self._edit(Span(item.own.start, items[index + 1].own.start), ""),)
        if before is None:
            return (self._edit(Span(item.own.start, end), ""),)
        return (self._edit(Span((before.comma if keeps_comma else None) or before.own.end, end), ""),)

    def _lone_comma(self, members: Members, index: int) -> Edits:
        """The comma that makes a tuple of the one element that is left."""
        left = members.items[1 - index] if members.is_tuple and len(members.items) == PAIR else None
        return (self._inserted(left.own.end, ","),) if left and left.comma is None else ()

    def delete(self, statement: ast.stmt) -> Edits:
        """Without a statement."""
        own = self._span(statement)
        line = self.around.concrete.line(own)
        source = self.around.source
        if line.last:
            return (self._edit(own, "pass"),)
        if line.alone and line.tail is None:
            return (self._edit(self._rows(own), ""),)
        if line.tail is not None:
            blanks = len(source.text[line.tail :]) - len(source.text[line.tail :].lstrip(_BLANKS))
            return (self._edit(Span(own.start, line.tail + blanks), ""),)
        head = source.text[: own.start].rstrip(_BLANKS)
        return (self._edit(Span(len(head) - head.endswith(";"), own.end), ""),)

    def before(self, statement: ast.stmt, text: str) -> Edits:
        """A new statement of one line above another one."""
        lines = [node.lineno for node in (statement, *getattr(statement, "decorator_list", ()))]
        indent = self.around.source.line(min(lines))[
            : self.around.source.column(statement.lineno, statement.col_offset) - 1
        ]
        if indent.strip() or self.text(statement).startswith("elif"):
            raise UnfixableError("the statement does not begin its line")
        return (
            self._inserted(self.around.source.offset(min(lines), 1), f"{indent}{text}{self.around.source.newline}"),
        )

    def safe(self, *changes: Edits | Imported) -> Fix:
        """A fix that `--fix` applies, unless it deletes a comment."""
        fix = self.unsafe(*changes)
        loses = any(self._loses_comment(edit) for edit in fix.edits)
        return fix if loses else fix.model_copy(update={"applicability": Applicability.SAFE})

    def unsafe(self, *changes: Edits | Imported) -> Fix:
        """A fix that needs `--unsafe-fixes`."""
        edits = united(changes)
        if not edits:
            raise UnfixableError("nothing would change")
        return Fix(applicability=Applicability.UNSAFE, edits=edits)

    def _loses_comment(self, edit: Edit) -> bool:
        source, place = self.around.source, span(self.around.source, edit)
        starts = (source.offset(comment.line, comment.column) for comment in source.comments)
        return any(place.start <= start < place.end for start in starts)

    def _members(self, node: ast.expr) -> Members:
        return self.around.concrete.members(self._span(node))

    def _pairs(self, node: ast.expr) -> tuple[Span, ...]:
        return self.around.concrete.parenthesised(self._span(node))

    def _span(self, node: Positioned) -> Span:
        return self.around.pins.span(node)

    def _text(self, place: Span) -> str:
        return self.around.source.text[max(place.start, 0) : place.end]

    def _rows(self, place: Span) -> Span:
        """A span widened to whole lines, the last one's end included."""
        source = self.around.source
        first, last = source.place(place.start)[0], source.place(place.end)[0]
        return Span(source.offset(first, 1), source.offset(last + 1, 1))

    def _line_end(self, offset: int) -> int:
        found = re.compile(r"[\r\n]").search(self.around.source.text, offset)
        return found.start() if found else len(self.around.source.text)

    def _inserted(self, offset: int, text: str) -> Edit:
        return self._edit(Span(offset, offset), text)

    def _edit(self, place: Span, text: str) -> Edit:
        (line, column), (end_line, end_column) = map(self.around.source.place, (place.start, place.end))
        return Edit(line=line, column=column, end_line=end_line, end_column=end_column, text=text)
