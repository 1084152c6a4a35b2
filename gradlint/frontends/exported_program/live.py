"""A program that the caller exported, read as a file of it would be."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace

import torch

from gradlint.errors import TargetError
from gradlint.frontends.exported_program.reading import read
from gradlint.frontends.recorder.generated import SHOWN
from gradlint.recording import Recording


def record(program: torch.export.ExportedProgram, *, training: bool) -> Recording:
    """The recording of a program; `training` says that it is meant to be trained.

    Raises `TargetError` when torch cannot write it down.
    """
    with tempfile.TemporaryFile() as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.export.save(program, file)
        except Exception as problem:
            text = " ".join(f"{type(problem).__name__}: {problem}".split())[:300]
            raise TargetError(f"torch cannot write the exported program down: {text}") from problem
        recording = read(SHOWN, file)
    return replace(recording, models=tuple(replace(model, trained=training) for model in recording.models))
