"""Edits of a text: made in any order they make the same, and what crosses waits."""

from __future__ import annotations

import codecs
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlint.finding import Applicability, Edit, Fix
from gradlint.fixes.edits import Span, disjoint, edited, moved, span
from gradlint.source import Source, decode

LINE_ENDS = ("\n", "\r\n", "\r")
ALPHABET = "ab =(#)'\t\f梯é\u2028"


def edit(source: Source, start: int, end: int, text: str) -> Edit:
    (line, column), (end_line, end_column) = source.place(start), source.place(end)
    return Edit(line=line, column=column, end_line=end_line, end_column=end_column, text=text)


def fix(*edits: Edit) -> Fix:
    return Fix(applicability=Applicability.SAFE, edits=edits)


@st.composite
def sources(draw: st.DrawFn) -> Source:
    lines = draw(st.lists(st.text(ALPHABET, max_size=8), min_size=1, max_size=6))
    return Source("m.py", "".join(line + draw(st.sampled_from(LINE_ENDS)) for line in lines[:-1]) + lines[-1])


@st.composite
def places(draw: st.DrawFn, source: Source) -> list[tuple[int, int, str]]:
    """Disjoint spans with new texts, no two of them beginning at one place, none inside of a line end."""
    cuts = [i for i in range(len(source.text) + 1) if source.text[i - 1 : i + 1] != "\r\n"]
    chosen = sorted(draw(st.sets(st.sampled_from(cuts), max_size=8)))
    return [(a, b, draw(st.text("xy\n", max_size=3))) for a, b in zip(chosen[::2], chosen[1::2], strict=False)]


@given(st.data())
def test_disjoint_edits_commute(data: st.DataObject) -> None:
    source = data.draw(sources())
    wanted = data.draw(places(source))
    edits = [edit(source, *place) for place in wanted]
    expected, behind = "", 0
    for start, end, text in wanted:
        expected += source.text[behind:start] + text
        behind = end
    expected += source.text[behind:]
    shuffled = random.Random(0).sample(edits, len(edits))
    assert edited(source, edits).text == edited(source, shuffled).text == edited(source, edits * 2).text == expected
    one_by_one = source
    for single in sorted(edits, key=lambda e: (e.line, e.column), reverse=True):
        one_by_one = edited(one_by_one, [single])
    assert one_by_one.text == expected


@given(st.data())
def test_places_and_offsets_are_the_same(data: st.DataObject) -> None:
    source = data.draw(sources())
    offset = data.draw(st.sampled_from(range(len(source.text) + 1)))
    assert source.offset(*source.place(offset)) == offset


@given(st.data())
def test_what_is_chosen_never_crosses(data: st.DataObject) -> None:
    source = data.draw(sources())
    ends = st.integers(0, len(source.text))
    fixes = []
    for _ in range(data.draw(st.integers(0, 6))):
        start, end = sorted((data.draw(ends), data.draw(ends)))
        fixes.append(fix(edit(source, start, end, data.draw(st.sampled_from("xy")))))
    chosen = disjoint(source, fixes)
    assert bool(chosen) == bool(fixes)
    for one in chosen:
        others = [other for other in chosen if other is not one and other.edits != one.edits]
        assert not any(span(source, one.edits[0]).crosses(span(source, other.edits[0])) for other in others)


def test_one_import_for_two_fixes_is_made_once() -> None:
    source = Source("m.py", "a = [1]\nb = [2]\n")
    shared = edit(source, 0, 0, "import torch\n")
    fixes = [fix(shared, edit(source, 4, 7, "x")), fix(shared, edit(source, 12, 15, "y"))]
    assert disjoint(source, fixes) == fixes
    assert edited(source, [e for one in fixes for e in one.edits]).text == "import torch\na = x\nb = y\n"


def test_a_fix_is_taken_whole_or_not() -> None:
    source = Source("m.py", "abcdefgh")
    first = fix(edit(source, 0, 2, "x"), edit(source, 4, 6, "y"))
    second = fix(edit(source, 2, 3, "z"), edit(source, 5, 7, "z"))
    assert disjoint(source, [second, first]) == [first]


def test_where_a_place_goes() -> None:
    source = Source("m.py", "abcdefgh")
    assert moved(source, [edit(source, 0, 2, "wxyz")], 4) == Span(6, 6)
    assert moved(source, [edit(source, 4, 4, "f(")], 4) == Span(4, 6)
    assert moved(source, [edit(source, 6, 7, "")], 4) == Span(4, 4)
    assert moved(source, [edit(source, 0, 4, "")], 4) == Span(0, 0)
    assert moved(source, [edit(source, 3, 6, "x")], 4) == Span(3, 4)


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("head", [b"", codecs.BOM_UTF8, b"# coding: latin-1\n", b"# coding: utf-8\n", b"\x0c\n"])
def test_bytes_come_back(head: bytes, end: str) -> None:
    encoding = "latin-1" if b"latin" in head else "utf-8"
    data = head + f"a = 'é'{end}\t{end}b = 2  ".encode(encoding)
    source = decode("m.py", data)
    assert source.encoded() == data
    assert (
        edited(source, [edit(source, len(source.text) - 3, len(source.text) - 2, "3")]).encoded() == data[:-3] + b"3  "
    )
