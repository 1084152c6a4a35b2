"""Comments that silence nothing: which of them are named, and what is left when they are removed."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlint import registry, suppress
from gradlint.finding import Evidence, Finding, Severity
from gradlint.fixes.edits import edited
from gradlint.source import Source
from gradlint.suppress import Judgement

PATH = "model.py"
GRAPH_CODES = frozenset(code for code in registry.resolve("ALL") if not code.startswith("GL0"))
EVERY_LINE = frozenset(range(1, 100))
ALL_SEEN = Judgement(frozenset({"GL001", "GL005"}), GRAPH_CODES, EVERY_LINE)


def source(text: str) -> Source:
    return Source(PATH, textwrap.dedent(text).lstrip("\n"))


def finding(line: int, code: str, end_line: int | None = None) -> Finding:
    return Finding(
        code=code,
        name=registry.rule(code).name,
        severity=Severity.ERROR,
        evidence=Evidence.GRAPH,
        message="m",
        path=PATH,
        line=line,
        end_line=end_line or line,
    )


def idle(text: str, *findings: Finding, judgement: Judgement = ALL_SEEN) -> list[str]:
    """The text under each finding about an idle comment."""
    read = source(text)
    found = suppress.unused(read, findings, judgement)
    return [read.line(f.line)[f.column - 1 : f.end_column - 1] for f in found]


def cleaned(text: str, *findings: Finding) -> str:
    """The text after the fixes of all idle comments, which are found again until there are none."""
    read = source(text)
    while found := [f.fix for f in suppress.unused(read, findings, ALL_SEEN) if f.fix]:
        read = edited(read, found[0].edits)
    return read.text


def test_a_comment_that_silences_is_not_idle() -> None:
    text = "a = 1\nb = 2  # gradlint: ignore[GL101]\n"
    assert idle(text, finding(2, "GL101")) == []
    assert idle(text, finding(1, "GL101")) == ["# gradlint: ignore[GL101]"]
    assert idle(text, finding(2, "GL105")) == ["# gradlint: ignore[GL101]"]


def test_only_the_idle_codes_are_named() -> None:
    text = "b = 2  # gradlint: ignore[GL101, hidden-submodule, GL3] -- why\n"
    assert idle(text, finding(1, "GL110")) == ["GL101", "GL3"]
    assert idle(text, finding(1, "GL301"), finding(1, "GL101")) == ["hidden-submodule"]
    assert idle(text) == ["# gradlint: ignore[GL101, hidden-submodule, GL3]"]


@pytest.mark.parametrize(
    ("comment", "where"),
    [
        ("def f():  # gradlint: ignore[GL101]\n    a = 1\n    b = 2\n", 3),
        ("class A:  # gradlint: ignore[GL101]\n    def f(self):\n        b = 2\n", 3),
        ("a = 1\nb = 2\n# gradlint: ignore-file[GL101]\n", 1),
        ("a = f(\n    1,\n)  # gradlint: ignore[GL101]\n", 2),
    ],
)
def test_every_form_is_judged(comment: str, where: int) -> None:
    assert idle(comment, finding(where, "GL101")) == []
    assert len(idle(comment)) == 1


def test_a_comment_on_the_last_line_of_an_expression_silences_it() -> None:
    text = source(
        "def f(x):\n    return g(\n        h(\n            x,\n        ),  # gradlint: ignore[GL101]\n    )\n"
    )
    kept, number = suppress.apply([finding(3, "GL101", end_line=5)], {PATH: text})
    assert (len(kept), number) == (0, 1)
    kept, number = suppress.apply([finding(3, "GL101", end_line=4)], {PATH: text})
    assert (len(kept), number) == (1, 0)


def test_what_the_run_could_not_judge_is_left_alone() -> None:
    text = "b = 2  # gradlint: ignore[GL101, GL105]\n"
    assert idle(text, judgement=Judgement()) == []
    assert idle(text, judgement=Judgement(seen=frozenset({"GL101"}), lines=EVERY_LINE)) == ["GL101"]
    assert idle(text, judgement=Judgement(seen=GRAPH_CODES, lines=frozenset({7}))) == []
    assert (
        idle("b = 2  # gradlint: ignore[GL1]\n", judgement=Judgement(frozenset(), frozenset({"GL101"}), EVERY_LINE))
        == []
    )
    assert idle("b = 2  # gradlint: ignore\n", judgement=Judgement(seen=frozenset({"GL101"}), lines=EVERY_LINE)) == []
    assert idle("b = 2  # gradlint: ignore\n") == ["# gradlint: ignore"]
    assert idle("b = 2  # gradlint: ignore[GL005]\n", judgement=Judgement(frozenset({"GL005"}))) != []


def test_a_branch_that_was_not_taken_may_need_its_comment() -> None:
    text = """
    def f(x):  # gradlint: ignore[GL101]
        if x:
            return 1
        return 2
    """
    assert idle(text, judgement=Judgement(seen=GRAPH_CODES, lines=frozenset({2, 4}))) == []
    assert idle(text, judgement=Judgement(seen=GRAPH_CODES, lines=frozenset({2, 3}))) == ["# gradlint: ignore[GL101]"]
    inner = text.replace("  # gradlint: ignore[GL101]", "").replace("return 1", "return 1  # gradlint: ignore[GL101]")
    assert idle(inner, judgement=Judgement(seen=GRAPH_CODES, lines=frozenset({2, 4}))) == []


def test_names_of_no_rule_are_another_rules_finding() -> None:
    assert idle("b = 2  # gradlint: ignore[GL999]\n") == []
    assert idle("b = 2  # gradlint: ignore[GL101, GL999]\n") == ["GL101"]


def test_a_comment_does_not_silence_what_is_said_of_itself() -> None:
    read = source("b = 2  # gradlint: ignore\nc = 3  # gradlint: ignore[GL101, GL002]\n")
    first, second = suppress.unused(read, [], ALL_SEEN)
    kept, _ = suppress.apply([first, second], {PATH: read})
    assert [f.line for f in kept] == [1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("b = 2  # gradlint: ignore[GL101]\n", "b = 2\n"),
        ("b = 2\t#gradlint:ignore[GL101] -- why, see #5\n", "b = 2\n"),
        ("b = 2  # gradlint: ignore", "b = 2"),
        ("b = 2  # noqa: E501  # gradlint: ignore[GL101]\n", "b = 2  # noqa: E501\n"),
        ("b = 2  # gradlint: ignore[GL101] -- why  # noqa: E501\n", "b = 2  # noqa: E501\n"),
        ("b = 2  # gradlint: ignore[GL101] # type: ignore\n", "b = 2  # type: ignore\n"),
        ("a = 1\n# gradlint: ignore-file[GL101] -- generated\nb = 2\n", "a = 1\nb = 2\n"),
        ("a = 1\n    # gradlint: ignore-file[GL101]", "a = 1\n"),
        ("b = 2  # gradlint: ignore[GL101, GL105, GL106] -- why\n", "b = 2\n"),
    ],
)
def test_what_is_left_of_a_line(before: str, after: str) -> None:
    assert cleaned(before) == after


@pytest.mark.parametrize(
    ("words", "used", "left"),
    [
        ("GL101, GL105", "GL105", "GL105"),
        ("GL101, GL105", "GL101", "GL101"),
        ("GL101,GL105,GL106", "GL105", "GL105"),
        ("GL101 , hidden-submodule ,GL106", "GL110", "hidden-submodule"),
        (" GL101, GL105 ", "GL105", " GL105 "),
    ],
)
def test_what_is_left_of_the_codes(words: str, used: str, left: str) -> None:
    reason = "] -- why  # noqa\n"
    assert (
        cleaned(f"b = 2  # gradlint: ignore[{words}{reason}", finding(1, used))
        == f"b = 2  # gradlint: ignore[{left}{reason}"
    )


CODES = ("GL101", "GL105", "GL110", "GL301")


@st.composite
def commented(draw: st.DrawFn) -> tuple[str, list[str], str]:
    """A line with a comment, the codes in it that are used, and the line as it should be left."""
    code = "x = '梯 # gradlint: ignore'" + draw(st.sampled_from(["", " ", "\t "]))
    words = draw(st.lists(st.sampled_from(CODES), unique=True, max_size=4))
    used = [word for word in words if draw(st.booleans())]
    gap, tail = draw(st.sampled_from(["", "  ", "\t"])), draw(st.sampled_from(["", "  # noqa", " -- why"]))
    if not words:
        return code, [], code
    line = f"{code}{gap}# gradlint: ignore[{', '.join(words)}]{tail}"
    other = tail.removeprefix(" -- why").lstrip()
    bare = f"{code}{gap}{other}" if other else code.rstrip()
    return line, used, f"{code}{gap}# gradlint: ignore[{', '.join(used)}]{tail}" if used else bare


@settings(deadline=None, max_examples=60)
@given(st.lists(commented(), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n", "\r"]))
def test_removing_is_exact_wherever_the_comment_stands(lines: list[tuple[str, list[str], str]], end: str) -> None:
    """Each line may have a comment, and findings of some of its codes: what is left silences exactly these."""
    findings = [finding(number, code) for number, (_, used, _) in enumerate(lines, 1) for code in used]
    text, wanted = end.join(line for line, _, _ in lines), end.join(left for _, _, left in lines)
    assert cleaned(text, *findings) == wanted
