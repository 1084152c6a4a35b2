"""Rounds of fixes, with a small linter of one rule: what crosses waits, what misbehaves is left out and reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradlint.baseline import Comparison
from gradlint.code import Code, UnfixableError
from gradlint.discover import Target, TargetKind
from gradlint.engine import Result
from gradlint.errors import UsageError
from gradlint.finding import Edit, Finding, Fix, Report, Severity
from gradlint.fixes import attach
from gradlint.fixes.edits import Span
from gradlint.fixes.repair import Repair
from gradlint.fixing import MOST_ROUNDS, Fixed, fix
from gradlint.rule import Rule
from gradlint.source import Source, SourceError, read
from tests.fixing import finding_at

Make = Callable[[Repair], Fix | None]


def rule_that(make: Make) -> Rule:
    """A rule with a fix."""

    class Sample(Rule):
        code = "GL110"
        severity = Severity.ERROR
        message = "m"

        def fix(self, finding: Finding, code: Code) -> Fix | None:
            assert isinstance(code, Repair)
            assert code.finding == finding
            return make(code)

    return Sample()


def linter(
    path: Path, pattern: str, make: Make, lints: list[str] | None = None
) -> Callable[[Mapping[str, Source]], Result]:
    """Finds a pattern in a file, and says GL001 when it is not Python."""
    rule = rule_that(make)

    def lint(drafts: Mapping[str, Source]) -> Result:
        source = drafts.get(str(path)) or read(path)
        if lints is not None:
            lints.append(source.text)
        places = [Span(*match.span(1)) for match in re.finditer(f"(?=({pattern}))", source.text)]
        found, failures = attach([finding_at(source, place) for place in places], [rule], source)
        try:
            source.tree  # noqa: B018 - parsing is what may fail
        except SourceError:
            found = (finding_at(source, Span(0, 1), "GL001"),)
        target = Target(TargetKind.FILE, str(path), depth="source")
        return Result(Report(findings=found, failures=failures), {str(path): source}, Comparison(()), (target,))

    return lint


def rename(code: Repair) -> Fix | None:
    return code.safe(code.replace(code.node, "new"))


def run(path: Path, text: str, pattern: str, make: Make, **how: bool) -> Fixed:
    path.write_bytes(text.encode())
    return fix(linter(path, pattern, make), **({"unsafe": False, "dry": False} | how))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.py"


def test_all_that_does_not_cross_is_one_round(path: Path) -> None:
    lints: list[str] = []
    path.write_text("a = old + old\n\nb = old\n")
    done = fix(linter(path, r"\bold\b", rename, lints), unsafe=False, dry=False)
    assert (done.fixed, path.read_text()) == (3, "a = new + new\n\nb = new\n")
    assert lints == ["a = old + old\n\nb = old\n", "a = new + new\n\nb = new\n"]


def test_what_crosses_is_fixed_in_later_rounds(path: Path) -> None:
    def unwrap(code: Repair) -> Fix | None:
        return code.safe(code.replace(code.call, code.text(code.call.args[0])))

    done = run(path, "a = f(g(f(g(1))), 2)\n", r"\b[fg]\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)", unwrap)
    assert (done.fixed, path.read_text()) == (4, "a = 1\n")


def test_unsafe_fixes_wait_to_be_asked_for(path: Path) -> None:
    def unsafely(code: Repair) -> Fix | None:
        return code.unsafe(code.replace(code.node, "new"))

    done = run(path, "a = old\n", r"\bold\b", unsafely)
    assert (done.fixed, done.unsafe, done.changes, path.read_text()) == (0, 1, (), "a = old\n")
    done = run(path, "a = old\n", r"\bold\b", unsafely, unsafe=True)
    assert (done.fixed, done.unsafe, path.read_text()) == (1, 0, "a = new\n")


def test_dry_writes_nothing(path: Path) -> None:
    done = run(path, "a = old\n", r"\bold\b", rename, dry=True)
    assert path.read_text() == "a = old\n"
    assert (
        "".join(change.diff() for change in done.changes)
        == f"--- {path}\n+++ {path}\n@@ -1 +1 @@\n-a = old\n+a = new\n"
    )


def failures(done: Fixed) -> list[str]:
    return [failure.message for failure in done.result.report.failures]


def whole(text: str) -> Make:
    """A fix that puts a text in the place of the finding, whatever that makes."""

    def make(code: Repair) -> Fix | None:
        place = {key: getattr(code.finding, key) for key in ("line", "column", "end_line", "end_column")}
        return code.safe((Edit.model_validate(place | {"text": text}),))

    return make


def test_what_is_not_python_is_left_out(path: Path) -> None:
    done = run(path, "a = old\n", r"\bold\b", whole("("))
    assert path.read_text() == "a = old\n"
    assert done.fixed == 0
    assert set(failures(done)) == {"the fix of GL110 makes what is not Python: '(' was never closed"}
    assert done.result.report.findings[0].fix is None


def test_a_fix_that_raises_is_a_fault_and_one_that_gives_up_is_none(path: Path) -> None:
    def broken(_: Repair) -> Fix | None:
        raise ZeroDivisionError("by zero")

    assert failures(run(path, "a = old\n", r"\bold\b", broken)) == [
        "the fix of GL110 raises ZeroDivisionError: by zero"
    ]

    def humble(_: Repair) -> Fix | None:
        raise UnfixableError("who knows")

    done = run(path, "a = old\n", r"\bold\b", humble)
    assert (failures(done), done.fixed, path.read_text()) == ([], 0, "a = old\n")


def test_a_fix_that_does_not_take_its_finding_away_is_put_back(path: Path) -> None:
    done = run(path, "a = old\n", r"\bold\b", whole("old.x"))
    assert (done.fixed, done.changes, path.read_text()) == (0, (), "a = old\n")
    assert failures(done) == ["the fix of GL110 does not take it away, so it is left out"]


def test_other_fixes_go_on_beside_one_that_fails(path: Path) -> None:
    def make(code: Repair) -> Fix | None:
        return whole("old2.x")(code) if code.text(code.node) == "old2" else rename(code)

    done = run(path, "a = old\nb = old2\n", r"\bold2?\b", make)
    assert path.read_text() == "a = new\nb = old2\n"
    assert done.fixed == 1


def test_fixes_that_never_end_are_a_fault(path: Path) -> None:
    done = run(path, "a = x1\n", r"\bx\d+", lambda code: code.safe(code.before(code.statement, "b = x1")))
    assert len(path.read_text().splitlines()) <= 2 ** (MOST_ROUNDS + 1)
    assert any("again and again" in message or "does not take it away" in message for message in failures(done))


def test_a_file_that_changes_meanwhile_is_not_overwritten(path: Path) -> None:
    def meanwhile(code: Repair) -> Fix | None:
        path.write_text("mine = 1\n")
        return rename(code)

    with pytest.raises(UsageError, match="changed while"):
        run(path, "a = old\n", r"\bold\b", meanwhile)
    assert path.read_text() == "mine = 1\n"


PIECES = ("old", "(old)", "f(old, old)", "old.x", "[old, 1]", "{'old': old}", "new", "(1, old)")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_a_second_run_changes_nothing(path: Path, pieces: list[str], end: str) -> None:
    pattern = r"\bold\b(?!')(?!#)"
    text = "".join(f"a{i} = (\t{piece} )  # old#\n" for i, piece in enumerate(pieces)).replace("\n", end)
    first = run(path, text, pattern, rename)
    once = path.read_bytes()
    assert (first.fixed, once.decode()) == (len(re.findall(pattern, text)), re.sub(pattern, "new", text))
    again = fix(linter(path, pattern, rename), unsafe=True, dry=False)
    assert (again.fixed, again.changes, path.read_bytes()) == (0, (), once)
