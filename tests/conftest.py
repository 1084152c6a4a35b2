"""What all tests share: one thread for torch, and whether the expected texts are rewritten."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def bless() -> bool:
    """Whether `BLESS=1 pytest` asks to rewrite expected texts in place."""
    return os.environ.get("BLESS") == "1"
