"""Marks a cut as wanted, in code."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def intended(value: Value, reason: str = "") -> Value:
    """Returns `value` as it is; gradlint reports nothing for the expression inside of the call.

    `reason` is for the reader: `target = gradlint.intended(teacher(x).detach(), "EMA target")`.
    """
    del reason
    return value
