"""One file in, what its source proves out: model graphs, training steps, and what stayed unknown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gradlint.frontends.static import models, programs
from gradlint.frontends.static.project import Project, parse, relevant
from gradlint.frontends.static.run import Gap, Run
from gradlint.frontends.static.steps import training_steps
from gradlint.graph import ModelGraph
from gradlint.source import Source, SourceError
from gradlint.training import TrainingStep

RECURSION = 12_000
"""Python frames that the evaluator may need: each call of the program takes about a dozen."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the source of one file proves. `files` are the paths that took part, `missed` those where one was
    looked for in vain, `gaps` what stayed unknown."""

    graphs: tuple[ModelGraph, ...] = ()
    steps: tuple[TrainingStep, ...] = ()
    files: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()


def read_file(source: Source, project: Project | None = None, symbol: str | None = None) -> Reading:
    """Reads one file (of it only the class or factory `symbol`, if given); raises nothing but `SourceError`."""
    parse(source)
    if not relevant(source.text):
        return Reading()
    project = project or Project()
    run = Run(project)
    try:
        with deep():
            return _read(run, source, symbol)
    except SourceError:
        raise
    except (RecursionError, MemoryError) as problem:
        return Reading(gaps=(Gap(None, f"the file is nested too deeply ({type(problem).__name__})"),))


def _read(run: Run, source: Source, symbol: str | None) -> Reading:
    run.project.asked.clear()
    run.project.skimmed.clear()
    module = run.project.add(source)
    done = programs.run_file(run, module, symbol)
    steps = tuple(
        step
        for program in done
        for step in training_steps.steps_of(
            run, run.events[program.events.start : program.events.stop], program.complete
        )
    )
    return Reading(
        graphs=tuple(models.graphs(run, module, done, steps)),
        steps=steps,
        files=(*run.scopes, *sorted(run.project.skimmed - run.scopes.keys())),
        missed=run.project.missed(),
        gaps=tuple(run.gaps),
    )


@contextmanager
def deep() -> Iterator[None]:
    """Allows as many frames as the evaluation of nested calls needs."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
