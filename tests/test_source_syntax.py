"""What is Python: the check that makes no tree agrees with the parser, and a tree is shared by equal texts."""

from __future__ import annotations

import pytest

from gradlint.frontends.static.project import Project
from gradlint.source import Source, SourceError

PYTHON = (
    "",
    "x = 1\n",
    "# coding: latin-1\nx = 'é'\n",
    "return 1\n",
    "def f(a):\n    global a\n",
    "def f():\n    nonlocal x\n",
    "def f():\n    from os import *\n",
    "async def f():\n    await g()\n",
    "print(f'{x!r:>{width}}')\n",
    "'\\d'\n",
)
BROKEN = ("def f(:\n", "x = \n", "x = 1\n  y = 2\n", "print 1\n", "'open\n", "a\0b\n", "(" * 300 + ")" * 300)


@pytest.mark.parametrize("text", PYTHON)
def test_what_the_parser_takes_is_python(text: str) -> None:
    source = Source("a.py", text)
    source.check_syntax()
    assert Source("a.py", text).tree.body is not None


@pytest.mark.parametrize("text", BROKEN)
def test_what_it_refuses_is_not_and_both_say_where(text: str) -> None:
    with pytest.raises(SourceError) as checked:
        Source("a.py", text).check_syntax()
    with pytest.raises(SourceError) as parsed:
        Source("a.py", text).tree  # noqa: B018 - parsing is what fails
    assert str(checked.value) == str(parsed.value)


def test_a_file_that_was_imported_is_parsed_once() -> None:
    project = Project()
    imported, again = Source("a.py", "x = 1\n"), Source("a.py", "x = 1\n")
    tree = project.add(imported).tree
    project.lend_tree(again)
    assert again.tree is tree


def test_a_file_that_has_changed_is_parsed_again() -> None:
    project = Project()
    project.add(Source("a.py", "x = 1\n")).tree  # noqa: B018 - parsed as an import is
    changed = Source("a.py", "y = 1\n")
    project.lend_tree(changed)
    assert [target.id for target in changed.tree.body[0].targets] == ["y"]  # type: ignore[attr-defined]
