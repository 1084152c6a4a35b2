"""The registry finds rules by their files, understands what users call them, and hands out what a run wants."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradlint import registry
from gradlint.config import Settings
from gradlint.errors import InternalError, UsageError
from gradlint.finding import Finding, Severity
from tests.tree import RULES

RULE = '''"""A page."""
from typing import ClassVar
from pydantic import Field
from gradlint.finding import Severity
from gradlint.rule import Rule

class Sample(Rule):
    code: ClassVar[str] = "{code}"
    severity: ClassVar[Severity] = Severity.{severity}
    message: ClassVar[str] = "m"
    allowed: int = Field(3, ge=1)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of rules that stands in for the project's own."""
    name = f"rules_of_{tmp_path.name}"
    (tmp_path / name).mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "PACKAGE", name)
    registry.forget()
    yield tmp_path / name
    registry.forget()
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def write(folder: Path, name: str, code: str, severity: str = "ERROR") -> None:
    (folder / f"{name}.py").write_text(RULE.format(code=code, severity=severity), encoding="utf-8")
    importlib.invalidate_caches()


@pytest.fixture
def three(folder: Path) -> Path:
    write(folder, "bad_cut", "GL101")
    write(folder, "bad_noise", "GL114", "NOTE")
    write(folder, "bad_start", "GL301", "WARNING")
    write(folder, "bad_file", "GL001")
    return folder


def finding(code: str, severity: Severity = Severity.ERROR, path: str = "a.py") -> Finding:
    return registry.fault(code, path).model_copy(update={"severity": severity})


def chosen(**settings: Any) -> set[str]:
    return set(registry.selection(Settings(**settings)).codes)


def test_every_file_is_a_rule_with_its_name_and_page() -> None:
    rules = registry.rules()
    assert {rule.name.replace("-", "_") for rule in rules} == {path.stem for path in RULES.glob("*.py")}
    assert [rule.code for rule in rules] == sorted({rule.code for rule in rules})
    assert all("Symptoms:" in rule.page for rule in rules)


def test_names_and_codes_are_known_before_a_rule_is_imported() -> None:
    assert registry.resolve("ALL") == {rule.code for rule in registry.rules()}
    assert all(registry.resolve(rule.name) == {rule.code} for rule in registry.rules())


def test_a_code_is_given_once(three: Path) -> None:
    write(three, "other_cut", "GL101")
    with pytest.raises(InternalError, match="bad-cut and other-cut share the code GL101"):
        registry.rules()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_this_name\n", "broken cannot be loaded: ModuleNotFoundError"),
        ("x = 1\n", "0 rules"),
        (RULE.format(code="GL101", severity="ERROR").replace("    message", "    text"), "sets no message"),
    ],
)
def test_a_rule_that_cannot_load_is_an_error(folder: Path, text: str, words: str) -> None:
    (folder / "broken.py").write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    with pytest.raises(InternalError, match=words):
        registry.rules()


@pytest.mark.usefixtures("three")
class TestNames:
    """What a user may call a rule."""

    def test_resolve(self) -> None:
        assert registry.resolve("GL101") == registry.resolve("bad-cut") == {"GL101"}
        assert registry.resolve("GL1") == {"GL101", "GL114"}
        assert registry.resolve("GL") == registry.resolve("ALL") == {"GL001", "GL101", "GL114", "GL301"}

    @pytest.mark.parametrize("word", ["GL9", "bad_cut", "bad-cat", "", "G", "gl"])
    def test_what_names_no_rule(self, word: str) -> None:
        with pytest.raises(UsageError, match="no rule is called"):
            registry.resolve(word)

    def test_a_suggestion(self) -> None:
        with pytest.raises(UsageError, match='did you mean "bad-cut"'):
            registry.resolve("bad-cat")


@pytest.mark.usefixtures("three")
class TestSelection:
    """Which rules a run wants, and which findings it shows."""

    def test_all_by_default(self) -> None:
        assert chosen() == {"GL001", "GL101", "GL114", "GL301"}

    def test_a_selection_keeps_the_family_of_the_run(self) -> None:
        assert chosen(select=("bad-cut",)) == {"GL001", "GL101"}
        assert chosen(select=("bad-cut",), ignore=("GL001",)) == {"GL101"}

    def test_an_extension_adds(self) -> None:
        assert chosen(select=("GL3",), extend_select=("GL101",)) == {"GL001", "GL101", "GL301"}

    def test_the_longer_selector_wins(self) -> None:
        assert chosen(ignore=("GL1",)) == {"GL001", "GL301"}
        assert chosen(ignore=("GL1",), select=("GL101", "GL3")) == {"GL001", "GL101", "GL301"}
        assert chosen(select=("GL1",), ignore=("bad-cut",)) == {"GL001", "GL114"}
        assert chosen(select=("GL101",), ignore=("bad-cut",)) == {"GL001"}

    def test_an_unknown_name(self) -> None:
        with pytest.raises(UsageError):
            chosen(select=("GL77",))

    def test_notes_are_hidden(self) -> None:
        note = finding("GL114", Severity.NOTE)
        shows = [
            registry.selection(Settings(**settings)).shows(note)
            for settings in ({}, {"notes": True}, {"select": ("GL114",)}, {"extend_select": ("bad-noise",)})
        ]
        assert shows == [False, True, True, True]
        assert not registry.selection(Settings(select=("GL1",))).shows(note)

    def test_per_file_ignores(self) -> None:
        selection = registry.selection(Settings(per_file_ignores={"tests/*": ("bad-cut",), "b_*.py": ("GL",)}))
        paths = ("a.py", "tests/a.py", "x/tests/a.py", "x/b_1.py")
        assert [selection.shows(finding("GL101", path=path)) for path in paths] == [True, False, True, False]
        assert selection.shows(finding("GL301", path="tests/a.py"))


@pytest.mark.usefixtures("three")
class TestConfigured:
    """Rules with their settings."""

    def test_settings_reach_the_rule(self) -> None:
        rules = registry.configured(Settings(rules={"bad-cut": {"allowed": 5}, "GL301": {"allowed": 7}}))
        assert [(rule.code, rule.allowed) for rule in rules] == [  # type: ignore[attr-defined]
            ("GL001", 3),
            ("GL101", 5),
            ("GL114", 3),
            ("GL301", 7),
        ]

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"bad-cut": {"alowed": 5}}, 'bad-cut has no setting "alowed" \\(did you mean "allowed"'),
            ({"bad-cut": {"allowed": 0}}, "rules.bad-cut.allowed is 0"),
            ({"bad-cat": {"allowed": 1}}, "no rule is called"),
        ],
    )
    def test_mistakes(self, settings: dict[str, dict[str, Any]], words: str) -> None:
        with pytest.raises(UsageError, match=words):
            registry.configured(Settings(rules=settings))
