"""One target in, one recording out: what the worker's child is asked for."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import torch

from gradlint.errors import GradlintError, UsageError
from gradlint.finding import Failure
from gradlint.frontends.recorder import lightweight, scratch
from gradlint.frontends.recorder.session import Session, finished
from gradlint.frontends.recorder.sources import CAPTURES
from gradlint.graph import Model
from gradlint.recording import encode

SEED = 0
MEBIBYTE = 2**20
FINISHED_SHARE = 0.9
"""Share of a target's time after which nothing more is compiled: a late result is better than a killed one."""

PARAMETER_SHARE = 0.2
"""Share of the memory that parameters may take: gradients and activations come on top, and a copy while feeding."""


def capture(job: dict[str, Any]) -> dict[str, Any]:
    """Records one target; the result is JSON: `recording`, and `failures` of what could not be recorded; `misused`
    alone when the target itself is the user's mistake."""
    started = time.monotonic()
    torch.manual_seed(SEED)
    lightweight.stand_in()
    session = Session(PARAMETER_SHARE * job.get("memory", math.inf) * MEBIBYTE)
    session.projections = job.get("projections", session.projections)
    failures: list[Failure] = []
    models: list[Model] = []
    try:
        with scratch.redirected():
            models.extend(CAPTURES[job["kind"]](session, job, failures))
    except UsageError as problem:
        return {"misused": str(problem)}
    except GradlintError as problem:
        failures.append(Failure(path=job["path"], code="GL003", message=str(problem)))
    recording = finished(session, models)
    if session.keeps_calls:
        from gradlint.frontends.recorder.compiling import compiled

        left = FINISHED_SHARE * job.get("seconds", math.inf) - (time.monotonic() - started)
        recording = replace(recording, models=tuple(compiled(session, recording.models, left)))
    return {"recording": encode(recording), "failures": [failure.model_dump() for failure in failures]}
