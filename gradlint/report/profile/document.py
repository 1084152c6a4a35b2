"""Gradient profiles for programs: the models of the report's JSON, all of their profiles filled in."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gradlint import __version__
from gradlint.graph import ModelGraph
from gradlint.proving import gradient_profile, summary
from gradlint.report.json_report import SCHEMA_VERSION


def render(graphs: Sequence[ModelGraph], color: bool, width: int) -> str:  # noqa: ARG001
    """A JSON object in ASCII; numbers that are not finite become null."""
    told = (summary(graph).model_copy(update={"gradient_profile": gradient_profile(graph)}) for graph in graphs)
    models = [json.loads(model.model_dump_json()) for model in told]
    head = {"schema_version": SCHEMA_VERSION, "gradlint": __version__}
    return json.dumps(head | {"models": models}, indent=1) + "\n"
