"""What `gradlint doctor` finds: versions, the limits that hold for a worker, and the settings file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gradlint import __version__, machine
from gradlint.config import nearest_file
from gradlint.registry import rules

NO_FILE = "defaults, there is no gradlint.toml and no [tool.gradlint] from here up"


def examine(folder: Path) -> Iterator[tuple[str, str]]:
    """Pairs of a label and what was found. Each limit is tried in a process of its own; no library is imported."""
    yield "gradlint", f"{__version__}, {len(rules())} rules"
    yield "settings", str(nearest_file(folder) or NO_FILE)
    for library in machine.installed():
        yield library.name, library.detail
    for grant in machine.granted():
        yield grant.name, grant.detail if grant.ok else f"not granted: {grant.detail}"
