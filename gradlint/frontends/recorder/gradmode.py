"""Where gradient recording was switched off."""

from __future__ import annotations

from types import FrameType

import torch

from gradlint.frontends.recorder.frames import decode, definition, is_skipped
from gradlint.graph import Frame

DECORATORS = frozenset({"decorate_context", "generator_context"})
"""Functions of torch that wrap what a context manager decorates; their `func` is the user's function."""


class GradMode:
    """Remembers the place that switched the grad mode off last; None while it is on."""

    def __init__(self) -> None:
        self.place: Frame | None = None

    def switch(self, enabled: bool, frame: FrameType | None) -> None:
        """Called before the mode changes."""
        if enabled:
            self.place = None
        elif torch.is_grad_enabled():
            self.place = _origin(frame)


def _origin(frame: FrameType | None) -> Frame | None:
    """The user's `with` statement or call, or the head of the function that a decorator wraps."""
    while frame is not None and is_skipped(frame.f_code.co_filename):
        if frame.f_code.co_name in DECORATORS and "func" in frame.f_locals:
            code = getattr(frame.f_locals["func"], "__code__", None)
            return definition(code) if code is not None else None
        frame = frame.f_back
    return decode((frame.f_code, frame.f_lasti)) if frame is not None else None
