"""Which comments silence which findings."""

from __future__ import annotations

import textwrap

import pytest

from gradlint import registry, suppress
from gradlint.finding import Evidence, Finding, Severity
from gradlint.source import Source

PATH = "model.py"


def source(text: str) -> Source:
    return Source(PATH, textwrap.dedent(text).lstrip("\n"))


def finding(line: int, code: str = "GL003") -> Finding:
    rule = registry.rule(code)
    return Finding(
        code=rule.code,
        name=rule.name,
        severity=Severity.WARNING,
        evidence=Evidence.SOURCE,
        message="m",
        path=PATH,
        line=line,
        end_line=line,
    )


def silenced(text: str, code: str = "GL003") -> list[int]:
    """The lines of a text on which a finding is silenced."""
    read = source(text)
    every = [finding(number, code) for number in range(1, len(read.lines) + 1)]
    kept, number = suppress.apply(every, {PATH: read})
    assert number == len(every) - len(kept)
    return sorted({found.line for found in every} - {found.line for found in kept})


def test_a_comment_counts_for_its_line() -> None:
    assert silenced("a = 1\nb = 2  # gradlint: ignore[GL003]\nc = 3\n") == [2]


@pytest.mark.parametrize(
    "comment",
    [
        "# gradlint: ignore[not-traced]",
        "#gradlint:ignore[GL003]",
        "# gradlint: ignore[GL005, not-traced] -- the reason",
        "# gradlint: ignore[GL0]",
        "# gradlint: ignore",
        "# noqa: E501  # gradlint: ignore[GL003]",
    ],
)
def test_ways_to_write_it(comment: str) -> None:
    assert silenced(f"a = 1  {comment}\nb = 2\n") == [1]


@pytest.mark.parametrize(
    "line",
    [
        "a = 1  # gradlint: ignore[GL005]",
        "a = 1  # gradlint: ignore[]",
        "a = 1  # noqa",
        "a = 1  # noqa: GL003",
        "a = 1  # type: ignore[GL003]",
        "a = 1  # gradlint: ignored[GL003]",
        "a = '# gradlint: ignore[GL003]'",
    ],
)
def test_what_silences_nothing(line: str) -> None:
    assert silenced(line + "\n") == ([1] if "[]" in line else [])


def test_first_and_last_line_of_a_statement() -> None:
    text = """
    a = f(
        1,  # gradlint: ignore[GL003]
        2,
        3,
    )
    b = f(
        1,
        2,
    )  # gradlint: ignore[GL003]
    c = f(  # gradlint: ignore[GL003]
        1,
    )
    """
    assert silenced(text) == [2, 6, 7, 8, 9, 10, 11, 12]


def test_a_definition_covers_its_body() -> None:
    text = """
    class A:  # gradlint: ignore[GL003]
        def f(self):
            return 1

    def g():
        return 2
    """
    assert silenced(text) == [1, 2, 3]


def test_a_comment_on_a_decorator_or_in_a_long_header() -> None:
    text = """
    @wrap  # gradlint: ignore[GL003]
    def f():
        return 1

    def g(
        a,  # gradlint: ignore[GL003]
    ):
        return 2

    def h():
        return 3
    """
    assert silenced(text) == [1, 2, 3, 5, 6, 7, 8]


def test_a_comment_below_a_header_is_not_in_it() -> None:
    text = """
    def f():
        # gradlint: ignore[GL003]

        return 1
    """
    assert silenced(text) == [2]


def test_a_compound_statement_is_only_its_header() -> None:
    text = """
    with a(
        1
    ):  # gradlint: ignore[GL003]
        b = 1
    for c in d:  # gradlint: ignore[GL003]
        e = 1
    match f:  # gradlint: ignore[GL003]
        case 1:
            g = 1
    """
    assert silenced(text) == [1, 2, 3, 5, 7]


def test_a_whole_file() -> None:
    assert silenced("a = 1\n\n# gradlint: ignore-file[GL003] -- generated\n") == [1, 2, 3, 4]
    assert silenced("a = 1\n\n# gradlint: ignore-file[GL005]\n") == []


def test_a_file_that_cannot_be_parsed_keeps_its_own_lines() -> None:
    assert silenced("a = (1\nb = 2  # gradlint: ignore[GL003]\nc = = 3\n") == [2]


def test_findings_of_other_files_are_kept() -> None:
    kept, number = suppress.apply([finding(1)], {"other.py": source("a = 1  # gradlint: ignore\n")})
    assert (len(kept), number) == (1, 0)


def test_unknown_names_are_findings() -> None:
    text = "a = 1\nb = '梯度'  # gradlint: ignore[GL003, not-tracd]\n"
    (found,) = suppress.unknown(source(text))
    assert (found.code, found.line) == ("GL005", 2)
    line = text.splitlines()[1]
    assert line[found.column - 1 : found.end_column - 1] == "not-tracd"
    assert 'did you mean "not-traced"?' in found.message


def test_known_names_are_none() -> None:
    assert not list(suppress.unknown(source("a = 1  # gradlint: ignore[GL0, GL003, not-traced]\n")))
