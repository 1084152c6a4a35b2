"""The failures that gradlint tells apart: the user's own, one target's, and gradlint's."""

from __future__ import annotations

from collections.abc import Iterable


class GradlintError(Exception):
    """Base of everything that gradlint raises on purpose; the text is one line for the user."""


class UsageError(GradlintError):
    """A mistake in a flag, a setting, a rule's name or a path: exit code 2."""


class TargetError(GradlintError):
    """One target could not be captured; the run goes on (GL003)."""


class InternalError(GradlintError):
    """A fault of gradlint itself: exit code 3."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "detached-tensor"?)` for the known word nearest to `word`, or an empty string."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""
