"""When Python looks for unreachable cycles: between two files, and never in the middle of one.

A syntax tree has no cycles, and a reading's are all dead when it has ended: a collector that runs while objects are
made looks at the same live ones again and again, which costs more than the reading itself.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

PENDING = 20_000
"""Objects made since the last look, from which a look is worth its time."""


def rest() -> None:
    """From now on Python looks seldom: a program that starts makes many objects, and nearly all of them stay."""
    gc.set_threshold(PENDING)


@contextmanager
def kept_aside() -> Iterator[None]:
    """All objects that are there already are looked at no more: they stay until the end."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def collected_after() -> Iterator[None]:
    """Nothing is looked for inside, and only among what was made inside when it has ended."""
    active = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > PENDING:
            gc.collect(0)
        if active:
            gc.enable()
