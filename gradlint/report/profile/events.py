"""Gradient profiles as TensorBoard event files, to lie beside those that the training writes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradlint.analysis.verdicts import profile
from gradlint.errors import UsageError
from gradlint.graph import ModelGraph

TAG = "gradient_rms/{parameter}"
"""One scalar a parameter, the same for both runs, so that they share a chart."""

RUNS = ("gradlint_measured", "gradlint_predicted")
MISSING = "--tensorboard needs the tensorboard package: pip install gradlint-nn[tensorboard]"


def check() -> None:
    """Raises `UsageError` where the package that writes event files is not installed."""
    try:
        import tensorboard.summary.writer.event_file_writer  # noqa: F401
    except ImportError:
        raise UsageError(MISSING) from None


def write(graphs: Sequence[ModelGraph], folder: Path) -> int:
    """Writes one run for what is measured and one for what is predicted; the number of scalars.

    Of several models each gets a folder of its own name.
    """
    written = 0
    for graph in graphs:
        place = folder / graph.model.name if len(graphs) > 1 else folder
        entries = profile(graph)
        kinds = (
            {entry.parameter.name: entry.measured for entry in entries if entry.measured is not None},
            {entry.parameter.name: entry.predicted for entry in entries if entry.predicted is not None},
        )
        written += sum(_run(place / name, sizes) for name, sizes in zip(RUNS, kinds, strict=True) if sizes)
    return written


def _run(folder: Path, sizes: Mapping[str, float]) -> int:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    try:
        now = time.time()
        writer = EventFileWriter(str(folder))
        for name, size in sizes.items():
            value = Summary.Value(tag=TAG.format(parameter=name), simple_value=size)
            writer.add_event(Event(wall_time=now, step=0, summary=Summary(value=[value])))
        writer.close()
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {(error.strerror or str(error)).lower()}") from None
    return len(sizes)
