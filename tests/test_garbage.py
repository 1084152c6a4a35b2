"""The collector rests while a file is read, and is as it was before when that has ended."""

from __future__ import annotations

import gc
import weakref

import pytest

from gradlint.garbage import PENDING, collected_after, kept_aside


class Knot:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_it_rests_inside_and_cycles_are_gone_behind() -> None:
    with collected_after():
        assert not gc.isenabled()
        dead = weakref.ref(Knot())
        made = [[] for _ in range(PENDING + 1)]  # type: ignore[var-annotated]
        assert dead() is not None
    assert dead() is None
    assert gc.isenabled()
    assert made


def test_an_error_leaves_it_as_it_was() -> None:
    with pytest.raises(ValueError, match="broken"), kept_aside(), collected_after():
        raise ValueError("broken")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_one_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collected_after():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
