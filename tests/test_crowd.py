"""Several processes: the same answers as one, and a death that costs one item."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradlint import crowd
from gradlint.config import Settings
from gradlint.judging import Judge
from gradlint.source_run import judge_files
from tests.command import gradlint


def square(number: int) -> int:
    return number * number


def fatal(number: int) -> int:
    if number % 5 == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def exiting(number: int) -> int:
    if number == 1:
        os._exit(7)
    return number


@pytest.mark.parametrize("width", [1, 2, 9])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_every_item_is_answered_once(width: int, count: int) -> None:
    answers = list(crowd.each(square, range(count), width))
    assert sorted(answers) == [(number, number * number) for number in range(count)]


def test_a_death_costs_one_item() -> None:
    answers = dict(crowd.each(fatal, range(12), 2))
    assert sorted(answers) == list(range(12))
    dead = {number: answer for number, answer in answers.items() if isinstance(answer, crowd.DiedError)}
    assert sorted(dead) == [3, 8]
    assert all("SIGKILL" in str(answer) for answer in dead.values())


def test_an_exit_is_told() -> None:
    answers = dict(crowd.each(exiting, range(3), 1))
    assert str(answers[1]) == "the process that read it ended (exit code 7)"


def asleep(number: int) -> int:
    time.sleep(60)
    return number


def children() -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            yield int(path.parent.name)


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_nobody_is_left_behind() -> None:
    before = set(children())
    list(crowd.each(square, range(10), 3))
    answers = crowd.each(lambda number: square(number) if number else asleep(number), range(3), 3)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while set(children()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(children()) - before


class Deadly(Judge):
    """Dies of one file."""

    def file(self, path: str, settings: Settings) -> object:  # type: ignore[override]
        if path.endswith("m3.py"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().file(path, settings)


def test_a_killed_process_is_a_failure_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [f"m{number}.py" for number in range(6)]
    for path in paths:
        Path(path).write_text("a = 1  # gradlint: ignore[not-tracd]\n", encoding="utf-8")
    monkeypatch.setattr("gradlint.judging.Judge", Deadly)
    settings = Settings(jobs=2)
    judged = judge_files(paths, settings, lambda folder: settings, lambda text: None)
    assert [path for path in paths if judged[path].failures] == ["m3.py"]
    assert {f.code for f in judged["m3.py"].findings} == {"GL004"}
    assert all({f.code for f in judged[path].findings} == {"GL005"} for path in paths if path != "m3.py")


def test_as_many_as_asked_for_say_the_same(tmp_path: Path) -> None:
    for number in range(40):
        text = ["a = 1\n", "def f(:\n", "a = 1  # gradlint: ignore[not-tracd]\n"][number % 3]
        (tmp_path / f"d{number % 4}").mkdir(exist_ok=True)
        (tmp_path / f"d{number % 4}" / f"m{number}.py").write_text(text, encoding="utf-8")
    one, three = (gradlint(tmp_path, "--no-cache", "-j", jobs, "--output-format", "json", ".") for jobs in ("1", "3"))
    assert one == three
    assert len(one.found) == 26
