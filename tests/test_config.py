"""Settings: where they are read from, which place wins, and what is said about a mistake in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradlint.config import ModelSetting, load_settings, nearest_file
from gradlint.errors import UsageError

PYPROJECT = "pyproject.toml"


def write(folder: Path, text: str, name: str = PYPROJECT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def mistake(start: Path, *options: str, **overrides: Any) -> str:
    """The message of a settings mistake, which is one line."""
    with pytest.raises(UsageError) as caught:
        load_settings(start, options, cli_overrides=overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_without_a_file(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert (settings.fail_on, settings.timeout, settings.memory, settings.depth) == ("warning", 60, 4096, None)
    assert settings.file is None
    assert settings.root == str(Path.cwd())


def test_nearest_file_up_from_the_target(tmp_path: Path) -> None:
    write(tmp_path, "[tool.gradlint]\ntimeout = 5\n")
    inner = write(tmp_path / "a", "[tool.gradlint]\ntimeout = 7\n")
    model = write(tmp_path / "a" / "b", "x = 1\n", "model.py")
    settings = load_settings(model)
    assert settings.timeout == 7
    assert settings.root == str(inner.parent)
    assert settings.file == str(inner)


def test_a_pyproject_of_others_is_passed_by(tmp_path: Path) -> None:
    outer = write(tmp_path, "[tool.gradlint]\nnotes = true\n")
    write(tmp_path / "a", "[tool.black]\nline-length = 100\n")
    assert nearest_file(tmp_path / "a") == outer


def test_gradlint_toml_goes_before_pyproject(tmp_path: Path) -> None:
    write(tmp_path, "[tool.gradlint]\ntimeout = 5\n")
    write(tmp_path, "timeout = 6\n", "gradlint.toml")
    assert load_settings(tmp_path).timeout == 6


def test_isolated_reads_no_file(tmp_path: Path) -> None:
    write(tmp_path, "[tool.gradlint]\ntimeout = 5\n")
    assert load_settings(tmp_path, isolated=True).timeout == 60


def test_isolated_contradicts_a_named_file(tmp_path: Path) -> None:
    path = write(tmp_path, "timeout = 5\n", "other.toml")
    with pytest.raises(UsageError, match="--isolated"):
        load_settings(tmp_path, [str(path)], isolated=True)


def test_later_places_win(tmp_path: Path) -> None:
    path = write(tmp_path, "timeout = 5\nmemory = 100\nnotes = true\n", "other.toml")
    settings = load_settings(tmp_path, [str(path), "memory=200"], cli_overrides={"timeout": 9})
    assert (settings.timeout, settings.memory, settings.notes) == (9, 200, True)


def test_extend_lays_a_file_under_another(tmp_path: Path) -> None:
    write(tmp_path, "timeout = 5\nmemory = 100\nignore = ['GL003']\n", "base.toml")
    write(tmp_path / "a", "extend = '../base.toml'\ntimeout = 6\nignore = ['GL005']\n", "gradlint.toml")
    settings = load_settings(tmp_path / "a")
    assert (settings.timeout, settings.memory) == (6, 100)
    assert settings.ignore == ("GL003", "GL005")


def test_extend_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path, "extend = 'b.toml'\n", "gradlint.toml")
    write(tmp_path, "extend = 'gradlint.toml'\n", "b.toml")
    assert "circle" in mistake(tmp_path)


def test_extend_of_nothing(tmp_path: Path) -> None:
    write(tmp_path, "extend = 'nowhere.toml'\n", "gradlint.toml")
    assert "nowhere.toml, which does not exist" in mistake(tmp_path)


def test_ignores_add_up_until_a_new_selection(tmp_path: Path) -> None:
    write(tmp_path, "ignore = ['GL003']\n", "gradlint.toml")
    assert load_settings(tmp_path, cli_overrides={"ignore": ("GL005",)}).ignore == ("GL003", "GL005")
    fresh = load_settings(tmp_path, cli_overrides={"select": ("GL003",)})
    assert (fresh.select, fresh.ignore) == (("GL003",), ())


def test_inline_options(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, ["select=GL001,GL003", "fail-on=error", "rules.not-traced.x=1", "notes=true"])
    assert settings.select == ("GL001", "GL003")
    assert (settings.fail_on, settings.notes) == ("error", True)
    assert settings.rules == {"not-traced": {"x": 1}}


def test_models(tmp_path: Path) -> None:
    write(tmp_path, "[[tool.gradlint.model]]\ntarget = 'm.py:Net'\nkwargs = {width = 3}\ninputs = ['2x3']\n")
    assert load_settings(tmp_path).models == (ModelSetting(target="m.py:Net", kwargs={"width": 3}, inputs=("2x3",)),)


def test_unknown_key_has_a_suggestion(tmp_path: Path) -> None:
    write(tmp_path, "[tool.gradlint]\nselct = ['GL1']\n")
    message = mistake(tmp_path)
    assert PYPROJECT in message
    assert '"selct"' in message
    assert 'did you mean "select"?' in message


def test_unknown_key_of_a_model(tmp_path: Path) -> None:
    write(tmp_path, "[[tool.gradlint.model]]\ntarget = 'm.py:Net'\ninput = ['2x3']\n")
    assert 'did you mean "inputs"?' in mistake(tmp_path)


def test_model_without_a_target(tmp_path: Path) -> None:
    write(tmp_path, "[[tool.gradlint.model]]\ninputs = ['2x3']\n")
    assert "model.0.target is missing" in mistake(tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [("[tool.gradlint]\nnotes = true\nselect = [\n", 3), ("[tool.gradlint]\nnotes = tru\n", 2)],
)
def test_broken_toml_names_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    write(tmp_path, text)
    assert f"{PYPROJECT}:{line}: broken TOML" in mistake(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"timeout": -1}, "timeout is -1"),
        ({"memory": "much"}, "memory is 'much'"),
        ({"fail_on": "fatal"}, "fail-on is 'fatal'"),
        ({"jobs": 0}, "jobs is 0"),
        ({"color": "blue"}, "color is 'blue'"),
    ],
)
def test_wrong_values(tmp_path: Path, overrides: dict[str, Any], words: str) -> None:
    message = mistake(tmp_path, **overrides)
    assert message.startswith("command line: ")
    assert words in message


def test_wrong_value_names_its_file(tmp_path: Path) -> None:
    write(tmp_path, "[tool.gradlint]\ntimeout = 'long'\n")
    assert f"{PYPROJECT}: timeout is 'long'" in mistake(tmp_path)


@pytest.mark.parametrize("option", ["nowhere.toml", "timeout", "==", "select=['GL1'"])
def test_wrong_options(tmp_path: Path, option: str) -> None:
    assert mistake(tmp_path, option).startswith("--config")


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings(tmp_path).timeout = 1  # type: ignore[misc]
