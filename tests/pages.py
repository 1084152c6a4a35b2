"""Reads the page of a rule: the docstring of its module, with its sections and fences."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tests.tree import RULES

HEADING = re.compile(r"^(Bad|Fixed|Good|Also|Symptoms):")
FENCE = re.compile(r"^( *)```(\w*)$")
HEADINGS = ("Bad", "Fixed", "Good", "Also", "Symptoms")


@dataclass(frozen=True)
class Fence:
    """A fenced block of a page; `first` and `end` are the lines of its text in the file, 1-based, end exclusive."""

    section: str
    language: str
    text: str
    first: int
    end: int
    indent: str


@dataclass(frozen=True)
class Page:
    """The page of one rule, read from its file's first statement."""

    path: Path

    @property
    def name(self) -> str:
        """The rule's name, from the file's."""
        return self.path.stem.replace("_", "-")

    @cached_property
    def literal(self) -> ast.Constant:
        """The docstring's node; `AssertionError` when the file does not begin with one."""
        first = ast.parse(self.path.read_text(encoding="utf-8")).body[0]
        assert isinstance(first, ast.Expr), f"{self.path.name} does not begin with its page"
        assert isinstance(first.value, ast.Constant), f"{self.path.name} does not begin with its page"
        return first.value

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines of the docstring as Python reads them."""
        return tuple(str(self.literal.value).split("\n"))

    @property
    def sentence(self) -> str:
        """The page's first paragraph on one line."""
        return " ".join(line.strip() for line in self.paragraphs[0].splitlines())

    @property
    def paragraphs(self) -> list[str]:
        """The blocks between blank lines."""
        return [block for block in re.split(r"\n\s*\n", "\n".join(self.lines).strip()) if block.strip()]

    @property
    def headings(self) -> tuple[str, ...]:
        """The section headings in the order of the page."""
        return tuple(match[1] for line in self.lines if (match := HEADING.match(line)))

    def section(self, heading: str) -> str:
        """The text below a heading, the rest of the heading's line included; empty when there is no such section."""
        inside, kept = False, []
        for line in self.lines:
            if match := HEADING.match(line):
                inside, line = match[1] == heading, line[match.end() :]
            kept += [line] if inside else []
        return "\n".join(kept).strip()

    @cached_property
    def fences(self) -> tuple[Fence, ...]:
        """All fenced blocks in order."""
        section, opened, found = "", None, []
        for number, line in enumerate(self.lines):
            if opened is None and (match := HEADING.match(line)):
                section = match[1]
            if match := FENCE.match(line):
                if opened is not None:
                    found.append(self._fence(section, *opened, number))
                opened = None if opened is not None else (number, match[1], match[2])
        assert opened is None, f"{self.path.name}: a fence is not closed"
        return tuple(found)

    def _fence(self, section: str, opening: int, indent: str, language: str, closing: int) -> Fence:
        text = textwrap.dedent("\n".join(self.lines[opening + 1 : closing]))
        head = self.literal.lineno
        return Fence(section, language, text, head + opening + 1, head + closing, indent)

    def of(self, section: str, language: str = "python") -> tuple[Fence, ...]:
        """The fences of one section in one language."""
        return tuple(fence for fence in self.fences if (fence.section, fence.language) == (section, language))

    @property
    def lines_match_file(self) -> bool:
        """Whether line n of the docstring stands on line n of the file (no escaped line ends)."""
        return (self.literal.end_lineno or 0) - self.literal.lineno + 1 == len(self.lines)

    def write(self, fence: Fence, text: str) -> None:
        """Replaces a fence's text in the rule's file."""
        lines = self.path.read_text(encoding="utf-8").split("\n")
        lines[fence.first - 1 : fence.end - 1] = textwrap.indent(text, fence.indent).split("\n") if text else []
        self.path.write_text("\n".join(lines), encoding="utf-8")

    @cached_property
    def rule(self) -> Any:
        """The rule's class, the only one with a code in its file."""
        from gradlint.rule import Rule

        module = importlib.import_module(f"gradlint.rules.{self.path.stem}")
        own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
        (found,) = [kind for kind in own if issubclass(kind, Rule) and "code" in vars(kind)]
        return found


@cache
def pages() -> tuple[Page, ...]:
    """The pages of all rules."""
    return tuple(Page(path) for path in sorted(RULES.glob("*.py")))
