"""A run of the static front-end without any program, for tests of its vocabulary."""

from __future__ import annotations

import ast
from pathlib import Path

from gradlint.frontends.static.project import Project
from gradlint.frontends.static.run import Activation, Run
from gradlint.frontends.static.values import Scope
from gradlint.source import Source

AT: ast.expr = ast.parse("here()", mode="eval").body


def activation() -> Activation:
    """The activation of an empty module."""
    project = Project(Path("."))
    module = project.add(Source("empty.py", "here()\n"))
    return Activation(Scope({}, module), "<module>")


def new_run() -> Run:
    """A run inside of an empty module."""
    run = Run(Project(Path(".")))
    run.activation = activation()
    return run
