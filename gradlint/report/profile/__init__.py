"""The sizes of a model's first gradients, layer by layer: as a picture in the terminal, as JSON, as event files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from gradlint.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from gradlint.config import Settings
    from gradlint.graph import ModelGraph

FORMATS = {"text": "gradlint.report.profile.picture", "json": "gradlint.report.profile.document"}
"""The formats, and the module of each, whose `render(graphs, color, width)` makes it."""


PROJECTIONS = 3
"""Backward passes by which gradients are measured, each from a fresh random projection of the outputs. A third of their
variance is left, at 1.3 to 2.1 times the time of a recording with one (torchvision's ResNet-18, DenseNet-121,
EfficientNet-B0, Swin-T and ViT-B/32); the lint makes do with one, as its bounds are factors of 1000."""


def check(form: str, tensorboard: bool) -> None:
    """Raises `UsageError` for a format that there is not, and for event files that nothing can write."""
    if form not in FORMATS:
        raise UsageError(f"--format {form}: one of {', '.join(FORMATS)}{did_you_mean(form, FORMATS)}")
    if tensorboard:
        from gradlint.report.profile import events

        events.check()


def measured(target: str, settings: Settings) -> Sequence[ModelGraph]:
    """The models of a target with their gradients measured, as far as they run; `UsageError` when it has none."""
    from gradlint.report.graph.asked import graphs_of

    return graphs_of(target, settings, PROJECTIONS)


def to_tensorboard(graphs: Sequence[ModelGraph], folder: Path) -> str:
    """Writes event files; says in one line what is in them."""
    from gradlint.report.profile import events

    written = events.write(graphs, folder)
    return f"{written} scalars written to {folder}" if written else f"no gradient is known, nothing written to {folder}"


def render(form: str, graphs: Sequence[ModelGraph], *, color: bool = False, width: int = 100) -> str:
    """The profiles of some models in one of `FORMATS`, for a terminal of so many columns."""
    made: str = import_module(FORMATS[form]).render(graphs, color, width)
    return made
