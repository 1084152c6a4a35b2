"""Where the parts of a model are called and built in the user's own code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from gradlint.frame import Frame
from gradlint.frontends.static.record.tape import frames_of
from gradlint.frontends.static.values import Instance, Layer

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

Parts = Mapping[str, Instance | Layer]
"""The modules of a model by their dotted names, itself by the empty one."""


def call_places(run: Run, parts: Parts) -> Iterator[tuple[str, Frame]]:
    """The place in the user's own code that called each part last."""
    for name, part in parts.items():
        called = run.places.get(id(part))
        if name and called is not None:
            frame = next((f for f in frames_of(*called) if f.user), None)
            if frame is not None:
                yield name, frame


def building_places(parts: Parts) -> Iterator[tuple[str, Frame]]:
    """The place in the user's own code that built each layer of a library."""
    for name, part in parts.items():
        if isinstance(part, Layer) and part.made is not None and part.made.user:
            yield name, part.made
