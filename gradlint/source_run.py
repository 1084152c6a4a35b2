"""Many files' sources judged: from the cache what still holds, the rest here or in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gradlint import __version__, cache
from gradlint.finding import Failure
from gradlint.garbage import collected_after, kept_aside
from gradlint.judged import Judged, decoded

if TYPE_CHECKING:
    from gradlint.config import Settings
    from gradlint.judging import Judge
    from gradlint.listing import SettingsAt

ALONE = 200
"""Files up to which one process is faster than starting several."""

KILLED = "GL004"


@dataclass(frozen=True)
class Task:
    """One file and the settings that hold for it."""

    path: str
    settings: Settings


Answer = tuple[str, tuple[str, ...]]
"""An encoded verdict and its dependencies."""


def judge_files(
    paths: Sequence[str], settings: Settings, settings_at: SettingsAt, progress: Callable[[str], None]
) -> dict[str, Judged]:
    """The verdict of every file; `settings` say how the run is done, `settings_at` what holds in a folder."""
    groups: dict[str, list[Task]] = {}
    keys: dict[int, str] = {}
    for path in paths:
        own = settings_at(os.path.dirname(path))
        key = keys.get(id(own)) or keys.setdefault(id(own), _key(own))
        groups.setdefault(key, []).append(Task(path, own))
    done: dict[str, Judged] = {}
    for key, tasks in groups.items():
        with cache.Cache(folder(settings), key) if settings.cache else nullcontext() as kept:
            done |= _judged(tasks, kept, settings.jobs, progress)
    return done


def folder(settings: Settings) -> Path:
    """Where the cache of a run lies."""
    return Path(settings.root, settings.cache_dir or cache.FOLDER)


def _key(settings: Settings) -> str:
    """The name of everything in some settings that a verdict depends on."""
    chosen = sorted(settings.select), sorted(settings.extend_select), sorted(settings.ignore)
    shown = settings.notes, settings.per_file_ignores, settings.root
    return cache.key(__version__, *chosen, *shown, settings.rules, settings.compile)


def _judged(
    tasks: Sequence[Task], kept: cache.Cache | None, jobs: int | None, progress: Callable[[str], None]
) -> dict[str, Judged]:
    found = kept.look_up(task.path for task in tasks) if kept else {}
    done = {path: verdict for path, old in found.items() if (verdict := decoded(*old)) is not None}
    missing = [task for task in tasks if task.path not in done]
    for task, answer in _answers(missing, jobs, progress):
        if isinstance(answer, Judged):
            done[task.path] = answer
            continue
        text, dependencies = answer
        verdict = decoded(text, dependencies)
        assert verdict is not None
        done[task.path] = verdict
        if kept and not verdict.failures:
            kept.keep(task.path, text, dependencies)
    return done


def _answers(
    tasks: Sequence[Task], jobs: int | None, progress: Callable[[str], None]
) -> Iterator[tuple[Task, Answer | Judged]]:
    """Every task with its answer; a file whose process died with a verdict that says so."""
    if not tasks:
        return
    from gradlint.judging import Judge

    judge = Judge()
    for task in tasks:
        judge.rules(task.settings)
    width = min(jobs or _usual_width(len(tasks)), len(tasks))
    if width == 1:
        with kept_aside():
            for task in tasks:
                progress(task.path)
                yield task, _answer(judge, task)
        return
    from gradlint import crowd

    for number, answer in crowd.each(partial(_numbered, judge, tasks), range(len(tasks)), width):
        progress(tasks[number].path)
        yield tasks[number], _killed(tasks[number], str(answer)) if isinstance(answer, crowd.DiedError) else answer


def _usual_width(tasks: int) -> int:
    """The processes that some files are judged in when nothing is said of it."""
    if tasks <= ALONE:
        return 1
    from gradlint import crowd

    return crowd.cores()


def _numbered(judge: Judge, tasks: Sequence[Task], number: int) -> Answer:
    return _answer(judge, tasks[number])


def _answer(judge: Judge, task: Task) -> Answer:
    with collected_after():
        verdict = judge.file(task.path, task.settings)
    return verdict.encoded(), verdict.dependencies


def _killed(task: Task, why: str) -> Judged:
    from gradlint.registry import fault

    remedy = "lint it alone with -j 1 to see more, and report it"
    finding = fault(KILLED, task.path, model=Path(task.path).name, why=why, remedy=remedy)
    return Judged(findings=(finding,), failures=(Failure(path=task.path, code=KILLED, message=why),))
