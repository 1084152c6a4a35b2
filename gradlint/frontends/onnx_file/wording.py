"""Names out of a file as they may be shown: a file can hold any characters, a terminal obeys some of them."""

from __future__ import annotations

LONGEST = 200
"""Characters of a name that are shown; those of deep modules stay below it."""


def shown(text: str) -> str:
    """A name without control characters, cut where nobody would read on."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
