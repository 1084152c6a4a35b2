"""Known findings count no more, new ones do; lines may move, and what is gone is struck off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlint import baseline
from gradlint.baseline import Entry, compare, read, written
from gradlint.errors import UsageError
from gradlint.finding import Evidence, Finding, Severity
from gradlint.judged import Marked
from gradlint.merging import marked
from gradlint.source import Source
from tests.command import Done, gradlint

OLD = "a = 1  # gradlint: ignore[not-tracd]\n"
NEW = "b = 1  # gradlint: ignore[detachd-tensor]\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "gradlint.toml").write_text("", encoding="utf-8")
    (tmp_path / "in" / "a.py").write_text(OLD + "x = 1\n" + OLD, encoding="utf-8")
    return tmp_path


def check(folder: Path, *flags: str) -> Done:
    return gradlint(folder, "--output-format", "json", *flags, ".")


def test_only_new_findings_count(here: Path) -> None:
    done = gradlint(here, "baseline")
    assert (done.code, done.out) == (0, "")
    assert done.notes[-1] == "gradlint: 2 findings written to .gradlint-baseline.json"
    known = check(here)
    assert (known.code, known.report["findings"], known.report["baselined"]) == (0, [], 2)
    (here / "in" / "a.py").write_text("\n\ny = 2\n" + OLD + NEW + "x = 1\n" + OLD, encoding="utf-8")
    moved = check(here)
    assert (moved.code, moved.found, moved.report["baselined"]) == (1, [("a.py", "GL005", 5)], 2)
    inside = gradlint(here / "in", "--output-format", "json", ".")
    assert (inside.found, inside.report["baselined"]) == (moved.found, 2)


def test_one_more_of_the_same_line_is_new(here: Path) -> None:
    gradlint(here, "baseline")
    (here / "in" / "a.py").write_text(OLD * 3, encoding="utf-8")
    assert check(here).found == [("a.py", "GL005", 3)]


def test_what_is_gone_is_struck_off(here: Path) -> None:
    gradlint(here, "baseline")
    file = here / baseline.FILE
    (here / "in" / "a.py").write_text(OLD, encoding="utf-8")
    assert check(here).code == 0
    assert len(read(file)) == 1
    (here / "in" / "a.py").unlink()
    done = check(here)
    assert "gradlint: 1 findings are gone and struck off .gradlint-baseline.json" in done.notes
    assert read(file) == frozenset()


def test_a_stale_baseline_fails_in_ci(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradlint(here, "baseline")
    (here / "in" / "a.py").write_text(OLD, encoding="utf-8")
    before = (here / baseline.FILE).read_bytes()
    monkeypatch.setenv("CI", "true")
    for _ in range(2):
        done = check(here)
        assert (done.code, done.report["stale"], done.found) == (1, 1, [])
    assert (here / baseline.FILE).read_bytes() == before
    monkeypatch.setenv("CI", "false")
    assert check(here).code == 0
    assert len(read(here / baseline.FILE)) == 1


@pytest.mark.parametrize("flags", [["--select", "GL1", "--ignore", "GL005"], ["--diff-base", "HEAD"]])
def test_what_was_not_looked_for_is_not_gone(here: Path, flags: list[str]) -> None:
    gradlint(here, "baseline")
    (here / "in" / "a.py").write_text("x = 1\n", encoding="utf-8")
    before = (here / baseline.FILE).read_bytes()
    gradlint(here, *flags, ".")
    assert (here / baseline.FILE).read_bytes() == before


def test_a_part_of_the_project_strikes_off_its_own_part(here: Path) -> None:
    (here / "b.py").write_text(NEW, encoding="utf-8")
    gradlint(here, "baseline")
    (here / "b.py").write_text("", encoding="utf-8")
    (here / "in" / "a.py").write_text("", encoding="utf-8")
    gradlint(here, "in")
    assert {entry.path for entry in read(here / baseline.FILE)} == {"b.py"}


def test_another_file(here: Path) -> None:
    gradlint(here, "baseline", "--baseline", "in/known.json")
    assert check(here).code == 1
    assert check(here, "--baseline", "in/known.json").code == 0
    assert gradlint(here / "in", "--baseline", "known.json", ".").code == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2}',
        '{"version": 1}',
        '{"version": 1, "findings": []}',
        '{"version": 1, "findings": {"a.py": {"GL005": [3]}}}',
        '{"version": 1, "findings": {"a.py": ["GL005"]}}',
        "[" * 10_000,
    ],
)
def test_a_damaged_baseline_is_a_mistake(tmp_path: Path, text: str) -> None:
    file = tmp_path / "known.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"known\.json: .*; write it anew with gradlint baseline"):
        read(file)


def test_a_damaged_baseline_is_one_line(here: Path) -> None:
    (here / "known.json").write_bytes(b"\xff\xfe\0")
    for name in ("known.json", "nowhere.json"):
        done = gradlint(here, "-q", "--baseline", name, ".")
        assert (done.code, done.out, len(done.notes)) == (2, "", 1)


words = st.text("abcé/\"'\\", min_size=1, max_size=4)
entries = st.frozensets(st.builds(Entry, words, st.sampled_from(["GL101", "GL101 traced", "GL2"]), words))


@given(entries)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, known: frozenset[Entry]) -> None:
    file = tmp_path_factory.getbasetemp() / "written.json"
    file.write_text(written(known), encoding="utf-8")
    assert read(file) == known
    assert written(sorted(known, reverse=True)) == written(known)
    assert json.loads(written(known))["version"] == baseline.VERSION


def findings(lines: list[str]) -> list[Marked]:
    """A finding on every line that says so."""
    here = [number for number, line in enumerate(lines, start=1) if line.startswith("bad")]
    fields = {
        "code": "GL1",
        "name": "n",
        "severity": Severity.ERROR,
        "evidence": Evidence.SOURCE,
        "message": "m",
        "path": "a.py",
    }
    found = [Finding(**fields, line=number, end_line=number) for number in here]
    return list(marked(found, {"a.py": Source("a.py", "\n".join(lines))}, ""))


blocks = st.lists(st.sampled_from(["bad 1", "bad 2", "good", "", "    bad 1"]), max_size=8)


@settings(max_examples=60)
@given(blocks, blocks, st.data())
def test_moved_lines_stay_known(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], more: list[str], data: st.DataObject
) -> None:
    """Good lines put anywhere change nothing; every bad line more is exactly one new finding."""
    file = tmp_path_factory.getbasetemp() / "known.json"
    known = compare(findings(lines), None, lambda *_: True)
    file.write_text(written(baseline.entry(item, str(file.parent)) for item in known.new), encoding="utf-8")
    changed = list(lines)
    for line in more:
        changed.insert(data.draw(st.integers(0, len(changed))), line)
    after = compare(findings(changed), file, lambda *_: True)
    assert not after.stale
    assert len(after.known) == len(findings(lines))
    assert len(after.new) == len(findings(more))
