"""What all tests share: one thread for torch, a person at the keyboard, and whether expected texts are rewritten."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("CI", None)


@pytest.fixture(scope="session")
def bless() -> bool:
    """Whether `BLESS=1 pytest` asks to rewrite expected texts in place."""
    return os.environ.get("BLESS") == "1"
